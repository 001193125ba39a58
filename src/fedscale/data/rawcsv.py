"""Reading raw CSV files as streams of typed Arrow columns, with errors that name file, row, column and value.

Rows are counted from 1, without the header; a quoted value may hold line ends, so rows are not lines.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from fedscale import limits
from fedscale.data.notes import Notes
from fedscale.data.rawfile import opened
from fedscale.errors import DataError, nearest

Types = Mapping[str, pa.DataType]

MARK: Final = b"\xef\xbb\xbf"
"""The byte order mark with which some files begin."""

BLOCK_BYTES: Final = 4 << 20

DECIMAL: Final = r"^(-?\d+)\.0+$"
"""A whole number, as programs write it that know only others."""


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written.

    Attributes:
        delimiter: between values.
        quoted: whether values may stand in double quotes; if not, quotes are characters like others.
        header: names of the columns, for files without a header line.
        rename: other spellings of columns in headers, e.g. ``{"new_user_class_level ": "new_user_class_level"}``.
        missing: what stands for a missing value in columns that may have such.
        twice: whether the first row may be the header once more, which is left out then.
        unnamed: values at the beginning of rows for which the header has no names.
    """

    delimiter: str = ","
    quoted: bool = True
    header: Sequence[str] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    missing: Sequence[str] = ("",)
    twice: bool = False
    unnamed: int = 0


@dataclass(frozen=True)
class Rows:
    """Consecutive rows of a file; ``first`` is the number of the first."""

    path: Path
    first: int
    table: pa.Table

    def where(self, index: int) -> str:
        """Name the row with this index in ``table``."""
        return f"{self.path} row {self.first + index}"

    def refuse(self, column: str, wrong: npt.ArrayLike, expected: str) -> None:
        """Make sure that no row is ``wrong``, given a truth value for each (an array of NumPy's or Arrow's).

        Raises:
            DataError: one is; it names the first, its value in ``column``, and what is ``expected`` there.
        """
        rows = np.flatnonzero(np.asarray(wrong) == True)  # noqa: E712 - a missing value is neither
        if len(rows):
            value = self.table[column][int(rows[0])].as_py()
            raise DataError(f"{self.where(int(rows[0]))}, column {column!r}: {value!r} is not {expected}")


def read_csv(
    path: Path,
    columns: Types,
    notes: Notes,
    dialect: Dialect | None = None,
    optional: Collection[str] = (),
) -> Iterator[Rows]:
    """Yield the rows of a CSV file (which may be compressed), block by block.

    Args:
        path: of the file.
        columns: those that are wanted, and their types.
        notes: told how far it has come.
        dialect: how the file is written; by default commas, quotes and a header line.
        optional: columns in which a value may be missing (null), as the dialect writes it; elsewhere only strings may
            be empty.

    Raises:
        DataError: the file is absent or has no header, no such column, a row with more or fewer values, or a value of
            another type. A header alone is a table without rows.
    """
    dialect = dialect or Dialect()
    missing = pa.array(dialect.missing, pa.large_string())
    first = 1
    with opened(path, notes) as stream:
        try:
            for batch in _reader(path, stream, columns, dialect) or ():
                table = pa.table(batch)
                if dialect.twice and first == 1 and table.slice(0, 1).to_pylist() == [{name: name for name in columns}]:
                    table, first = table.slice(1), 2
                yield Rows(path, first, _typed(path, first, table, columns, dict.fromkeys(optional, missing)))
                first += len(table)
        except (pa.ArrowInvalid, UnicodeDecodeError) as error:
            raise DataError(f"{path}, after row {first - 1}: {_reason(error)}") from None
        except OSError as error:
            raise DataError(f"{path}, after row {first - 1}: cannot be read: {error}") from None


def _reader(path: Path, stream: io.BufferedReader, columns: Types, dialect: Dialect) -> pa.RecordBatchReader | None:
    """Return a reader of strings, or nothing if there is no row."""
    header = list(dialect.header) or _header(path, stream, dialect)
    header = [dialect.rename.get(name, name) for name in header]
    header = [f"unnamed {place}" for place in range(dialect.unnamed)] + header
    for name in columns:
        if name not in header:
            raise DataError(
                f"{path}: no column {name!r} in its header: {nearest(name, [each[:40] for each in header])}"
            )
    if not stream.peek(1):
        return None
    parse = pyarrow.csv.ParseOptions(
        delimiter=dialect.delimiter,
        quote_char='"' if dialect.quoted else False,
        newlines_in_values=dialect.quoted,
    )
    convert = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(columns, pa.large_string()),
        include_columns=list(columns),
        strings_can_be_null=False,
    )
    read = pyarrow.csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, column_names=header)
    return pyarrow.csv.open_csv(stream, read, parse, convert)


def _header(path: Path, stream: io.BufferedReader, dialect: Dialect) -> list[str]:
    line = stream.readline(limits.RAW_LINE_BYTES)
    if not line.removeprefix(MARK).strip():
        raise DataError(f"{path}: no header: the file is empty")
    return divided(path, line, dialect)


def first_values(path: Path, notes: Notes) -> list[str]:
    """Return the values of the first line of a file (which may be compressed), none if it is empty.

    Raises:
        DataError: the file is absent, damaged, or no CSV.
    """
    with opened(path, notes) as stream:
        try:
            line = stream.readline(limits.RAW_LINE_BYTES)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error}") from None
    return divided(path, line, Dialect())


def divided(path: Path, line: bytes, dialect: Dialect) -> list[str]:
    """Return the values of one of the first lines of the file at ``path``.

    Raises:
        DataError: it cannot be divided.
    """
    text = line.removeprefix(MARK).decode(errors="replace").rstrip("\r\n")
    if not dialect.quoted:
        return text.split(dialect.delimiter)
    try:
        return next(csv.reader([text], delimiter=dialect.delimiter), [])
    except csv.Error as error:
        why = "its lines end with carriage returns alone: let them end with line feeds" if "\r" in text else str(error)
        raise DataError(f"{path}: not CSV: {text[:40]!r} cannot be divided into values: {why}") from None


def _typed(path: Path, first: int, table: pa.Table, columns: Types, missing: Mapping[str, pa.Array]) -> pa.Table:
    arrays = {}
    for name, kind in columns.items():
        values = table.column(name)
        if name in missing:
            values = pc.if_else(pc.is_in(values, missing[name]), pa.scalar(None, values.type), values)
        arrays[name] = _cast(path, first, name, values, kind)
    return pa.table(arrays)


def _cast(path: Path, first: int, name: str, values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if kind == values.type:
        return values
    try:
        return values.cast(kind)
    except pa.ArrowInvalid:
        if pa.types.is_integer(kind) and _decimals(values):
            return _cast(path, first, name, pc.replace_substring_regex(values, DECIMAL, r"\1"), kind)
        for index, value in enumerate(values.to_pylist()):
            if value is not None and not _fits(value, kind):
                raise DataError(
                    f"{path} row {first + index}, column {name!r}: {value!r} is not {_called(kind)}"
                ) from None
        raise


def _decimals(values: pa.ChunkedArray) -> bool:
    return bool(pc.any(pc.match_substring_regex(values, DECIMAL)).as_py())


def _called(kind: pa.DataType) -> str:
    if pa.types.is_integer(kind):
        return "a whole number"
    return "a number" if pa.types.is_floating(kind) else f"a value of type {kind}"


def _fits(value: str, kind: pa.DataType) -> bool:
    try:
        pa.array([value], pa.large_string()).cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _reason(error: Exception) -> str:
    return str(error).removeprefix("CSV parse error: ").removeprefix("In CSV column #").strip()[:200]  # it quotes rows
