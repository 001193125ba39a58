"""What models ask of a dataset's samples and of their own options, refused with a typed error before a run starts."""

from __future__ import annotations

import math

from torch import nn

from fedscale.data.card import Card
from fedscale.errors import JobError
from fedscale.learn.models.mel import LogMel

Shape = tuple[int, ...] | None


def features(model: str, sample_shape: Shape) -> int:
    """Return how many numbers a sample has.

    Raises:
        JobError: the dataset's samples are not of one shape.
    """
    if sample_shape is None:
        raise JobError(f"model {model!r} is for samples of fixed shape; this dataset has rows of tokens")
    return math.prod(sample_shape)


def image(model: str, sample_shape: Shape, card: Card | None = None) -> tuple[int, int, int, nn.Module]:
    """Return channels, height, width, and the layer that brings a batch to (n, channels, height, width).

    Recordings become images of one channel, (frames, mels), by `fedscale.learn.models.mel.LogMel`.

    Raises:
        JobError: the samples are not of shape (height, width) or (channels, height, width), nor recordings.
    """
    match sample_shape:
        case (samples,) if card is not None and card.modality == "audio":
            mel = LogMel()
            frames = samples // mel.hop + 1
            return 1, frames, mel.mels, nn.Sequential(mel, nn.Unflatten(1, (1, frames)))
        case (height, width):
            return 1, height, width, nn.Unflatten(1, (1, height))
        case (channels, height, width):
            return channels, height, width, nn.Identity()
    found = "rows of tokens" if sample_shape is None else f"of shape {sample_shape}"
    raise JobError(f"model {model!r} is for images, (height, width) or (channels, height, width); samples are {found}")


def tokens(model: str, sample_shape: Shape) -> None:
    """See to it that samples are rows of tokens.

    Raises:
        JobError: they have a fixed shape.
    """
    if sample_shape is not None:
        raise JobError(f"model {model!r} is for rows of tokens; this dataset's samples are of shape {sample_shape}")
