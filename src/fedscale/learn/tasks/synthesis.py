"""Speech from text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fedscale.learn.models.mel import LOG_SCALE, LogMel
from fedscale.learn.tasks.base import Array, BaseTask, Field, Sums, scaled, total

if TYPE_CHECKING:
    from fedscale.data.card import Card

MEL: Final = LogMel()
"""The spectrogram that is to be said."""


class Synthesis(BaseTask):
    """The mel spectrogram of what a text says, frame by frame: the mean absolute error of each next frame.

    Columns: ``x`` (n, samples), multiplied by the card's ``x_scale``, zeros behind its end; ``tokens``, 0 for padding.
    Models are given the text and all frames before the one they say (teacher forcing), in tests too: what a model says
    by itself is as right a second earlier or later, which no difference of spectrograms can tell.

    Inputs are one tensor (n, rows, mels): the text in the first rows, then every frame; see `unpacked`.
    """

    fields: tuple[Field, ...] = (Field("x"), Field("tokens", 0, np.int64))

    def __init__(self, card: Card) -> None:
        self._scale = card.x_scale

    def tensors(self, *columns: Array) -> tuple[Tensor, Tensor]:
        """Return float32 inputs (..., n, rows, mels), and frames (..., n, frames, mels), NaN behind the last."""
        x, tokens = columns
        sound, text = scaled(x, self._scale), torch.from_numpy(tokens).to(torch.float32)
        frames = MEL(sound)
        text = functional.pad(text, (0, -text.shape[-1] % MEL.mels)).reshape(*text.shape[:-1], -1, MEL.mels)
        behind = torch.arange(frames.shape[-2]) >= MEL.frames(sound)[..., None]
        return torch.cat([text, frames], dim=-2), frames.masked_fill(behind[..., None], torch.nan)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean over frames of the mean absolute error of (n, frames, mels)."""
        errors, real = self._errors(outputs, targets)
        return errors.sum() / real.sum().clamp(min=1)

    def sums(self, outputs: Tensor, targets: Tensor) -> tuple[int, Sums]:
        """Add up the losses of frames, and the same in natural logarithms of power, ``mel_error``."""
        errors, real = self._errors(outputs, targets)
        return int(real.sum()), {"loss": total(errors), "mel_error": LOG_SCALE * total(errors)}

    def _errors(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the error of each frame, 0 for those behind the last, and which are real, (n, frames) both."""
        real = ~targets[..., 0].isnan()
        errors = (outputs - targets.nan_to_num(0.0)).abs().mean(-1)
        return errors * real, real


def unpacked(inputs: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """Return tokens (n, length) and frames (n, frames, mels) of recordings of so many samples."""
    frames = samples // MEL.hop + 1
    return inputs[:, :-frames].flatten(1).long(), inputs[:, -frames:]
