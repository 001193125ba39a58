"""Writing a store as a stream: memory is bounded by one block, and a store appears whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fedscale import files, limits
from fedscale.data.card import Card
from fedscale.data.census import Census
from fedscale.data.columns import arrow_type, parts, to_arrow
from fedscale.data.notes import Notes
from fedscale.data.ragged import Column, IntArray, concatenate
from fedscale.data.values import check_values
from fedscale.errors import DataError

FORMAT: Final = 1
"""Version of the store's format."""

SAMPLES: Final = "samples.arrow"
CLIENTS: Final = "clients.arrow"
VERSION: Final = b"fedscale.format"
CARD: Final = b"fedscale.card"
FINGERPRINT: Final = b"fedscale.fingerprint"
NOTES: Final = b"fedscale.notes"
STATISTICS: Final = b"fedscale.statistics"


class StoreWriter:
    """Writes a store to directory ``path``, client after client.

    ::

        with StoreWriter(path, card) as writer:
            for counts, columns in blocks:
                writer.append(counts, columns)

    Blocks are gathered into record batches of about ``limits.RECORD_BATCH_BYTES``. Everything goes to a temporary
    directory, which is renamed to ``path`` at the end of the ``with``; after an error nothing remains. Two processes
    may write the same store at the same time: the second finds the first one's and leaves it. The store keeps what
    ``notes`` say of the raw files, and a census of its content.
    """

    def __init__(self, path: Path, card: Card, notes: Notes | None = None) -> None:
        self._path = path
        self._card = card
        self._notes = notes or Notes()
        self._temporary = files.temporary(path, "part")
        self._pending: list[tuple[IntArray, Mapping[str, Column]]] = []
        self._pending_bytes = 0
        self._counts: list[IntArray] = []
        self._names: list[str] = []
        self._schema: pa.Schema | None = None
        self._file: pa.RecordBatchFileWriter | None = None
        self._digests: dict[str, list[Any]] = {}
        self._census = Census(card)

    def __enter__(self) -> StoreWriter:
        self._temporary.mkdir(parents=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            if self._file is not None:
                self._file.close()
            shutil.rmtree(self._temporary, ignore_errors=True)

    def append(self, counts: IntArray, columns: Mapping[str, Column], names: Sequence[str] = ()) -> None:
        """Add the next clients: ``counts`` of samples for each, and the columns of all their samples in that order.

        ``names`` are for clients that are public characters, such as roles of a play; all blocks have them or none.

        Raises:
            DataError: the block does not fit the card, the counts, or the blocks before.
        """
        counts = np.asarray(counts, dtype=np.int64)
        _check_block(self._card, counts, columns, names)
        if len(counts) == 0:
            return
        self._names.extend(names)
        self._pending.append((counts, columns))
        self._pending_bytes += sum(part.nbytes for column in columns.values() for part in parts(column))
        if self._pending_bytes >= limits.RECORD_BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        blocks = [columns for _, columns in self._pending]
        columns = {name: concatenate([block[name] for block in blocks]) for name in self._card.columns}
        file = self._writer(pa.schema({name: arrow_type(column) for name, column in columns.items()}))
        file.write_batch(pa.record_batch([to_arrow(column) for column in columns.values()], schema=self._schema))
        for name, column in columns.items():
            for digest, part in zip(self._digests[name], parts(column), strict=False):
                _feed(digest, part)
        self._census.add(columns)
        self._counts.append(np.concatenate([counts for counts, _ in self._pending]))
        self._pending, self._pending_bytes = [], 0

    def _writer(self, schema: pa.Schema) -> pa.RecordBatchFileWriter:
        if self._file is None:
            self._schema = schema
            self._digests = {name: [_hasher(), _hasher()] for name in schema.names}
            self._file = pa.ipc.new_file(str(self._temporary / SAMPLES), schema)
        elif schema != self._schema:
            raise DataError(f"{self._path}: a block's columns are {schema}, those before it {self._schema}")
        return self._file

    def _finish(self) -> None:
        if self._pending:
            self._flush()
        if self._file is None:
            raise DataError(f"{self._path}: a dataset has at least one client")
        self._file.close()
        counts = np.concatenate(self._counts)
        if self._names and len(self._names) != len(counts):
            raise DataError(f"{self._path}: {len(self._names)} names for {len(counts)} clients")
        fingerprint = self._fingerprint(counts)
        self._write_index(counts, fingerprint)
        for name in (SAMPLES, CLIENTS):
            _sync(self._temporary / name)
        self._publish(fingerprint)

    def _fingerprint(self, counts: IntArray) -> str:
        whole = _hasher()
        _feed(whole, counts)
        whole.update(str(self._schema).encode())
        for digests in self._digests.values():
            for digest in digests:
                whole.update(digest.digest())
        return str(whole.hexdigest())

    def _write_index(self, counts: IntArray, fingerprint: str) -> None:
        batches = np.repeat(np.arange(len(self._counts), dtype=np.int32), [len(part) for part in self._counts])
        offsets = np.concatenate([np.cumsum(part) - part for part in self._counts])
        arrays = {"count": pa.array(counts), "batch": pa.array(batches), "offset": pa.array(offsets)}
        if self._names:
            arrays["name"] = pa.array(self._names, type=pa.large_string())
        metadata = {
            VERSION: str(FORMAT).encode(),
            CARD: self._card.model_dump_json().encode(),
            FINGERPRINT: fingerprint.encode(),
            NOTES: json.dumps(self._notes.record()).encode(),
            STATISTICS: json.dumps(self._census.record(counts)).encode(),
        }
        batch = pa.record_batch(arrays).replace_schema_metadata(metadata)
        with pa.ipc.new_file(str(self._temporary / CLIENTS), batch.schema) as file:
            file.write_batch(batch)

    def _publish(self, fingerprint: str) -> None:
        try:
            self._temporary.rename(self._path)
        except OSError:
            if _fingerprint_of(self._path) != fingerprint:
                raise DataError(f"{self._path}: exists already and holds something else: remove it first") from None
        files.sync_directory(self._path.parent)


def _check_block(card: Card, counts: IntArray, columns: Mapping[str, Column], names: Sequence[str]) -> None:
    if set(columns) != set(card.columns):
        raise DataError(f"{card.name}: columns {sorted(columns)}, but a {card.task} set has {sorted(card.columns)}")
    if counts.ndim != 1 or (counts < 1).any():
        raise DataError(f"{card.name}: every client needs at least one sample")
    if names and len(names) != len(counts):
        raise DataError(f"{card.name}: {len(names)} names for {len(counts)} clients")
    for name, column in columns.items():
        if len(column) != counts.sum():
            raise DataError(f"{card.name}: column {name!r} has {len(column)} rows, the clients {counts.sum()} samples")
        check_values(card, name, column)


def _hasher() -> Any:
    return hashlib.blake2b(digest_size=16)


def _feed(digest: Any, array: npt.NDArray[Any]) -> None:
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _fingerprint_of(path: Path) -> str | None:
    try:
        metadata = pa.ipc.open_file(pa.memory_map(str(path / CLIENTS))).schema.metadata or {}
    except (OSError, pa.ArrowException):
        return None
    return str(metadata.get(FINGERPRINT, b""), "ascii")
