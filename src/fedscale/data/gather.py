"""Rows of any order, put in the order of clients: in memory while they are few, else through temporary files.

Rows are sorted by their client's digest (`fedscale.data.identity`). Beyond ``limits.GATHER_BYTES`` they are dealt out
to 256 files by the digest's first byte, each of which is then sorted by itself: memory does not grow with the set.
Within a client, rows stay in the order in which they came.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fedscale import limits
from fedscale.data.identity import client_keys
from fedscale.data.ragged import IntArray

FILES: Final = 256
_HIGH, _LOW = "fedscale.high", "fedscale.low"


@dataclass(frozen=True)
class Group:
    """Neighbouring clients: how many rows each has, and the rows of all of them, in that order."""

    counts: IntArray
    rows: pa.Table


class Gather:
    """Collects rows by `add`, then yields them by client, as often as wanted, by `groups`.

    Args:
        directory: for temporary files; the caller makes and removes it.
        memory: bytes that are kept before rows go to files.
    """

    def __init__(self, directory: Path, memory: int = limits.GATHER_BYTES) -> None:
        self._directory = directory
        self._memory = memory
        self._pending: list[pa.Table] = []
        self._bytes = 0
        self._files: dict[int, pa.RecordBatchStreamWriter] = {}
        self._closed = False

    def add(self, clients: pa.Array, rows: pa.Table) -> None:
        """Add rows; ``clients`` (strings or bytes) names each row's client."""
        assert not self._closed, "rows are added before they are looked at"
        if len(rows) == 0:
            return
        keys = client_keys(clients)
        keyed = rows.append_column(_HIGH, pa.array(keys[:, 0])).append_column(_LOW, pa.array(keys[:, 1]))
        self._pending.append(keyed)
        self._bytes += keyed.nbytes
        if self._bytes > self._memory:
            self._deal()

    def groups(self, clients: int | None = None, together: int | None = None) -> Iterator[Group]:
        """Yield all rows by client, in groups of whole clients of about ``limits.GROUP_BYTES``.

        Args:
            clients: stop after so many; they are a fixed sample of all, since digests are as good as random.
            together: rows of a group at most, unless one client has more.
        """
        self._close()
        for table in self._parts():
            for group in _by_client(table, together):
                yield group if clients is None else _first(group, clients)
                if clients is not None:
                    clients -= len(group.counts)
                    if clients <= 0:
                        return

    def _deal(self) -> None:
        table = pa.concat_tables(self._pending).combine_chunks()
        self._pending, self._bytes = [], 0
        files = (table.column(_HIGH).to_numpy() >> np.uint64(56)).astype(np.uint8)
        order = np.argsort(files, kind="stable")
        table, bounds = table.take(pa.array(order)), np.searchsorted(files[order], np.arange(FILES + 1))
        for file, (start, stop) in enumerate(itertools.pairwise(bounds)):
            if stop > start:
                self._file(file, table.schema).write_table(table.slice(start, stop - start))
        del table
        pa.default_memory_pool().release_unused()  # which else keeps as much again as is used

    def _file(self, number: int, schema: pa.Schema) -> pa.RecordBatchStreamWriter:
        if number not in self._files:
            self._files[number] = pa.ipc.new_stream(str(self._path(number)), schema)
        return self._files[number]

    def _path(self, number: int) -> Path:
        return self._directory / f"rows-{number:03d}.arrow"

    def _close(self) -> None:
        if not self._closed and self._files and self._pending:
            self._deal()
        for file in self._files.values():
            file.close()
        self._closed = True

    def _parts(self) -> Iterator[pa.Table]:
        """Yield tables of rows such that all of a client are in one, and tables are in the order of digests."""
        if self._pending:
            yield pa.concat_tables(self._pending)
        for number in sorted(self._files):
            with pa.ipc.open_stream(str(self._path(number))) as reader:
                yield reader.read_all()


def _by_client(table: pa.Table, together: int | None) -> Iterator[Group]:
    keys = [table.column(name).to_numpy() for name in (_LOW, _HIGH)]
    order = np.lexsort(keys)
    low, high = (key[order] for key in keys)
    starts = np.flatnonzero(np.r_[True, (low[1:] != low[:-1]) | (high[1:] != high[:-1])])
    counts = np.diff(np.r_[starts, len(order)])
    rows = table.drop_columns([_HIGH, _LOW]).combine_chunks()  # to take from pieces is to join them every time
    most = max(1, limits.GROUP_BYTES * len(order) // max(1, rows.nbytes))
    for first, last in _pieces(starts, counts, min(most, together or most)):
        end = starts[last - 1] + counts[last - 1]
        yield Group(counts[first:last], rows.take(pa.array(order[starts[first] : end])))


def _pieces(starts: IntArray, counts: IntArray, most: int) -> Iterator[tuple[int, int]]:
    """Cut clients into runs of up to ``most`` rows, one client at least."""
    ends = starts + counts
    first = 0
    while first < len(starts):
        last = max(first + 1, int(np.searchsorted(ends, starts[first] + most, side="right")))
        yield first, last
        first = last


def _first(group: Group, clients: int) -> Group:
    counts: npt.NDArray[Any] = group.counts[:clients]
    return Group(counts, group.rows.slice(0, int(counts.sum())))
