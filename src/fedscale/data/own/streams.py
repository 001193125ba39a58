"""Own data in files that are read piece by piece: CSV and Parquet of any size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Unpack

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fedscale.data.federated import FederatedDataset
from fedscale.data.importing import Scanned
from fedscale.data.notes import Notes
from fedscale.data.own.build import About, build
from fedscale.data.own.rows import Reader
from fedscale.data.own.tables import ROWS
from fedscale.data.rawcsv import Dialect, Rows, read_csv
from fedscale.errors import DataError, nearest

Files = Path | str | Sequence[Path | str]
"""A file, or several with the same columns, in the order of their rows."""

_KINDS: Final = (pa.int64(), pa.float64(), pa.large_string())
"""What a column of a CSV file may hold, from what fewest values fit to what all do."""


def from_csv(
    files: Files,
    path: Path | str,
    *,
    client: str,
    x: str | Sequence[str] | None = None,
    y: str | None = None,
    text: str | None = None,
    delimiter: str = ",",
    **about: Unpack[About],
) -> FederatedDataset:
    """Write CSV files as a store at ``path`` and open it; memory does not grow with the files.

    They have a header line, are in UTF-8, and may be compressed. Clients count as the texts that stand there. In ``y``
    are labels if all rows have whole numbers, else numbers to predict if all have numbers, else names of labels: files
    are read once to know that, and once more.

    Args:
        files: one or several.
        path: of the store; must not exist.
        client: the column that names each row's client.
        x: the column, or several columns, of numbers that make up an input.
        y: the column of labels, or of numbers to predict.
        text: the column of texts, instead of x and y.
        delimiter: between values.
        about: what the card should say, and the default model; see `About`.

    Raises:
        DataError: naming the file, the row, the column and the value that is missing or does not fit.
    """
    reader, dialect, found = Reader(client, x, y, text=text), Dialect(delimiter=delimiter), _listed(files)
    columns = dict.fromkeys(reader.columns, pa.large_string()) | dict.fromkeys(reader.inputs, pa.float32())
    if y is not None:
        columns[y] = _kind_of(found, y, dialect)
    rows = (rows for file in found for rows in read_csv(file, columns, Notes(), dialect))
    return build(path, reader, (_read(reader, piece) for piece in rows), about, client)


def from_parquet(
    files: Files,
    path: Path | str,
    *,
    client: str,
    x: str | Sequence[str] | None = None,
    y: str | None = None,
    tokens: str | None = None,
    text: str | None = None,
    shape: tuple[int, ...] | None = None,
    **about: Unpack[About],
) -> FederatedDataset:
    """Write Parquet files as a store at ``path`` and open it; memory does not grow with the files.

    Args:
        files: one or several.
        path: of the store; must not exist.
        client: as of `from_table`.
        x: as of `from_table`.
        y: as of `from_table`.
        tokens: as of `from_table`.
        text: as of `from_table`.
        shape: as of `from_table`.
        about: as of `from_table`.

    Raises:
        DataError: naming the file, the row, the column and the value that is missing or does not fit.
    """
    reader = Reader(client, x, y, tokens, text, shape)
    return build(path, reader, _of_parquet(_listed(files), reader), about, client)


def _listed(files: Files) -> list[Path]:
    return [Path(files)] if isinstance(files, Path | str) else [Path(file) for file in files]


def _read(reader: Reader, rows: Rows) -> Scanned:
    if reader.y is not None and rows.table.schema.field(reader.y).type == pa.large_string():
        rows.refuse(reader.y, pc.equal(rows.table.column(reader.y), ""), "a label")
    return reader.read(rows.table, rows.where)


def _kind_of(files: Sequence[Path], name: str, dialect: Dialect) -> pa.DataType:
    """Return the narrowest kind that all values of a column are of."""
    kind = 0
    for file in files:
        for rows in read_csv(file, {name: pa.large_string()}, Notes(), dialect):
            while not _fits(rows, name, _KINDS[kind]):
                kind += 1
            if _KINDS[kind] == pa.large_string():
                return _KINDS[kind]
    return _KINDS[kind]


def _fits(rows: Rows, name: str, kind: pa.DataType) -> bool:
    try:
        rows.table.column(name).cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _of_parquet(files: Sequence[Path], reader: Reader) -> Iterator[Scanned]:
    for file in files:
        try:
            source = pq.ParquetFile(file)
            known = source.schema_arrow.names
            if missing := [name for name in reader.columns if name not in known]:
                raise DataError(f"{file}: there is no column {missing[0]!r}: {nearest(missing[0], known)}")
            first = 1
            for batch in source.iter_batches(ROWS, columns=reader.columns):
                yield reader.read(pa.table(batch), partial(_row, file, first))
                first += len(batch)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{file}: not a Parquet file that can be read: {error}") from None


def _row(file: Path, first: int, row: int) -> str:
    return f"{file} row {first + row}"
