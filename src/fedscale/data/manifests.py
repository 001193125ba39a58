"""FedScale's archive of Common Voice: lists of recordings, files with their transcripts, and clients' numbers.

``train.csv`` and ``test.csv``, in the archive's folder or in its ``client_data_mapping``, begin with a header; the
first value of a row is the path of a recording, the second the path of a text file with what is said in it, the third
the client's number (``fedscale/dataloaders/voice_data_loader.py`` of github.com/SymbioticLab/FedScale at 7ec441c2, and
``benchmark/dataset/common_voice`` there). Paths may be those of the machine where the lists were made: what is looked
for is the longest end of a path that exists in the archive. Nothing outside of it is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from fedscale import files, limits
from fedscale.data.characters import spoken
from fedscale.data.importing import Scanned
from fedscale.data.mapping import FOLDER, mapping_files
from fedscale.data.media import path_column
from fedscale.data.notes import Notes
from fedscale.data.rawcsv import Rows, first_values, read_csv
from fedscale.data.rawfile import found
from fedscale.errors import DataError

SPLITS: Final = ("train", "val", "dev", "test")

WANTED: Final = "the path of a recording, the path of its transcript, the number of the client"


def manifests(raw: Path) -> list[Path]:
    """Return the lists in ``raw``, or one folder further down."""
    return mapping_files(raw) or found(raw, *(f"{above}{split}.csv" for split in SPLITS for above in ("", "*/")))


def scan_manifests(paths: Sequence[Path], notes: Notes) -> Iterator[Scanned]:
    """Yield client, ``name``, ``text`` and ``path`` of each row of the lists that has a transcript.

    Raises:
        DataError: a list has other columns, or a row no path or no number.
    """
    for path in paths:
        base = path.parent.parent if path.parent.name == FOLDER else path.parent
        places = Places((base, base / path.name.split(".")[0]))
        header = first_values(path, notes)
        if len(header) < 3 or len(set(header)) < len(header) or header[0] == "client_id":
            raise DataError(f"{path}: its header is {', '.join(header)!r}, but a row has {WANTED}")
        sound, text, client = header[:3]
        columns = {sound: pa.large_string(), text: pa.large_string(), client: pa.int64()}
        for rows in read_csv(path, columns, notes):
            notes.read += len(rows.table)
            yield _scanned(rows, (sound, text, client), places, notes)


@dataclass(frozen=True)
class Places:
    """Where the files are that paths name: under any of ``bases``, at the longest end of the path that is there."""

    bases: tuple[Path, ...]
    _known: dict[str, list[Path]] = field(default_factory=dict, repr=False)

    def find(self, name: str) -> Path | None:
        """Return the file, ``None`` if it is not there."""
        path = PurePosixPath(name)
        return next((file for folder in self._folders(path.parent) if (file := folder / path.name).is_file()), None)

    def _folders(self, parent: PurePosixPath) -> list[Path]:
        if (folders := self._known.get(str(parent))) is None:
            parts = [part for part in parent.parts if part != "/"]
            ends = [base.joinpath(*parts[start:]) for start in range(len(parts) + 1) for base in self.bases]
            folders = self._known[str(parent)] = [end for end in ends if end.is_dir()]
        return folders


def _scanned(rows: Rows, columns: tuple[str, str, str], places: Places, notes: Notes) -> Scanned:
    sound, text, client = columns
    rows.refuse(client, pc.less(rows.table[client], 0), "the number of a client")
    for column in (sound, text):
        bad = pc.match_substring_regex(rows.table[column], r"^\s*$|[\x00\n]|(^|[/\\])\.\.([/\\]|$)")
        rows.refuse(column, bad, "a path within the archive")
    names = rows.table[sound].to_pylist()
    texts = [_transcript(places.find(name)) for name in rows.table[text].to_pylist()]
    kept = [row for row, said in enumerate(texts) if isinstance(said, str)]
    for row, said in enumerate(texts):
        if not isinstance(said, str):
            notes.skip(said.args[0], rows.where(row))
    table = pa.table(
        {
            "name": pa.array([names[row] for row in kept], pa.large_string()),
            "text": pa.array([texts[row] for row in kept], pa.large_string()),
            "path": path_column([places.find(names[row]) for row in kept]),
        }
    )
    numbers = rows.table[client].take(pa.array(kept, pa.int64())).to_pylist()
    split = rows.path.name.split(".")[0]  # numbers begin anew in each list
    return Scanned(pa.array([f"{split}/{number}" for number in numbers], pa.large_string()), table)


def _transcript(path: Path | None) -> str | LookupError:
    """Return what is said, as it is spoken, or why nobody knows."""
    if path is None:
        return LookupError("the transcript is not there")
    try:
        return spoken(files.read_bytes(path, limits.ANNOTATION_BYTES).decode())
    except (DataError, UnicodeDecodeError):
        return LookupError("a transcript that cannot be read")
