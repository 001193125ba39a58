"""Answers that are part of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fedscale.errors import DataError
from fedscale.learn.tasks.base import Array, BaseTask, Field, Sums
from fedscale.learn.tasks.words import Writing, answers, need_torchmetrics

if TYPE_CHECKING:
    from fedscale.data.card import Card

LONGEST: Final = 30
"""Tokens of an answer in a test at most, as in the first programs for SQuAD."""


class Span(BaseTask):
    """Where in a row of tokens the answer is: cross-entropies of its first and of its last token; exact match and F1.

    Columns: ``tokens`` (question, separator, text; 0 for padding), ``span`` (first and last token of the answer).
    Models say two logits at every position, (n, length, 2). The answer is the likeliest pair of positions of which the
    second is not before the first, and at most `LONGEST` tokens. F1 is over tokens, in any order, as in SQuAD.
    """

    NOBODY: Final = -100
    fields: tuple[Field, ...] = (Field("tokens", 0, np.int64), Field("span", NOBODY, np.int64))

    def __init__(self, card: Card) -> None:
        need_torchmetrics("span")
        self._writing = Writing(None)

    def tensors(self, *columns: Array) -> tuple[Tensor, Tensor]:
        """Return int64 inputs (..., n, length), and targets (..., n, 2 + length): the span, then the tokens.

        Raises:
            DataError: an answer ends behind its text.
        """
        tokens, span = columns
        if (span[..., 1] >= (lengths := np.count_nonzero(tokens, axis=-1))).any():
            row = np.flatnonzero((span[..., 1] >= lengths).reshape(-1))[0]
            ends = f"ends at token {span[..., 1].reshape(-1)[row]}, but its row has {lengths.reshape(-1)[row]} tokens"
            raise DataError(f"span: the answer of row {row} of a batch {ends}")
        inputs = torch.from_numpy(tokens)
        return inputs, torch.cat([torch.from_numpy(span), inputs], dim=-1)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean over both ends of the cross-entropy over positions that are not padding."""
        logits = self._within(outputs, targets).flatten(0, 1)
        return functional.cross_entropy(logits, targets[:, :2].reshape(-1), ignore_index=self.NOBODY)

    def sums(self, outputs: Tensor, targets: Tensor) -> tuple[int, Sums]:
        """Add up the loss of samples, right answers (``exact``) and their F1 (``overlap``)."""
        loss = self.loss(outputs, targets).item() * len(targets)
        first, last = best_spans(self._within(outputs, targets))
        rows = targets.tolist()
        said = [self._text(row, *pair) for row, pair in zip(rows, zip(first, last, strict=True), strict=True)]
        exact, overlap = answers(said, [self._text(row, row[0], row[1]) for row in rows])
        return len(targets), {"loss": loss, "exact": exact, "overlap": overlap}

    def _text(self, row: list[int], first: int, last: int) -> str:
        return self._writing.words(row[2 + first : 3 + last])

    def _within(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return logits (n, 2, length), next to nothing at padding."""
        nothing = targets[:, None, 2:] == 0
        return outputs.transpose(1, 2).masked_fill(nothing, -1e9)


def best_spans(logits: Tensor) -> tuple[list[int], list[int]]:
    """Return first and last place of the pair with the largest sum of logits (n, 2, length)."""
    length = logits.shape[-1]
    pairs = logits[:, 0, :, None] + logits[:, 1, None, :]
    allowed = torch.ones(length, length, dtype=torch.bool, device=logits.device).triu().tril(LONGEST - 1)
    best = pairs.masked_fill(~allowed, -torch.inf).flatten(1).argmax(1)
    return (best // length).tolist(), (best % length).tolist()
