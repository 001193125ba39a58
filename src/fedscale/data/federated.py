"""A federated dataset: samples grouped by client, in flat columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from fedscale.data.card import Card
from fedscale.data.encoded import Samples, take_samples
from fedscale.data.ragged import IntArray, Ragged, Rows
from fedscale.errors import DataError


@dataclass(frozen=True)
class ClientData:
    """The samples of one client; its columns are views into the dataset's."""

    client: int
    columns: Mapping[str, Samples]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def take(self, rows: Rows) -> ClientData:
        """Return some of the samples; a slice stays a view, an array of row numbers makes a copy."""
        return ClientData(self.client, {name: take_samples(column, rows) for name, column in self.columns.items()})


@dataclass(frozen=True)
class Block:
    """Neighbouring clients whose samples lie in one piece: clients ``first`` to ``first + len(counts) - 1``."""

    first: int
    counts: IntArray
    columns: Mapping[str, Samples]


class Rowstore(Protocol):
    """Where a dataset's samples lie."""

    def client(self, index: int) -> Mapping[str, Samples]:
        """Return views of one client's columns."""
        ...

    def take(self, rows: IntArray) -> Mapping[str, Samples]:
        """Return copies of chosen rows in the order given; rows are numbered from 0 through all clients."""
        ...

    def prefetch(self, clients: Sequence[int]) -> None:
        """Begin to read what clients have, and do not wait for it."""
        ...

    def blocks(self) -> Iterator[Block]:
        """Yield all samples, block by block, in the order of clients."""
        ...


@dataclass(frozen=True)
class FederatedDataset:
    """Samples grouped by client, opened from a store; ``len`` is the number of clients.

    ``path`` is the store's directory: other processes open the same data with ``open_store(path)``. ``counts`` is the
    number of samples of each client, int64. ``fingerprint`` is 32 hex digits of the content.
    """

    card: Card
    path: Path
    counts: IntArray
    fingerprint: str
    rows: Rowstore

    def __len__(self) -> int:
        return len(self.counts)

    def client(self, index: int) -> ClientData:
        """Return the samples of one client without copying them.

        Raises:
            DataError: there is no such client, or its part of the store is damaged.
        """
        if not 0 <= index < len(self):
            raise DataError(f"{self.path}: no client {index}: the dataset has clients 0 to {len(self) - 1}")
        return ClientData(int(index), self.rows.client(int(index)))

    def __getitem__(self, index: int) -> dict[str, npt.NDArray[Any] | list[npt.NDArray[Any]]]:
        """Return one client's columns as NumPy arrays; where rows vary in length, a list of one array per row."""
        columns = self.client(index).columns
        return {name: column.rows() if isinstance(column, Ragged) else column[:] for name, column in columns.items()}

    def __iter__(self) -> Iterator[dict[str, npt.NDArray[Any] | list[npt.NDArray[Any]]]]:
        """Yield what each client has, as ``dataset[client]`` does."""
        return (self[index] for index in range(len(self)))

    def prefetch(self, clients: Sequence[int]) -> None:
        """Begin to read from disk what these clients have, while others are worked on."""
        self.rows.prefetch(clients)

    def blocks(self) -> Iterator[Block]:
        """Yield all samples block by block, for sums over many clients without a loop over them."""
        return self.rows.blocks()
