"""Translation by a model of the next token, which reads the source and goes on with the target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fedscale.learn.tasks.base import Array, BaseTask, Field, Sums
from fedscale.learn.tasks.labels import grouped_entropies
from fedscale.learn.tasks.words import Writing, bleu, need_torchmetrics

if TYPE_CHECKING:
    from fedscale.data.card import Card

MOST_SAID: Final = 128
"""Tokens of a translation in a test at most; a model that has not learnt to end would go on for ever."""

TOGETHER: Final = 32
"""Rows that are translated at a time: at every step there is a number for each word at each of their places."""


class Translation(BaseTask):
    """A row of tokens from a row of tokens: cross-entropy of the target, and BLEU of what the model itself says.

    Columns: ``source`` and ``target``, rows of tokens of one vocabulary, 0 for padding. A model sees one row: source,
    separator (the number after the vocabulary's last), target; any causal model of the next token will do. What is
    asked of it are the target's tokens and the separator behind them. In a test it translates greedily: the likeliest
    token, one after another, until the separator, or twice the source's length and 8 more, or `MOST_SAID`.

    Tokens are BLEU's words.
    """

    PAD: Final = 0
    fields: tuple[Field, ...] = (Field("source", PAD, np.int64), Field("target", PAD, np.int64))

    def __init__(self, card: Card) -> None:
        assert card.classes is not None
        need_torchmetrics("translation")
        self._separator = card.classes
        self._writing = Writing(None)

    def tensors(self, *columns: Array) -> tuple[Tensor, Tensor]:
        """Return int64 inputs (..., n, length) and the tokens that follow them, those of the source left out."""
        source, target = (column.reshape(-1, column.shape[-1]) for column in columns)
        rows, first = joined(source, target, self._separator)
        asked = np.arange(rows.shape[1]) > first[:, None]
        lead = columns[0].shape[:-1]
        inputs, targets = (torch.from_numpy(part).view(*lead, -1) for part in (rows, np.where(asked, rows, self.PAD)))
        return inputs[..., :-1], targets[..., 1:]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy of (n, length, vocabulary + 1) logits over what is asked."""
        return functional.cross_entropy(outputs.flatten(0, 1), targets.reshape(-1), ignore_index=self.PAD)

    def group_losses(self, outputs: Tensor, targets: Tensor, groups: int) -> tuple[Tensor, Tensor]:
        """Return the mean cross-entropy of each group, and its gradient."""
        losses, gradient = grouped_entropies(outputs.flatten(0, 1), targets.reshape(-1), groups, self.PAD)
        return losses, gradient.view_as(outputs)

    def predict(self, module: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, list[list[int]]]:
        """Return the logits where the true target is shown, and what the model says of its own."""
        said = (self._said(module, part) for part in torch.split(inputs, TOGETHER))
        return module(inputs), [row for part in said for row in part]

    def sums(self, outputs: tuple[Tensor, list[list[int]]], targets: Tensor) -> tuple[int, Sums]:
        """Add up the loss of tokens and correct ones, and what BLEU is made of."""
        logits, said = outputs
        flat, wanted = logits.flatten(0, 1), targets.reshape(-1)
        real = wanted != self.PAD
        loss = functional.cross_entropy(flat, wanted, ignore_index=self.PAD, reduction="sum").item()
        correct = int((flat.argmax(1).eq(wanted) & real).sum())
        right = [[token for token in row if token not in (self.PAD, self._separator)] for row in targets.tolist()]
        texts = ([self._writing.words(row) for row in rows] for rows in (said, right))
        return int(real.sum()), {"loss": loss, "correct": correct, **bleu(*texts)}

    def _said(self, module: nn.Module, inputs: Tensor) -> list[list[int]]:
        places = (inputs == self._separator).int().argmax(1)
        limits = (2 * places + 8).clamp(max=MOST_SAID)
        rows = torch.where(torch.arange(inputs.shape[1], device=inputs.device) <= places[:, None], inputs, self.PAD)
        rows = functional.pad(rows, (0, max(0, int((places + limits).max()) + 1 - rows.shape[1])))
        each, open_ = torch.arange(len(rows), device=rows.device), torch.ones_like(places, dtype=torch.bool)
        for number in range(int(limits.max())):
            at = places + number
            length = int(at.max()) + 1
            token = module(rows[:, :length])[each, at, :].argmax(1)
            open_ = open_ & (number < limits) & (token != self._separator) & (token != self.PAD)
            if not open_.any():
                break
            rows[each[open_], at[open_] + 1] = token[open_]
        behind = (row[place + 1 :] for row, place in zip(rows, places, strict=True))
        return [row[row != self.PAD].tolist() for row in behind]


def joined(source: Array, target: Array, separator: int) -> tuple[Array, Array]:
    """Put rows (n, length) together: source, separator, target, separator, and 0 behind them.

    Rows without a token stay empty.

    Returns:
        rows, and the place of each row's first separator.
    """
    before, behind = (np.count_nonzero(part, axis=1) for part in (source, target))
    rows = np.zeros((len(source), int((before + behind).max(initial=0)) + 2), dtype=np.int64)
    places, ends = np.arange(rows.shape[1]), before + behind + 1
    rows[places < before[:, None]] = source[source != 0]
    rows[(places > before[:, None]) & (places < ends[:, None])] = target[target != 0]
    filled = np.flatnonzero(before + behind)
    rows[filled, before[filled]] = rows[filled, ends[filled]] = separator
    return rows, before
