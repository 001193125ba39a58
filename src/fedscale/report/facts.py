"""What the log's names mean: the fates of a task, the counters of the ledger, and how sums become metrics."""

from __future__ import annotations

from typing import Final

from fedscale.outcomes import Fate

FATES: Final = tuple(fate.value for fate in Fate)
"""How a task may end, exactly one of these."""

SUM_OF: Final = {
    "accuracy": "correct",
    "accuracy_before": "correct_before",
    "attack_success": "attacked",
}
"""The sum a metric is made from, where it is not called like the metric itself."""

METRIC_OF: Final = {name: metric for metric, name in SUM_OF.items()}
"""The same the other way."""

DIVISOR_OF: Final = {"attack_success": "attackable"}
"""The sum that a metric is divided by, where that is not the number of predictions."""

LOWER_IS_BETTER: Final = frozenset(
    {
        *("attack_success", "loss", "loss_before", "perplexity", "error", "mse", "mae", "rmse", "wer", "cer"),
        *("haversine", "ade", "fde", "mel_l1"),
    }
)
"""Metrics that improve by falling."""

UNIT_OF: Final = {"haversine": "km", "ade": "m", "fde": "m"}
"""What metrics are in, those that are no share and no pure number."""

NAME_OF: Final = {
    "rmse": "RMSE",
    "mae": "MAE",
    "bleu": "BLEU",
    "wer": "word error rate",
    "cer": "character error rate",
    "f1": "F1",
    "auc": "AUC",
    "haversine": "haversine distance",
    "ade": "mean displacement",
    "fde": "final displacement",
    "map": "mean average precision",
    "map50": "mean average precision at IoU 0.5",
    "macro_ap": "mean average precision of labels",
    "top5": "top-5 accuracy",
    "recall5": "recall at 5",
    "mel_l1": "mel distance",
}
"""How metrics are called in reports, where that is not their name in the log."""


def called(metric: str) -> str:
    """Return how a report calls ``metric``."""
    return NAME_OF.get(metric, metric.replace("_", " "))


def sum_of(metric: str) -> str:
    """Return the name of the per-client sum that ``metric`` is made from."""
    return SUM_OF.get(metric, metric)


def reached(metric: str, value: float, target: float) -> bool:
    """Say whether ``value`` is at least as good as ``target``."""
    return value <= target if metric in LOWER_IS_BETTER else value >= target
