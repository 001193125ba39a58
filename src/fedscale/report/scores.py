"""How sums become metrics, where that is not a ratio to the number of predictions; numpy alone.

A score works on the sums of one group of samples as on columns of many clients' sums: every argument is a number or an
array over clients; curves over thresholds need counts of which there is only the total. What the sums are is said by
the tasks, `fedscale.learn.tasks`; the formulas are those of torchmetrics, to which the tests hold them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fedscale.pooled import BINS, OVERLAPS, Pooled
from fedscale.report.facts import DIVISOR_OF, METRIC_OF, sum_of

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """A metric that is worked out from sums.

    Attributes:
        needs: names of the sums; an array's are called ``name[0]`` and so on.
        of: makes the metric of them, in this order.
    """

    needs: tuple[str, ...]
    of: Callable[..., Any]


def ratio(part: Values, whole: Values) -> Values:
    """Return part / whole, NaN where there is nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(whole) > 0, np.divide(part, whole), np.nan)


def _perplexity(loss: Values, count: Values) -> Values:
    """Return e to the mean loss; beyond e⁷⁰⁰ it is that."""
    return np.exp(np.minimum(ratio(loss, count), 700.0))


def _bleu(*numbers: Values) -> Values:
    """Return exp(min(0, 1 − r/c)) · (Π p_n)^¼, p_n = matched / possible n-grams (Papineni et al. 2002, §2.3)."""
    matched, possible = np.stack(numbers[:4]), np.stack(numbers[4:8])
    said, right = numbers[8:]
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.exp(np.log(matched / possible).mean(axis=0))
        brevity = np.exp(np.minimum(0.0, 1 - right / said))
        return np.where(matched.min(axis=0) > 0, brevity * precision, 0.0)


def _auc(scores: Values) -> float:
    """Return the area under the ROC curve, by trapezoids between thresholds: equal bins count half."""
    negative, positive = scores.reshape(2, -1)
    if not negative.sum() or not positive.sum():
        return float("nan")
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / (positive.sum() * negative.sum()))


def _label_precision(scores: Values) -> float:
    """Return the mean over labels of average precision Σ (R_k − R_{k−1}) P_k; labels that nobody has are left out."""
    bins = scores.reshape(-1, 2, BINS)[:, :, ::-1]
    wrong, right = bins.cumsum(axis=2).transpose(1, 0, 2)
    present = right[:, -1] > 0
    if not present.any():
        return float("nan")
    gained = np.diff(right[present], axis=1, prepend=0) / right[present, -1:]
    precision = ratio(right[present], (right + wrong)[present])
    return float((gained * precision).sum(axis=1, where=gained > 0).mean())


def box_precisions(counts: Values) -> Values:
    """Return average precision of each label that somebody has, (labels, overlaps): COCO's, at 101 values of recall.

    P(r) is the best precision at a recall of r or more, and 0 where none is reached (``pycocotools.COCOeval``). Scores
    of one bin count as equal.
    """
    counts = counts.reshape(-1, len(OVERLAPS) + 1, BINS + 1)
    counts = counts[counts[:, -1, BINS] > 0]
    right, every = (part[..., :BINS][..., ::-1].cumsum(axis=-1) for part in (counts[:, :-1], counts[:, -1:]))
    precision = np.maximum.accumulate(np.nan_to_num(ratio(right, every))[..., ::-1], axis=-1)[..., ::-1]
    recall = right / counts[:, -1:, BINS:]
    curves = zip(recall.reshape(-1, BINS), precision.reshape(-1, BINS), strict=True)
    return np.array([_interpolated(*curve) for curve in curves]).reshape(-1, len(OVERLAPS))


def _interpolated(recall: Values, precision: Values) -> float:
    places = np.searchsorted(recall, np.linspace(0, 1, 101))
    return float(np.append(precision, 0.0)[places].mean())


def _mean_precision(counts: Values, overlaps: slice) -> float:
    precisions = box_precisions(counts)[:, overlaps]
    return float(precisions.mean()) if len(precisions) else float("nan")


SCORES: Final[dict[str, Score]] = {
    "perplexity": Score(("loss", "count"), _perplexity),
    "rmse": Score(("squared", "count"), lambda squared, count: np.sqrt(ratio(squared, count))),
    "bleu": Score(
        (*(f"{name}[{n}]" for name in ("matched", "possible") for n in range(4)), "said_words", "right_words"), _bleu
    ),
    "top5": Score(("correct5", "count"), ratio),
    "mae": Score(("absolute", "count"), ratio),
    "haversine": Score(("kilometres", "count"), ratio),
    "ade": Score(("displacement", "positions"), ratio),
    "fde": Score(("final", "finals"), ratio),
    "exact_match": Score(("exact", "count"), ratio),
    "f1": Score(("overlap", "count"), ratio),
    "wer": Score(("word_errors", "words"), ratio),
    "cer": Score(("character_errors", "characters"), ratio),
    "mel_l1": Score(("mel_error", "count"), ratio),
    "recall5": Score(("found5", "labels"), ratio),
    "auc": Score(("click_scores",), _auc),
    "map": Score(("box_scores",), lambda counts: _mean_precision(counts, slice(None))),
    "map50": Score(("box_scores",), lambda counts: _mean_precision(counts, slice(1))),
    "macro_ap": Score(("label_scores",), _label_precision),
}
"""Metrics by name."""

ONLY_OF: Final = {"perplexity": ("next_token", "translation")}
"""Tasks that a score is for, where its sums are those of others, too."""


def value_of(metric: str, sums: Mapping[str, Values]) -> Any:
    """Return a metric of sums by name, ``count`` among them; ``None`` if these do not allow it."""
    score = SCORES.get(metric)
    if score is not None and all(name in sums for name in score.needs):
        return score.of(*(sums[name] for name in score.needs))
    if sum_of(metric) in sums and (divisor := DIVISOR_OF.get(metric, "count")) in sums:
        return ratio(sums[sum_of(metric)], sums[divisor])
    return None


def totals_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sums over all clients of an ``evaluate`` line, ``count`` and those of which it has the total only."""
    sums = {"count": record["count"], **record["sums"]}
    pooled = {name: Pooled.read(total).counts for name, total in record.get("totals", {}).items()}
    return {name: math.fsum(values) for name, values in sums.items()} | pooled


def metrics_of(record: Mapping[str, Any], task: str) -> dict[str, float]:
    """Return every metric that the sums of an ``evaluate`` line allow, but for those that are not finite.

    A sum of which nobody knows more is divided by the number of predictions, under its own name.
    """
    totals = totals_of(record)
    scores = [name for name, score in SCORES.items() if all(part in totals for part in score.needs)]
    scores = [name for name in scores if task in ONLY_OF.get(name, (task,))]
    used = {part for name in scores for part in SCORES[name].needs} - {"loss"}
    plain = [METRIC_OF.get(name, name) for name in record["sums"] if name not in used | set(DIVISOR_OF.values())]
    values = {name: value_of(name, totals) for name in [*plain, *scores]}
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}
