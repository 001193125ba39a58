"""Tasks: how rows of a client become tensors, what the loss is, and what is counted in a test.

A task's ``sums`` are additive over samples and clients, so that an aggregate is a ratio of sums and never depends on
how clients were grouped: accuracy = Σ correct / Σ count.
"""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from fedscale.data.card import Card
from fedscale.data.federated import ClientData
from fedscale.tables import Table

Rows = npt.NDArray[np.int64]


class Task(Protocol):
    """What a model is trained and tested for."""

    def batch(self, data: ClientData, rows: Rows) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of the given rows of a client."""
        ...

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss, a scalar."""
        ...

    def sums(self, outputs: Tensor, targets: Tensor) -> tuple[int, dict[str, float]]:
        """Return how many predictions were made, and sums over them (``loss``, ``correct``, ...)."""
        ...


class Classification:
    """One label per sample: cross-entropy and accuracy.

    Columns: ``x`` (n, *sample_shape) numbers, multiplied by the card's ``x_scale``; ``y`` (n,) class numbers.
    """

    def __init__(self, card: Card) -> None:
        self._scale = card.x_scale

    def batch(self, data: ClientData, rows: Rows) -> tuple[Tensor, Tensor]:
        """Return float32 inputs (n, *sample_shape) and int64 targets (n,)."""
        x, y = data.columns["x"], data.columns["y"]
        assert isinstance(x, np.ndarray)
        assert isinstance(y, np.ndarray)
        inputs = torch.from_numpy(x[rows]).to(torch.float32)
        if self._scale != 1:
            inputs.mul_(self._scale)
        return inputs, torch.from_numpy(y[rows].astype(np.int64, copy=False))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy of (n, classes) logits."""
        return functional.cross_entropy(outputs, targets)

    def sums(self, outputs: Tensor, targets: Tensor) -> tuple[int, dict[str, float]]:
        """Count correct predictions and add up the loss."""
        loss = functional.cross_entropy(outputs, targets, reduction="sum").item()
        correct = int((outputs.argmax(dim=1) == targets).sum())
        return len(targets), {"correct": correct, "loss": loss}


class NextToken:
    """The next token at every position of a sequence: cross-entropy and accuracy per token.

    Column: ``tokens``, variable-length rows of token numbers, 0 for padding.
    """

    PAD: Final = 0

    def batch(self, data: ClientData, rows: Rows) -> tuple[Tensor, Tensor]:
        """Return int64 inputs (n, length) and the tokens that follow them (n, length), padded with 0."""
        ragged = data.columns["tokens"]
        assert not isinstance(ragged, np.ndarray)
        tokens = torch.from_numpy(ragged.padded(rows, self.PAD).astype(np.int64, copy=False))
        return tokens[:, :-1], tokens[:, 1:]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy of (n, length, classes) logits over positions that are not padding."""
        return functional.cross_entropy(outputs.flatten(0, 1), targets.reshape(-1), ignore_index=self.PAD)

    def sums(self, outputs: Tensor, targets: Tensor) -> tuple[int, dict[str, float]]:
        """Count correct next tokens and add up the loss, padding left out."""
        flat, wanted = outputs.flatten(0, 1), targets.reshape(-1)
        loss = functional.cross_entropy(flat, wanted, ignore_index=self.PAD, reduction="sum").item()
        real = wanted != self.PAD
        correct = int((flat.argmax(dim=1).eq(wanted) & real).sum())
        return int(real.sum()), {"correct": correct, "loss": loss}


TASKS: Final[Table[Task]] = Table("task", {"classification": Classification, "next_token": NextToken})
