"""One client's samples as a PyTorch ``Dataset`` and ``DataLoader``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler

from fedscale import seeds
from fedscale.data.card import COLUMNS, Card
from fedscale.data.encoded import Samples, stored
from fedscale.data.federated import FederatedDataset
from fedscale.data.ragged import Ragged
from fedscale.data.values import BOX

Batch = tuple[Tensor | list[Tensor], ...]
"""One tensor per column of the card; boxes are a list of tensors, since images have different numbers of them."""


class TorchClient(Dataset[Batch]):
    """A client's samples; ``dataset[i]`` is a tuple of tensors, one per column of the card.

    Inputs and numbers to predict are float32 (inputs times the card's ``x_scale``), labels and tokens int64, labels of
    multi-label sets 0 or 1 for each class, boxes (boxes, 5). ``batch`` stacks several; rows of tokens are filled
    up with 0, the padding.

    Args:
        dataset: a store, or a view of one.
        client: its number.
    """

    def __init__(self, dataset: FederatedDataset, client: int) -> None:
        self._card = dataset.card
        self._data = dataset.client(client)

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> Batch:
        """Return one sample."""
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index}: the client has {len(self)}")
        return tuple(column[0] for column in self.batch([index]))

    def batch(self, rows: Sequence[int]) -> Batch:
        """Return samples side by side."""
        numbers = np.asarray(rows, dtype=np.int64)
        columns = self._data.columns
        return tuple(_tensor(self._card, name, columns[name], numbers) for name in self._card.columns)


class _Batches(Dataset[Batch]):
    """A client's samples, asked for by lists of rows."""

    def __init__(self, client: TorchClient) -> None:
        self._client = client

    def __getitem__(self, rows: Sequence[int]) -> Batch:
        return self._client.batch(rows)


def loader(
    dataset: FederatedDataset, client: int, batch_size: int = 32, *, shuffle: bool = True, seed: int = 1, **options: Any
) -> DataLoader[Batch]:
    """Return a ``DataLoader`` of one client's batches, in an order that follows from ``seed`` and the client.

    Args:
        dataset: a store, or a view of one.
        client: its number.
        batch_size: of all batches but the last, which may be smaller.
        shuffle: anew in every pass.
        seed: of the order.
        options: others of ``DataLoader``, such as ``num_workers``.
    """
    samples = TorchClient(dataset, client)
    generator = torch.Generator().manual_seed(seeds.derive(seed, "loader", client) >> 1)
    order = RandomSampler(samples, generator=generator) if shuffle else SequentialSampler(samples)
    sampler = BatchSampler(order, batch_size, drop_last=False)
    return DataLoader(_Batches(samples), sampler=sampler, batch_size=None, **options)


def _tensor(card: Card, name: str, column: Samples, rows: Any) -> Tensor | list[Tensor]:
    kind, lists = COLUMNS[card.task][name], stored(column)
    if kind == "boxes":
        assert isinstance(lists, Ragged)
        return [torch.from_numpy(lists.row(row).reshape(-1, BOX).astype(np.float32)) for row in rows]
    if isinstance(column, Ragged):
        if card.task == "multilabel":
            return torch.from_numpy(_indicators(column.take(rows), card.classes or 0))
        return torch.from_numpy(column.padded(rows, 0).astype(np.int64))
    values = column[rows]
    if kind == "input":
        return torch.from_numpy(values.astype(np.float32) * np.float32(card.x_scale))
    return torch.from_numpy(values.astype(np.float32 if kind == "target" else np.int64))


def _indicators(labels: Ragged, classes: int) -> Any:
    found = np.zeros((len(labels), classes), dtype=np.float32)
    found[np.repeat(np.arange(len(labels)), labels.lengths), labels.values] = 1
    return found
