"""Opening a store: a dataset on disk, memory-mapped, so that its size does not matter until rows are touched.

A store is a directory of two Arrow IPC files (docs/data.md describes them). ``samples.arrow`` holds the samples in
the order of clients, as record batches of whole clients. ``clients.arrow`` holds one row per client (its ``count`` of
samples, the record ``batch`` they lie in and their ``offset`` in it) and, as metadata, the card and the fingerprint.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import ValidationError

from fedscale.data.card import Card
from fedscale.data.columns import from_arrow, shared
from fedscale.data.encoded import Samples, keeps_decoded, wrapper
from fedscale.data.federated import Block, FederatedDataset, Rowstore
from fedscale.data.mapped import Mapped
from fedscale.data.ragged import Column, IntArray, Ragged, concatenate, take
from fedscale.data.writer import CARD, CLIENTS, FINGERPRINT, FORMAT, NOTES, SAMPLES, STATISTICS, VERSION, StoreWriter
from fedscale.errors import DataError

__all__ = ["StoreWriter", "client_names", "is_store", "open_store", "told_of"]

_REMEDY: Final = "fetch or import the dataset again"


class StoredRows:
    """The samples of a store; a record batch is looked at when a client in it is first asked for."""

    def __init__(self, path: Path, card: Card, index: Mapping[str, npt.NDArray[Any]]) -> None:
        self._path = path
        self._counts: IntArray = index["count"]
        self._batches = index["batch"]
        self._offsets: IntArray = index["offset"]
        self._reader, self._file = _open(path)
        self._read = np.zeros(len(self._counts), dtype=bool)
        expected = int(self._batches[-1]) + 1
        if self._reader.num_record_batches != expected:
            found = self._reader.num_record_batches
            raise DataError(f"{path}: {found} record batches, but {CLIENTS} speaks of {expected}: {_REMEDY}")
        if sorted(self._reader.schema.names) != sorted(card.columns):
            found = sorted(self._reader.schema.names)
            raise DataError(f"{path}: columns {found}, but the card's task reads {sorted(card.columns)}: {_REMEDY}")
        self._columns: dict[int, dict[str, Column]] = {}
        self._encoded = wrapper(card)
        self._keeps = keeps_decoded(card, self._counts)
        self._decoded: dict[int, npt.NDArray[Any]] = {}

    def __reduce__(self) -> tuple[Callable[[Path], Rowstore], tuple[Path]]:
        """Say how another process has the same rows: it opens the store, so that none of it is copied."""
        return _rows_of, (self._path.parent.resolve(),)

    def client(self, index: int) -> dict[str, Samples]:
        """Return views of one client's columns; images and recordings of a small set are decoded, once."""
        columns = self._wrapped(self._stored(index), f"{self._path}, client {index}")
        if self._keeps:
            if index not in self._decoded:
                self._decoded[index] = columns["x"][:]  # type: ignore[index]
            columns["x"] = self._decoded[index]
        return columns

    def _wrapped(self, columns: Mapping[str, Column], where: str) -> dict[str, Samples]:
        """Return columns with ``x`` as what it is decoded to, if it is encoded."""
        if self._encoded is None:
            return dict(columns)
        stored = columns["x"]
        assert isinstance(stored, Ragged)
        return {**columns, "x": self._encoded(stored, where)}

    def _stored(self, index: int) -> dict[str, Column]:
        columns = self._batch(int(self._batches[index]))
        start = int(self._offsets[index])
        rows = slice(start, start + int(self._counts[index]))
        return {name: take(column, rows) for name, column in columns.items()}

    def take(self, rows: IntArray) -> dict[str, Samples]:
        """Return copies of chosen rows, in the order given."""
        return self._wrapped(self._taken(rows), str(self._path))

    def _taken(self, rows: IntArray) -> dict[str, Column]:
        numbers = np.searchsorted(self._ends, rows, side="right")
        if len(rows) == 0:
            return {name: take(column, rows) for name, column in self._batch(0).items()}
        order = np.argsort(numbers, kind="stable")
        touched, firsts = np.unique(numbers[order], return_index=True)
        pieces = []
        for number, chosen in zip(touched.tolist(), np.split(order, firsts[1:]), strict=True):
            start = int(self._ends[number - 1]) if number else 0
            pieces.append({name: take(column, rows[chosen] - start) for name, column in self._batch(number).items()})
        back = np.argsort(order)
        return {name: take(concatenate([piece[name] for piece in pieces]), back) for name in pieces[0]}

    @cached_property
    def _ends(self) -> IntArray:
        """The row after the last one of each record batch."""
        firsts = np.searchsorted(self._batches, np.arange(self._reader.num_record_batches))
        return np.cumsum(np.add.reduceat(self._counts, firsts))

    def prefetch(self, clients: Sequence[int]) -> None:
        """Have the system read what these clients have, unless it did so before and can hold it all."""
        for client in clients:
            if self._read[client] and not self._file.is_large:
                continue
            self._read[client] = True
            for column in self._stored(client).values():
                self._file.will_need(column.values if isinstance(column, Ragged) else column)

    def blocks(self) -> Iterator[Block]:
        """Yield all samples, one record batch at a time."""
        for number in range(self._reader.num_record_batches):
            first, last = self._clients_of(number)
            columns = self._wrapped(self._batch(number), f"{self._path}, record batch {number}")
            yield Block(first, self._counts[first:last], columns)

    def _batch(self, number: int) -> dict[str, Column]:
        if number not in self._columns:
            try:
                batch = self._reader.get_batch(number)
                batch.validate(full=True)
                columns = {name: from_arrow(batch.column(name)) for name in batch.schema.names}
            except (OSError, pa.ArrowException, DataError) as error:
                raise DataError(f"{self._path}, record batch {number}: damaged: {error}: {_REMEDY}") from None
            self._check(number, batch.num_rows)
            self._columns[number] = columns
        return self._columns[number]

    def _check(self, number: int, rows: int) -> None:
        first, last = self._clients_of(number)
        ends = self._offsets[first:last] + self._counts[first:last]
        if ends[-1] != rows or self._offsets[first] != 0 or (ends[:-1] != self._offsets[first + 1 : last]).any():
            raise DataError(f"{self._path}, record batch {number}: {rows} rows do not fit {CLIENTS}: {_REMEDY}")

    def _clients_of(self, number: int) -> tuple[int, int]:
        first, last = np.searchsorted(self._batches, [number, number + 1])
        return int(first), int(last)


def open_store(path: Path) -> FederatedDataset:
    """Open the store in directory ``path``; nothing but its index is read, whatever its size.

    Raises:
        DataError: there is no store, or it is damaged or of another version; the message names the file.
    """
    reader, _ = _open(path / CLIENTS)
    index, card, fingerprint = _read_index(path / CLIENTS, reader)
    return FederatedDataset(card, path, index["count"], fingerprint, StoredRows(path / SAMPLES, card, index))


def _rows_of(path: Path) -> Rowstore:
    return open_store(path).rows


def is_store(path: Path) -> bool:
    """Say whether directory ``path`` holds a store."""
    return (path / CLIENTS).is_file()


def told_of(dataset: FederatedDataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the store says of its own content (`fedscale.data.census`) and of the raw files it was made from.

    Either is empty in a store that was written by an earlier edition.
    """
    reader, _ = _open(dataset.path / CLIENTS)
    metadata = reader.schema.metadata or {}
    try:
        census, notes = (json.loads(metadata.get(key, b"{}")) for key in (STATISTICS, NOTES))
    except ValueError as error:
        raise DataError(f"{dataset.path / CLIENTS}: damaged: {error}: {_REMEDY}") from None
    return dict(census), dict(notes)


def client_names(dataset: FederatedDataset) -> list[str] | None:
    """Return the clients' names, for the few datasets whose clients are public characters; else ``None``.

    Views that give samples to other clients have no names.
    """
    reader, _ = _open(dataset.path / CLIENTS)
    if (reader.schema.metadata or {}).get(FINGERPRINT) != dataset.fingerprint.encode():
        return None
    batch = reader.get_batch(0)
    return batch.column("name").to_pylist() if "name" in batch.schema.names else None


def _open(path: Path) -> tuple[pa.RecordBatchFileReader, Mapped]:
    if not path.is_file():
        raise DataError(f"{path}: no such file: a store has {CLIENTS} and {SAMPLES}")
    try:
        file = Mapped(path)
        return pa.ipc.open_file(file.buffer), file
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{path}: not an Arrow file, or cut off: {error}: {_REMEDY}") from None


def _read_index(path: Path, reader: pa.RecordBatchFileReader) -> tuple[dict[str, npt.NDArray[Any]], Card, str]:
    metadata = reader.schema.metadata or {}
    if metadata.get(VERSION) != str(FORMAT).encode():
        raise DataError(f"{path}: store format {metadata.get(VERSION, b'?')!r}, not {FORMAT}: {_REMEDY}")
    try:
        batch = reader.get_batch(0)
        index = {name: shared(batch.column(name)) for name in ("count", "batch", "offset")}
        card, fingerprint = Card.model_validate_json(metadata[CARD]), metadata[FINGERPRINT].decode()
    except (OSError, DataError, pa.ArrowException, KeyError, ValidationError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: damaged: {error}: {_REMEDY}") from None
    if not _consistent(index):
        raise DataError(f"{path}: the index of clients is inconsistent: {_REMEDY}")
    return index, card, fingerprint


def _consistent(index: Mapping[str, npt.NDArray[Any]]) -> bool:
    counts, batches = index["count"], index["batch"]
    if len(counts) == 0 or any(column.dtype.kind != "i" for column in index.values()):
        return False
    steps = np.diff(batches)
    return bool(counts.min() >= 1 and batches[0] == 0 and steps.min(initial=0) >= 0 and steps.max(initial=0) <= 1)
