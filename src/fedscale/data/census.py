"""What a store says of its own content, counted while it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from fedscale.data.card import COLUMNS, Card
from fedscale.data.columns import parts
from fedscale.data.ragged import Column, IntArray

QUANTILES: Final = {"min": 0.0, "p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}


def size_quantiles(counts: IntArray) -> dict[str, int]:
    """Return quantiles of the clients' numbers of samples; each is a size that occurs."""
    values = np.quantile(counts, list(QUANTILES.values()), method="inverted_cdf")
    return dict(zip(QUANTILES, values.astype(int).tolist(), strict=True))


class Census:
    """Counts labels (or tokens) of all samples, block by block."""

    def __init__(self, card: Card) -> None:
        kinds = {kind: name for name, kind in COLUMNS[card.task].items() if name in card.columns}
        self._column = kinds.get("label") or kinds.get("tokens")
        self._seen = np.zeros(card.classes or 2, dtype=np.int64)

    def add(self, columns: Mapping[str, Column]) -> None:
        """Count what is in a block."""
        if self._column is not None:
            labels = next(parts(columns[self._column])).astype(np.int64, copy=False)
            self._seen += np.bincount(labels, minlength=len(self._seen))

    def record(self, counts: IntArray) -> dict[str, Any]:
        """Return the figures, given how many samples each client has.

        ``samples_per_client`` are quantiles; ``occurrences`` says how often each label (or token) occurs in ``column``.
        """
        figures = {
            "clients": len(counts),
            "samples": int(counts.sum()),
            "samples_per_client": size_quantiles(counts),
        }
        return figures | ({"column": self._column, "occurrences": self._seen.tolist()} if self._column else {})
