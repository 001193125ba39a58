"""FedScale's own archives: a folder ``client_data_mapping`` with a CSV file for each split, beside the media.

A row is a sample. Its first value is the client, its second the path of the sample (or its text), its last two the
name and the number of its label; the header calls them ``client_id, sample_name, sample_category, category_id`` or
``client_id, sample_path, label_name, label_id`` (the data loaders of github.com/SymbioticLab/FedScale at 7ec441c2), so
they are known by their places.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fedscale.data.notes import Notes
from fedscale.data.rawcsv import Dialect, Rows, first_values, read_csv
from fedscale.data.rawfile import found, nothing
from fedscale.errors import DataError

FOLDER: Final = "client_data_mapping"

Part = Literal["client", "path", "text", "name", "label"]

PLACES: Final[dict[Part, int]] = {"client": 0, "path": 1, "text": 1, "name": -2, "label": -1}
"""Where a row has its parts; a row of three values has no name, and its label stands for it."""

_TYPES: Final[dict[Part, pa.DataType]] = dict.fromkeys(PLACES, pa.large_string()) | {"label": pa.int64()}

FEWEST: Final = 3
"""Values of the shortest row."""


@dataclass(frozen=True)
class Mapping:
    """Some rows of one split; the columns are the parts asked for, ``label`` a whole number, the others strings.

    ``path`` and ``text`` are the same column, but a path must not lead out of the archive.
    """

    split: str
    rows: Rows

    @property
    def clients(self) -> pa.ChunkedArray:
        """Names of the rows' clients; numbers have their split before them, since they mean others in other splits.

        The paper divides clients, not samples, among splits (§3.1), and scripts of the original number the clients of
        each file from 0 anew.
        """
        names = self.rows.table["client"]
        split, between = (pa.scalar(text, pa.large_string()) for text in (self.split, "/"))
        return pc.if_else(pc.utf8_is_digit(names), pc.binary_join_element_wise(split, names, between), names)


def mapping_files(raw: Path) -> list[Path]:
    """Return the files of the mapping in ``raw``, in the folder above it, or one folder further down."""
    here = ["*.csv"] if raw.name == FOLDER else []
    return found(raw, *here, f"{FOLDER}/*.csv", f"*/{FOLDER}/*.csv")


def no_raw_files(raw: Path, name: str, wanted: Sequence[str]) -> DataError:
    """Return the error of `fedscale.data.rawfile.nothing`, for a dataset whose mapping by FedScale is not read."""
    error = nothing(raw, name, wanted)
    if not mapping_files(raw):
        return error
    return DataError(
        f"{error}; {FOLDER} of FedScale's archive is not read, since what its columns stand for was never published: "
        "add the owner's files"
    )


def data_directory(path: Path) -> Path:
    """Return the directory of the archive to which the mapping file at ``path`` belongs."""
    return path.parent.parent


def read_mapping(raw: Path, notes: Notes, parts: Sequence[Part] = ("client", "path", "label")) -> Iterator[Mapping]:
    """Yield the rows of all mapping files in ``raw``, with the wanted ``parts``; nothing if there are no such files.

    Raises:
        DataError: a row has no client, a label is no whole number, or a path leads out of the archive.
    """
    for path in mapping_files(raw):
        split = path.name.split(".")[0]
        for rows in _read(path, notes, parts):
            _check(rows, parts)
            notes.read += len(rows.table)
            yield Mapping(split, rows)


def _read(path: Path, notes: Notes, parts: Sequence[Part]) -> Iterator[Rows]:
    header = first_values(path, notes)
    if len(header) < FEWEST or len(set(header)) < len(header):
        wanted = "client_id, sample_path, label_name, label_id"
        raise DataError(f"{path}: its header is {', '.join(header)[:200]!r}, but a mapping has {wanted}")
    names = {part: header[_place(part, len(header))] for part in parts}
    types = {name: pa.int64() if name == names.get("label") else pa.large_string() for name in names.values()}
    for rows in read_csv(path, types, notes, Dialect(twice=True)):  # VLOG's script wrote each header twice
        table = pa.table({part: rows.table.column(name).cast(_TYPES[part]) for part, name in names.items()})
        yield Rows(path, rows.first, table)


def _place(part: Part, values: int) -> int:
    place = PLACES[part] % values
    return place if part != "name" or values > FEWEST else values - 1


def _check(rows: Rows, parts: Sequence[Part]) -> None:
    if "client" in parts:
        _refuse(rows, "client", pc.equal(rows.table["client"], ""), "names no client")
    if "path" in parts:
        out = pc.match_substring_regex(rows.table["path"], r"^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)")
        _refuse(rows, "path", out, "leads out of the directory of the data")


def _refuse(rows: Rows, part: str, wrong: Any, why: str) -> None:
    places: npt.NDArray[Any] = np.asarray(wrong)
    if places.any():
        row = int(places.argmax())
        value = rows.table[part][row].as_py()[:80]
        raise DataError(f"{rows.where(row)}, the {part}: {value!r} {why}")
