"""Tasks that are judged by how scores rank: any number of labels a sample, and clicks.

Curves over thresholds need all scores in one place. Counted by bins they are additive: how many positive and how many
negative samples have a score in each bin. Bins are `WIDTH` wide in the logit, so they are fine where probabilities are
small. For the thresholds between bins, this is what torchmetrics' binned curves count, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fedscale.learn.tasks.base import Array, BaseTask, Field, Sums, mean_over, scaled, total
from fedscale.pooled import BINS, Pooled

if TYPE_CHECKING:
    from fedscale.data.card import Card

WIDTH: Final = 0.1
"""Of a bin of logits; the lower edge of the middle one is 0. What lies outside counts with the first or the last."""


def binned(logits: Tensor, positive: Tensor) -> Pooled:
    """Count the scores of each label: those of negative samples, then those of positive ones, by bin.

    Args:
        logits: (n, labels).
        positive: (n, labels) bool.

    Returns:
        counts of labels × 2 × `BINS`.
    """
    labels, bins = logits.shape[1], score_bins(logits)
    places = (torch.arange(labels, device=logits.device) * 2 + positive.long()) * BINS + bins
    return Pooled(torch.bincount(places.reshape(-1), minlength=labels * 2 * BINS).cpu().numpy())


def score_bins(logits: Tensor) -> Tensor:
    """Return the bins of scores, int64."""
    return torch.floor(logits.double() / WIDTH).add(BINS // 2).clamp(0, BINS - 1).long()


class Multilabel(BaseTask):
    """Any number of labels a sample: a logistic loss for each label, added up over labels.

    Columns: ``x`` as in classification; ``labels``, rows of label numbers in any order. Measured by average precision,
    the mean over labels (``macro_ap``, as on Charades), and by the share of labels that are among the best five
    (``recall5``, as on StackOverflow's tags).
    """

    NONE: Final = -1
    fields: tuple[Field, ...] = (Field("x"), Field("labels", NONE, np.int64))

    def __init__(self, card: Card) -> None:
        assert card.classes is not None
        self._scale, self._classes = card.x_scale, card.classes

    def tensors(self, *columns: Array) -> tuple[Tensor, Tensor]:
        """Return float32 inputs (..., n, *sample_shape) and targets (..., n, classes) of 0 and 1.

        A row of zeros without a label counts as filling: its targets are NaN.
        """
        x, labels = columns
        inputs = scaled(x, self._scale)
        chosen = torch.from_numpy(labels)
        hot = torch.zeros(*chosen.shape[:-1], self._classes + 1)
        hot.scatter_(-1, torch.where(chosen < 0, self._classes, chosen), 1.0)
        nobody = (chosen < 0).all(-1) & (inputs.reshape(*chosen.shape[:-1], -1) == 0).all(-1)
        return inputs, hot[..., :-1].masked_fill_(nobody[..., None], torch.nan)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean over samples of Σ −log p, p the probability of each label's being there or not."""
        return mean_over(*self._losses(outputs, targets))

    def sums(self, outputs: Tensor, targets: Tensor) -> tuple[int, Sums]:
        """Add up losses, labels and those among the best five; count scores by bin."""
        losses, counted = self._losses(outputs, targets)
        outputs, truth = outputs[counted], targets[counted] > 0
        best = outputs.topk(min(5, self._classes), dim=1).indices
        sums = {"loss": total(losses[counted]), "labels": int(truth.sum()), "found5": int(truth.gather(1, best).sum())}
        return int(counted.sum()), {**sums, "label_scores": binned(outputs, truth)}

    def _losses(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        counted = ~targets.isnan().any(-1)
        known = targets.nan_to_num(0.0)
        return functional.binary_cross_entropy_with_logits(outputs, known, reduction="none").sum(-1), counted


class Click(BaseTask):
    """Whether something shown was clicked: the logistic loss, and the area under the ROC curve, ``auc``.

    Columns: ``x`` (n, fields) category numbers; ``y`` (n,) 0 or 1. The loss is what is known as log loss.
    """

    NOBODY: Final = -100
    fields: tuple[Field, ...] = (Field("x", 0, np.int64), Field("y", NOBODY, np.int64))

    def __init__(self, card: Card) -> None:
        """Nothing of the card is needed."""

    def tensors(self, *columns: Array) -> tuple[Tensor, Tensor]:
        """Return int64 inputs (..., n, fields) and int64 targets (..., n)."""
        x, y = columns
        return torch.from_numpy(x), torch.from_numpy(y)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean of −log p of what happened, for (n, 1) logits."""
        return mean_over(self._losses(outputs, targets), targets >= 0)

    def sums(self, outputs: Tensor, targets: Tensor) -> tuple[int, Sums]:
        """Add up losses and what a threshold of one half gets right; count scores by bin."""
        clicked = targets > 0
        right = int(((outputs[:, 0] > 0) == clicked).sum())
        sums = {"loss": total(self._losses(outputs, targets)), "correct": right}
        return len(targets), {**sums, "click_scores": binned(outputs, clicked[:, None])}

    def _losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        known = targets.clamp(min=0).to(outputs.dtype)
        return functional.binary_cross_entropy_with_logits(outputs[:, 0], known, reduction="none")
