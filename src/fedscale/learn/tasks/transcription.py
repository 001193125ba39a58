"""What is said in a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fedscale.learn.tasks.base import Array, BaseTask, Field, Sums, scaled, total
from fedscale.learn.tasks.words import Writing, character_edits, edits, need_torchmetrics

if TYPE_CHECKING:
    from fedscale.data.card import Card


class Transcription(BaseTask):
    """Tokens from a recording: connectionist temporal classification; word and character error rates.

    Columns: ``x`` (n, samples), multiplied by the card's ``x_scale``, zeros behind its end; ``tokens``, 0 for padding.
    Models return logits (n, frames, classes), class 0 being the blank, and how many frames of each are real, (n,).
    A test takes the likeliest class of each frame and leaves out repetitions and blanks (A. Graves et al. 2006, §3.2).

    Words are what stands between spaces if the card's vocabulary is of characters, else tokens.
    """

    BLANK: Final = 0
    fields: tuple[Field, ...] = (Field("x"), Field("tokens", BLANK, np.int64))

    def __init__(self, card: Card) -> None:
        need_torchmetrics("transcription")
        self._scale = card.x_scale
        self._writing = Writing(card.vocabulary)

    def tensors(self, *columns: Array) -> tuple[Tensor, Tensor]:
        """Return float32 inputs (..., n, samples) and int64 targets (..., n, length)."""
        x, tokens = columns
        return scaled(x, self._scale), torch.from_numpy(tokens)

    def loss(self, outputs: tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
        """Return the mean over samples of −log p per token; 0 for a text that is too long for its recording."""
        return self._losses(outputs, targets).mean()

    def sums(self, outputs: tuple[Tensor, Tensor], targets: Tensor) -> tuple[int, Sums]:
        """Add up losses of samples, and words and characters that are wrong, and that there are."""
        said = [collapsed(row[:frames]) for row, frames in zip(*self._classes(outputs), strict=True)]
        right = [[token for token in row if token != self.BLANK] for row in targets.tolist()]
        words, characters = (
            [[write(row) for row in rows] for rows in (said, right)]
            for write in (self._writing.words, self._writing.characters)
        )
        (wrong_words, all_words), (wrong, every) = edits(*words), character_edits(*characters)
        sums = {"loss": total(self._losses(outputs, targets)), "word_errors": wrong_words, "words": all_words}
        return len(targets), {**sums, "character_errors": wrong, "characters": every}

    def _losses(self, outputs: tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
        logits, frames = outputs
        lengths = (targets != self.BLANK).sum(1)
        each = functional.ctc_loss(
            logits.log_softmax(2).transpose(0, 1), targets, frames, lengths, reduction="none", zero_infinity=True
        )
        return each / lengths.clamp(min=1)

    def _classes(self, outputs: tuple[Tensor, Tensor]) -> tuple[list[list[int]], list[int]]:
        logits, frames = outputs
        return logits.argmax(2).tolist(), frames.tolist()


def collapsed(classes: list[int]) -> list[int]:
    """Return the tokens of a row of classes, one per frame: repetitions and then blanks (0) left out."""
    changes = (now for before, now in zip([-1, *classes], classes, strict=False) if now != before)
    return [token for token in changes if token]
