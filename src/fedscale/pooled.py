"""Whole numbers that clients count and of which only the total over all of them is kept.

Curves over thresholds for each of many classes are thousands of numbers, nearly all of them 0: too many to write down
for every client. Whole numbers add up exactly, in any order, so a total does not depend on who added them up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fedscale import limits

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

    def add(self, record: Mapping[str, Any]) -> None:
        """Add a `record`.

        Raises:
            ValueError: it has not the same places, or counts elsewhere.
        """
        if record["size"] != len(self.counts):
            raise ValueError(f"{record['size']} places cannot be added to {len(self.counts)}")
        places, counts = (np.asarray(record[name], dtype=np.int64) for name in ("places", "counts"))
        if len(places) and not 0 <= places.min() <= places.max() < len(self.counts):
            raise ValueError(f"a place is not from 0 to {len(self.counts) - 1}")
        self.counts[places] += counts

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Pooled:
        """Rebuild them from a `record`.

        Raises:
            ValueError: it is none, or has more places than are possible.
        """
        if not 0 <= record["size"] <= limits.POOLED_NUMBERS:
            raise ValueError(f"{record['size']} places: from 0 to {limits.POOLED_NUMBERS} are possible")
        pooled = cls(np.zeros(record["size"]))
        pooled.add(record)
        return pooled


def pool(parts: Iterable[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Return the totals, by name, of records by name.

    Raises:
        ValueError: two of one name have not the same places.
    """
    totals: dict[str, Pooled] = {}
    for part in parts:
        for name, record in part.items():
            if name in totals:
                totals[name].add(record)
            else:
                totals[name] = Pooled.read(record)
    return {name: total.record() for name, total in totals.items()}
