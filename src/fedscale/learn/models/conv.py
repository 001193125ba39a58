"""Convolutional models for images; (height, width) and (channels, height, width) samples both do, and recordings."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from fedscale.data.card import Card
from fedscale.errors import JobError
from fedscale.learn.models.checks import Shape, image
from fedscale.learn.narrow import scaler, units
from fedscale.section import Portion, Positive


def cnn(
    sample_shape: Shape,
    classes: int,
    channels: Positive = 16,
    hidden: Positive = 64,
    width_share: Portion = 1.0,
    card: Card | None = None,
) -> nn.Module:
    """A small network for small images: two 3×3 convolutions, one pooling, two dense layers."""
    planes, height, width, shape = image("cnn", sample_shape, card)
    first, second, hidden = (units(size, width_share) for size in (channels, 2 * channels, hidden))
    return nn.Sequential(
        shape,
        nn.Conv2d(planes, first, 3, padding=1),
        *scaler(width_share),
        nn.ReLU(),
        nn.Conv2d(first, second, 3, padding=1),
        *scaler(width_share),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(second * (height // 2) * (width // 2), hidden),
        *scaler(width_share),
        nn.ReLU(),
        nn.Linear(hidden, classes),
    )


def femnist_cnn(sample_shape: Shape, classes: int, width_share: Portion = 1.0, card: Card | None = None) -> nn.Module:
    """The network of LEAF's FEMNIST: two 5×5 convolutions (32, 64), each pooled by 2, 2,048 dense (Caldas et al. 2018).

    For 28×28 images and 62 classes it has 6.6 million parameters.
    """
    planes, height, width, shape = image("femnist_cnn", sample_shape, card)
    first, second, hidden = (units(size, width_share) for size in (32, 64, 2048))
    return nn.Sequential(
        shape,
        nn.Conv2d(planes, first, 5, padding=2),
        *scaler(width_share),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 5, padding=2),
        *scaler(width_share),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(second * (height // 4) * (width // 4), hidden),
        *scaler(width_share),
        nn.ReLU(),
        nn.Linear(hidden, classes),
    )


class GoCNN(nn.Module):
    """Which move is played, from planes of a board: 3×3 convolutions throughout, and a logit for each point.

    C. Maddison et al., "Move Evaluation in Go Using Deep Convolutional Neural Networks", 2015, with fewer layers.
    Classes are the points row by row, and one more for a pass if there is one.
    """

    def __init__(
        self,
        sample_shape: Shape,
        classes: int,
        channels: Positive = 64,
        layers: Positive = 4,
    ) -> None:
        super().__init__()
        planes, height, width, self.shape = image("go_cnn", sample_shape)
        if classes - height * width not in (0, 1):
            raise JobError(f"model 'go_cnn': {classes} classes are neither its {height * width} points nor one more")
        self.features = nn.Sequential(*convolutions(planes, [channels] * layers, stride=1))
        self.points = nn.Conv2d(channels, 1, 1)
        self.stay = nn.Linear(channels, 1) if classes > height * width else None

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of (n, planes, height, width)."""
        features = self.features(self.shape(x))
        points: Tensor = self.points(features).flatten(1)
        return points if self.stay is None else torch.cat([points, self.stay(features.mean((2, 3)))], dim=1)


class VideoCNN(nn.Module):
    """The mean over frames of what a small network sees in each, for frames (times, planes, height, width).

    Pooling over time is the simplest of the ways compared by A. Karpathy et al. 2014 and J. Ng et al. 2015.
    """

    def __init__(self, sample_shape: Shape, classes: int, channels: Positive = 16) -> None:
        super().__init__()
        if sample_shape is None or len(sample_shape) != 4:
            raise JobError(f"model 'video_cnn' is for frames (times, planes, height, width), not {sample_shape}")
        sizes = [channels, 2 * channels, 4 * channels]
        self.features = nn.Sequential(*convolutions(sample_shape[1], sizes, stride=2))
        self.output = nn.Linear(4 * channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of (n, times, planes, height, width)."""
        features = self.features(x.flatten(0, 1)).mean((2, 3))
        logits: Tensor = self.output(features.view(*x.shape[:2], -1).mean(1))
        return logits


def convolutions(planes: int, sizes: list[int], stride: int) -> Iterator[nn.Module]:
    """Yield 3×3 convolutions of these sizes, each with a normalisation over all of its channels and ReLU."""
    for few, many in zip([planes, *sizes], sizes, strict=False):
        yield from (nn.Conv2d(few, many, 3, stride=stride, padding=1), nn.GroupNorm(1, many), nn.ReLU())
