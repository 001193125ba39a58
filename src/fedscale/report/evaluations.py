"""What one evaluation says: the metric over all samples, and how it is spread over clients."""

from __future__ import annotations

import math
import re
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fedscale.report.facts import DIVISOR_OF, LOWER_IS_BETTER
from fedscale.report.log import Record
from fedscale.report.scores import value_of

Values = npt.NDArray[np.float64]

PERCENTILES: Final = (5, 10, 25, 50, 75, 90, 95)
"""Which percentiles over clients are reported."""


def jain(values: Values) -> float:
    """Return Jain's fairness index (Σx)² / (n Σx²): 1 if all are equal, 1/n if one has everything.

    Source: R. Jain, D. Chiu, W. Hawe, "A Quantitative Measure of Fairness and Discrimination", DEC-TR-301, 1984.
    """
    squares = float(np.square(values).sum())
    return float(values.sum()) ** 2 / (len(values) * squares) if squares else 1.0


def gini(values: Values) -> float:
    """Return the Gini coefficient of non-negative values: 0 if all are equal, near 1 if few have everything."""
    total = float(values.sum())
    if not total:
        return 0.0
    ranks = np.arange(1, len(values) + 1)
    return float(2 * (ranks * np.sort(values)).sum() / (len(values) * total) - (len(values) + 1) / len(values))


def per_client(record: Record) -> dict[str, Any]:
    """Return columns ``client``, ``count`` and every metric that a client's own sums allow, of clients with samples."""
    count = np.asarray(record["count"], dtype=np.int64)
    kept = count > 0
    columns: dict[str, Any] = {"client": np.asarray(record["clients"], dtype=np.int64)[kept], "count": count[kept]}
    every = {"count": record["count"], **record["sums"]}
    sums = {name: np.asarray(values, dtype=np.float64)[kept] for name, values in every.items()}
    for metric in record["metrics"]:
        values = value_of(metric, sums)
        if values is not None and metric not in DIVISOR_OF:
            columns[metric] = values
    return columns


def summary(record: Record, metric: str) -> Record:
    """Return one row: version, time, split, metrics, and the spread of ``metric`` over clients.

    ``worst10`` is the mean over the worst tenth of the clients (rounded up to whole clients), ``std`` the population's
    standard deviation.
    """
    columns = per_client(record)
    values = columns.get(metric, np.zeros(0))
    spread = _spread(values[np.isfinite(values)], metric in LOWER_IS_BETTER)  # who said no word has no word error rate
    where = {"version": record["version"], "t": float(record["t"]), "split": record["split"]}
    size = {"clients": len(record["clients"]), "samples": int(sum(record["count"]))}
    return {**where, **size, **{name: float(value) for name, value in record["metrics"].items()}, **spread}


def totals(record: Record) -> Record:
    """Return the sums of one evaluation over all clients, by ``name`` and ``place``: that in an array, if it is one."""
    parts = [_PLACE.fullmatch(name) for name in record["sums"]]
    names = [part["name"] if part else name for part, name in zip(parts, record["sums"], strict=True)]
    places = [int(part["place"]) if part else None for part in parts]
    sums = [math.fsum(values) for values in record["sums"].values()]
    where = {"version": record["version"], "t": float(record["t"]), "clients": len(record["clients"])}
    return {**where, "count": int(sum(record["count"])), "name": names, "place": places, "total": sums}


_PLACE: Final = re.compile(r"(?P<name>.*)\[(?P<place>\d+)\]")


def _spread(values: Values, lower_is_better: bool) -> dict[str, float]:
    names = [f"p{percent}" for percent in PERCENTILES]
    if not len(values):
        return dict.fromkeys([*names, "mean", "std", "jain", "worst10"], float("nan"))
    worst_first = np.sort(values)[::-1] if lower_is_better else np.sort(values)
    return {
        **dict(zip(names, np.percentile(values, PERCENTILES).tolist(), strict=True)),
        "mean": float(values.mean()),
        "std": float(values.std()),
        "jain": jain(values),
        "worst10": float(worst_first[: -(-len(values) // 10)].mean()),
    }
