"""FedScale's archives of Europarl: sentences in two languages in CSV files, and the clients that they are of.

Two forms are known of. The authors' script (``data-preprocess-script/trans_clean.py`` of github.com/SymbioticLab/Oort)
wrote ``training.csv`` and ``testing.csv`` with the columns ``ClientId,Source,Target``, English and French; numbers of
clients go on from the one to the other. The archive that was distributed later had ``en/en.csv``, ``fr/fr.csv`` and
``client_data_mapping/*.csv`` (``benchmark/dataset/europarl`` of github.com/SymbioticLab/FedScale at 7ec441c2). What
columns those have was never published, nor any code that reads them. So they are read where they leave no doubt: rows
of the two languages belong together one by one; clients are in a column ``client_id``, or else the mapping's second
column numbers the rows from 0, each once, as in the mappings that FedScale's code wrote for texts
(``fedscale/dataloaders/nlp.py``).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fedscale.data.mapping import mapping_files, read_mapping
from fedscale.data.notes import Notes
from fedscale.data.rawcsv import first_values, read_csv
from fedscale.data.rawfile import found
from fedscale.errors import DataError, nearest

LISTS: Final = ("training.csv", "testing.csv")

SIDES: Final = {"en": "Source", "fr": "Target"}
"""Columns of lists by language."""

CLIENT: Final = "client_id"

UNKNOWN: Final = "what the columns of this archive are was never published"

Sentence = tuple[str | None, str]
"""Whose it is, where its file says so, and what it says."""


@dataclass(frozen=True)
class Bilingual:
    """CSV files of two languages.

    Attributes:
        lists: files with a column for each language; empty where each has a file of its own.
        files: one file for each language, if so.
    """

    lists: Sequence[Path]
    files: Mapping[str, Path]

    @property
    def languages(self) -> list[str]:
        """The languages, in the order of their names."""
        return sorted(SIDES if self.lists else self.files)

    def rows(self, source: str, target: str, column: str | None, notes: Notes) -> Iterator[tuple[str, str, str]]:
        """Yield client, sentence and translation.

        Args:
            source: the language of sentences.
            target: that of translations.
            column: the one that holds sentences, where languages have files of their own and ``column`` is in doubt.
            notes: told how far it has come.

        Raises:
            DataError: a file is damaged, or leaves in doubt whose a sentence is, or what translates it.
        """
        if self.lists:
            return (row for path in self.lists for row in _listed(path, SIDES[source], SIDES[target], notes))
        return _aligned(self.files[source], self.files[target], column, notes)


def bilingual(raw: Path) -> Bilingual | None:
    """Return the CSV files in ``raw``, or one folder further down; ``None`` where there are none."""
    if lists := found(raw, *(f"{above}{name}" for name in LISTS for above in ("", "*/"))):
        return Bilingual(lists, {})
    for paths in (found(raw, "[a-z][a-z]/[a-z][a-z].csv"), found(raw, "*/[a-z][a-z]/[a-z][a-z].csv")):
        files = {path.parent.name: path for path in paths if path.name.split(".")[0] == path.parent.name}
        if len(files) > 1:
            return Bilingual([], files)
    return None


def _listed(path: Path, source: str, target: str, notes: Notes) -> Iterator[tuple[str, str, str]]:
    for rows in read_csv(path, dict.fromkeys(("ClientId", source, target), pa.large_string()), notes):
        rows.refuse("ClientId", pc.equal(pc.utf8_trim_whitespace(rows.table["ClientId"]), ""), "a client")
        notes.read += len(rows.table)
        yield from zip(*(column.to_pylist() for column in rows.table.columns), strict=True)


def _aligned(source: Path, target: Path, column: str | None, notes: Notes) -> Iterator[tuple[str, str, str]]:
    names = [_columns(path, column, notes) for path in (source, target)]
    owners = None if any(client for _, client in names) else _owners(source, notes)
    both = [_sentences(path, text, client, notes) for path, (text, client) in zip((source, target), names, strict=True)]
    number = 0
    for number, (one, other) in enumerate(itertools.zip_longest(*both), 1):
        if one is None or other is None:
            short, long = (source, target) if one is None else (target, source)
            raise DataError(
                f"{short}: it ends after row {number - 1}, but {long} goes on: rows of the two belong together"
            )
        notes.read += 1
        if owners is None:
            yield _owner(one[0], other[0], f"{target} row {number}", source), one[1], other[1]
        elif number <= len(owners):
            yield owners[number - 1].as_py(), one[1], other[1]
    if owners is not None and number != len(owners):
        raise DataError(f"{source}: it has {number} rows, but {len(owners)} are numbered in its mapping: {UNKNOWN}")


def _owner(one: str | None, other: str | None, where: str, source: Path) -> str:
    if one is not None and other is not None and one != other:
        raise DataError(f"{where}, column {CLIENT!r}: {other[:40]!r}, but {one[:40]!r} in {source}")
    client = one if one is not None else other
    assert client is not None, "one of the two says so"
    if not client.strip():
        raise DataError(f"{where}, column {CLIENT!r}: it is empty")
    return client


def _columns(path: Path, column: str | None, notes: Notes) -> tuple[str, str | None]:
    """Return the column of sentences, and that of clients if there is one."""
    header = first_values(path, notes)
    others = [name for name in header if name not in ("", CLIENT)]  # a table of pandas begins with one without a name
    if column is not None and column not in header:
        raise DataError(f"{path}: no column {column!r} in its header: {nearest(column, header)}")
    if (column is None and len(others) != 1) or header.count(column or others[0]) > 1:
        shown = ", ".join(header)
        raise DataError(
            f"{path}: its header is {shown[:200]!r}: say with --set column=NAME which one holds sentences ({UNKNOWN})"
        )
    return column or others[0], CLIENT if CLIENT in header else None


def _sentences(path: Path, text: str, client: str | None, notes: Notes) -> Iterator[Sentence]:
    for rows in read_csv(path, dict.fromkeys(filter(None, (text, client)), pa.large_string()), notes):
        clients = rows.table[client].to_pylist() if client else itertools.repeat(None)
        yield from zip(clients, rows.table[text].to_pylist(), strict=False)


def _owners(path: Path, notes: Notes) -> pa.ChunkedArray:
    """Return the client of each row of the language files, of which ``path`` is one."""
    base = path.parent.parent
    if not mapping_files(base):
        raise DataError(f"{path}: no column {CLIENT!r} in its header, and no client_data_mapping in {base}")
    numbers, clients = [], []
    for part in read_mapping(base, Notes(), ("client", "text")):
        part.rows.refuse(
            "text",
            pc.invert(pc.match_substring_regex(part.rows.table["text"], "^[0-9]{1,18}$")),
            f"the number of a row, from 0 ({UNKNOWN})",
        )
        numbers.append(part.rows.table["text"].cast(pa.int64()).to_numpy())
        clients.append(part.clients.combine_chunks())
        notes.progress("rows numbered", sum(map(len, numbers)))
    rows = np.concatenate(numbers)
    order = np.argsort(rows, kind="stable")
    wrong = np.flatnonzero(rows[order] != np.arange(len(rows)))
    if len(wrong):
        first = min(int(rows[order][wrong[0]]), int(wrong[0]))
        raise DataError(
            f"{base}: its mapping must number each row of {path.name} once, from 0, but {first} is missing, or there "
            f"twice ({UNKNOWN})"
        )
    return pa.chunked_array(clients, pa.large_string()).take(pa.array(order))
