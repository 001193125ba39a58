"""What is where in an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedscale.learn.tasks.base import Array, BaseTask, Field, Sums, scaled, total
from fedscale.learn.tasks.scored import score_bins
from fedscale.pooled import BINS, OVERLAPS, Pooled

if TYPE_CHECKING:
    from fedscale.data.card import Card

BOX: Final = 5
"""Numbers of a box: label, left, top, right, bottom."""

MOST_FOUND: Final = 100
"""Boxes of a label in an image that are judged at most, the likeliest, as on COCO."""

Found = tuple[Tensor, Tensor, Tensor]
"""Boxes (m, 4), their scores (m,) and labels (m,) in one image."""


class Seen(Protocol):
    """What a model returns for a batch of images."""

    def losses(self, boxes: Sequence[Tensor]) -> Tensor:
        """Return the loss of each image, (n,), given its true boxes (m, 5) as they are stored."""
        ...

    def found(self) -> list[Found]:
        """Return the boxes found in each image, after what is said twice was left out; places are shares as stored."""
        ...


class Detection(BaseTask):
    """Any number of labelled boxes an image; mean average precision as on COCO (T. Lin et al. 2014).

    Columns: ``x`` (n, planes, height, width), multiplied by the card's ``x_scale``; ``boxes``, rows of five numbers a
    box: label, left, top, right, bottom, places as shares of the image's width and height. What is minimised is up to
    the model, whose outputs are a `Seen`.
    """

    fields: tuple[Field, ...] = (Field("x"), Field("boxes", np.nan, np.float32))

    def __init__(self, card: Card) -> None:
        assert card.classes is not None
        self._scale, self._classes = card.x_scale, card.classes

    def tensors(self, *columns: Array) -> tuple[Tensor, Tensor]:
        """Return float32 inputs (..., n, planes, height, width) and targets (..., n, boxes, 5), NaN behind the last."""
        x, boxes = columns
        return scaled(x, self._scale), torch.from_numpy(boxes).reshape(*boxes.shape[:-1], -1, BOX)

    def loss(self, outputs: Seen, targets: Tensor) -> Tensor:
        """Return the mean over images."""
        return outputs.losses(_real(targets)).mean()

    def sums(self, outputs: Seen, targets: Tensor) -> tuple[int, Sums]:
        """Add up the losses of images; count boxes found, right and wrong ones, by label, overlap and score."""
        boxes = _real(targets)
        counts = np.zeros((self._classes, len(OVERLAPS) + 1, BINS + 1), dtype=np.int64)
        for found, true in zip(outputs.found(), boxes, strict=True):
            count_image(counts, [part.cpu().numpy() for part in found], true.cpu().numpy())
        sums = {"loss": total(outputs.losses(boxes)), "boxes": sum(map(len, boxes))}
        return len(targets), {**sums, "box_scores": Pooled(counts)}


def count_image(counts: npt.NDArray[np.int64], found: Sequence[Array], true: Array) -> None:
    """Add what was found in one image to ``counts`` (labels, overlaps + 1, bins + 1).

    For each label, ``[k, :BINS]`` are boxes that overlap a true one by at least the k-th of `OVERLAPS`, and
    ``[-1, :BINS]`` all boxes, by bin of their score's logit; ``[-1, BINS]`` are true boxes. As on COCO, boxes choose in
    the order of their scores: each the true box, not yet taken, that it overlaps most, as much as is asked for or more.
    """
    boxes, scores, labels = found
    for label in np.union1d(labels, true[:, 0]).astype(int):
        own, wanted = np.flatnonzero(labels == label), true[true[:, 0] == label, 1:]
        own = own[np.argsort(-scores[own], kind="stable")][:MOST_FOUND]
        bins = score_bins(torch.logit(torch.from_numpy(scores[own].astype(np.float64)), eps=1e-9)).numpy()
        counts[label, -1, BINS] += len(wanted)
        np.add.at(counts[label, -1], bins, 1)
        overlap = overlaps(boxes[own].astype(np.float64), wanted.astype(np.float64))
        for place, least in enumerate(OVERLAPS):
            np.add.at(counts[label, place], bins[matched(overlap, least)], 1)


def matched(overlap: npt.NDArray[np.float64], least: float) -> npt.NDArray[np.bool_]:
    """Return which rows of ``overlap`` (found, true), the first first, get a true box of their own."""
    free, right = np.ones(overlap.shape[1], dtype=bool), np.zeros(len(overlap), dtype=bool)
    for row, shares in enumerate(overlap):
        open_ = np.where(free, shares, -1.0)
        if len(open_) and open_.max() >= least:
            free[open_.argmax()] = False
            right[row] = True
    return right


def overlaps(boxes: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return intersection over union of boxes (m, 4) and others (n, 4): left, top, right, bottom; (m, n)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(part[:, 2:] - part[:, :2], axis=1) for part in (boxes, others)]
    return np.asarray(common / np.maximum(areas[0][:, None] + areas[1][None] - common, 1e-12))


def _real(targets: Tensor) -> list[Tensor]:
    return [boxes[~boxes[:, 0].isnan()] for boxes in targets]
