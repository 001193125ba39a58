"""Whole numbers that clients count and of which only the total over all of them is kept.

Curves over thresholds for each of many classes are thousands of numbers, nearly all of them 0: too many to write down
for every client. Whole numbers add up exactly, in any order, so a total does not depend on who added them up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

BINS: Final = 200
"""Bins that scores are counted in."""

OVERLAPS: Final = tuple(place / 100 for place in range(50, 100, 5))
"""Shares of overlap from which on a box counts as found: .5, .55, ..., .95."""


class Pooled:
    """Counts at ``size`` places, as a client's test reports them beside its sums.

    Attributes:
        counts: (size,) int64.
    """

    def __init__(self, counts: npt.ArrayLike) -> None:
        self.counts: IntArray = np.asarray(counts, dtype=np.int64).reshape(-1)

    def __add__(self, other: Pooled) -> Pooled:
        return Pooled(self.counts + other.counts)

    def __radd__(self, nothing: int) -> Pooled:
        """Begin a sum."""
        return Pooled(self.counts + nothing)

    def record(self) -> dict[str, Any]:
        """Return them as they stand in messages and in the log: the places whose count is not 0, and the counts."""
        places = np.flatnonzero(self.counts)
        return {"size": len(self.counts), "places": places.tolist(), "counts": self.counts[places].tolist()}

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Pooled:
        """Rebuild them from a `record`."""
        counts = np.zeros(record["size"], dtype=np.int64)
        counts[record["places"]] = record["counts"]
        return cls(counts)


def pool(parts: Iterable[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Return the totals, by name, of records by name."""
    totals: dict[str, Pooled] = {}
    for part in parts:
        for name, record in part.items():
            totals[name] = totals.get(name, 0) + Pooled.read(record)
    return {name: total.record() for name, total in totals.items()}
