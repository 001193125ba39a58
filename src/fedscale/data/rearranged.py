"""Views of a dataset that give its samples to other clients; the samples stay where they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fedscale import limits
from fedscale.data.columns import parts
from fedscale.data.encoded import Samples, keeps_decoded, stored
from fedscale.data.federated import Block, FederatedDataset, Rowstore
from fedscale.data.ragged import IntArray


def rearranged(dataset: FederatedDataset, counts: IntArray, rows: npt.NDArray[np.integer[Any]]) -> FederatedDataset:
    """Return a dataset whose clients have other samples of ``dataset``: views, no copies.

    Args:
        dataset: whose samples are meant; itself a store or a view.
        counts: number of samples of each new client, at least 1.
        rows: which samples they have, one client's behind the other's: numbers of rows, counted through all clients of
            ``dataset``. A row may come more than once, or not at all. They stay in memory, 4 bytes each below 2³¹ rows.
    """
    counts = np.asarray(counts, dtype=np.int64)
    rows = rows.astype(row_type(int(dataset.counts.sum())), copy=False)
    assert counts.min() >= 1 and counts.sum() == len(rows)
    digest = hashlib.blake2b(dataset.fingerprint.encode(), digest_size=16)
    for array in (counts, rows):
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    view = _Rearranged(dataset.rows, counts, rows, keeps=keeps_decoded(dataset.card, counts))
    return replace(dataset, counts=counts, fingerprint=digest.hexdigest(), rows=view)


def of_clients(dataset: FederatedDataset, clients: IntArray) -> FederatedDataset:
    """Return a dataset of some of the clients, in the order given: client 0 is ``clients[0]``."""
    starts = np.cumsum(dataset.counts) - dataset.counts
    counts = dataset.counts[clients]
    return rearranged(dataset, counts, ranges(starts[clients], counts))


def row_type(rows: int) -> type[np.signedinteger[Any]]:
    """Return the narrower type that can number so many rows."""
    return np.int32 if rows <= np.iinfo(np.int32).max else np.int64


def ranges(starts: IntArray, lengths: IntArray) -> IntArray:
    """Return whole numbers that count up from each start, as many as its length says, one range behind the other."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(lengths.sum())


class _Rearranged:
    def __init__(self, base: Rowstore, counts: IntArray, rows: npt.NDArray[Any], *, keeps: bool) -> None:
        self._base = base
        self._keeps = keeps
        self._decoded: dict[int, npt.NDArray[Any]] = {}
        self._counts = counts
        self._rows = rows
        self._ends = np.cumsum(counts)

    def client(self, index: int) -> Mapping[str, Samples]:
        """Return copies of one client's columns; images and recordings of a small set are decoded, once."""
        end = int(self._ends[index])
        columns = self._base.take(self._rows[end - int(self._counts[index]) : end])
        if not self._keeps:
            return columns
        if index not in self._decoded:
            self._decoded[index] = columns["x"][:]  # type: ignore[index]
        return {**columns, "x": self._decoded[index]}

    def take(self, rows: npt.NDArray[Any]) -> Mapping[str, Samples]:
        """Return copies of chosen rows."""
        return self._base.take(self._rows[rows])

    def prefetch(self, clients: Sequence[int]) -> None:
        """Do nothing: a client's samples lie all over the file."""

    def blocks(self) -> Iterator[Block]:
        """Yield all samples, copied, a few megabytes at a time."""
        begin = 0
        while begin < len(self._counts):
            start = int(self._ends[begin] - self._counts[begin])
            last = np.searchsorted(self._ends, start + self._block_rows, side="right")
            end = max(begin + 1, int(last))
            rows = self._rows[start : int(self._ends[end - 1])]
            yield Block(begin, self._counts[begin:end], self._base.take(rows))
            begin = end

    @property
    def _block_rows(self) -> int:
        """How many rows are about as large as a record batch, judged by a hundred of them."""
        some = self._base.take(self._rows[:: max(1, len(self._rows) // 100)][:100])
        size = sum(part.nbytes for column in some.values() for part in parts(stored(column)))
        return max(1, 100 * limits.RECORD_BATCH_BYTES // max(1, size))
