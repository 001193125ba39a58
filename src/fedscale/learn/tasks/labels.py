"""One label a sample, or one token a position."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fedscale.learn.tasks.base import Array, BaseTask, Field, Sums, scaled

if TYPE_CHECKING:
    from fedscale.data.card import Card

TOP5_FROM: Final = 20
"""Classes from which on it is counted how often the right one is among the best five."""


class Classification(BaseTask):
    """One label per sample: cross-entropy, accuracy, and with many classes whether the label is among the best five.

    Columns: ``x`` (n, *sample_shape) numbers, multiplied by the card's ``x_scale``; ``y`` (n,) class numbers.
    """

    NOBODY: Final = -100
    """The target of a row that does not count; torch's own convention."""

    fields: tuple[Field, ...] = (Field("x"), Field("y", NOBODY, np.int64))

    def __init__(self, card: Card) -> None:
        self._scale = card.x_scale
        self._counts_top5 = (card.classes or 0) >= TOP5_FROM

    def tensors(self, *columns: Array) -> tuple[Tensor, Tensor]:
        """Return float32 inputs (..., n, *sample_shape) and int64 targets (..., n)."""
        x, y = columns
        return scaled(x, self._scale), torch.from_numpy(y)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy of (n, classes) logits."""
        return functional.cross_entropy(outputs, targets, ignore_index=self.NOBODY)

    def group_losses(self, outputs: Tensor, targets: Tensor, groups: int) -> tuple[Tensor, Tensor]:
        """Return the mean cross-entropy of each group, and its gradient."""
        return grouped_entropies(outputs, targets, groups, self.NOBODY)

    def sums(self, outputs: Tensor, targets: Tensor) -> tuple[int, Sums]:
        """Count correct predictions and add up the loss."""
        loss = functional.cross_entropy(outputs, targets, reduction="sum").item()
        sums = {"correct": int((outputs.argmax(dim=1) == targets).sum()), "loss": loss}
        if self._counts_top5:
            sums["correct5"] = int((outputs.topk(5).indices == targets[:, None]).sum())
        return len(targets), sums


class NextToken(BaseTask):
    """The next token at every position of a sequence: cross-entropy (and perplexity, its e-th power), accuracy.

    Column: ``tokens``, variable-length rows of token numbers, 0 for padding.
    """

    PAD: Final = 0
    fields: tuple[Field, ...] = (Field("tokens", PAD, np.int64),)

    def tensors(self, *columns: Array) -> tuple[Tensor, Tensor]:
        """Return int64 inputs (..., n, length) and the tokens that follow them, of the same shape."""
        (values,) = columns
        tokens = torch.from_numpy(values)
        return tokens[..., :-1], tokens[..., 1:]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy of (n, length, classes) logits over positions that are not padding."""
        return functional.cross_entropy(outputs.flatten(0, 1), targets.reshape(-1), ignore_index=self.PAD)

    def group_losses(self, outputs: Tensor, targets: Tensor, groups: int) -> tuple[Tensor, Tensor]:
        """Return the mean cross-entropy of each group, padding left out, and its gradient."""
        losses, gradient = grouped_entropies(outputs.flatten(0, 1), targets.reshape(-1), groups, self.PAD)
        return losses, gradient.view_as(outputs)

    def sums(self, outputs: Tensor, targets: Tensor) -> tuple[int, Sums]:
        """Count correct next tokens and add up the loss, padding left out."""
        flat, wanted = outputs.flatten(0, 1), targets.reshape(-1)
        loss = functional.cross_entropy(flat, wanted, ignore_index=self.PAD, reduction="sum").item()
        real = wanted != self.PAD
        correct = int((flat.argmax(dim=1).eq(wanted) & real).sum())
        return int(real.sum()), {"correct": correct, "loss": loss}


def grouped_entropies(outputs: Tensor, targets: Tensor, groups: int, nobody: int) -> tuple[Tensor, Tensor]:
    """Return cross-entropies and their gradient: (softmax − one-hot) / count, and 0 where the target is ``nobody``."""
    shares: Tensor | float = groups / len(targets)
    counted = targets != nobody
    if not counted.all():
        parts = counted.view(groups, -1).to(outputs.dtype)
        shares = (parts / parts.sum(1, keepdim=True)).view(-1, 1)
        targets = targets.clamp(min=0)  # of those not counted any will do
    chosen = targets[:, None]
    gradient = outputs.softmax(1)
    likelihood = gradient.gather(1, chosen)
    gradient.scatter_(1, chosen, likelihood - 1).mul_(shares)
    if likelihood.min().item() < torch.finfo(likelihood.dtype).tiny:  # its logarithm would be wrong, or infinite
        logs = outputs.log_softmax(1).gather(1, chosen)
    else:
        logs = likelihood.log_()  # as exact, and without a second pass over all classes
    return logs.mul_(shares).view(groups, -1).sum(1).neg_(), gradient
