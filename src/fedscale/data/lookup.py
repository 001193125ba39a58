"""Looking up rows of a second file by number, for joins whose one side fits into memory as columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Lookup:
    """Rows of numbers by key; ``keys`` are sorted, and 0 stands for what is not known.

    Attributes:
        keys: (n,) int64.
        rows: (n, columns).
    """

    keys: npt.NDArray[np.int64]
    rows: npt.NDArray[Any]

    @classmethod
    def of(cls, keys: npt.NDArray[np.int64], rows: npt.NDArray[Any]) -> Lookup:
        """Sort rows by their keys; of rows with the same key the first is taken."""
        unique, first = np.unique(keys, return_index=True)
        return cls(unique, rows[first])

    def __getitem__(self, keys: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Return the rows of ``keys``, zeros for those that are not there: (len(keys), columns)."""
        return (
            np.where(self.has(keys)[:, None], self.rows[self._places(keys)], 0) if len(self.keys) else self._none(keys)
        )

    def has(self, keys: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Say which of ``keys`` are there."""
        if not len(self.keys):
            return np.zeros(len(keys), np.bool_)
        found: npt.NDArray[np.bool_] = self.keys[self._places(keys)] == keys
        return found

    def _places(self, keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)

    def _none(self, keys: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        return np.zeros((len(keys), self.rows.shape[1]), self.rows.dtype)


def buckets(values: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.int32]:
    """Return for whole numbers a bucket each, from 1 to ``size`` − 1; the same for equal numbers, on every machine.

    The numbers are mixed by the finaliser of SplitMix64 (G. Steele et al., "Fast Splittable Pseudorandom Number
    Generators", OOPSLA 2014).
    """
    mixed = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return (mixed % np.uint64(size - 1)).astype(np.int32) + np.int32(1)


def sizes(fields: Mapping[str, int | None], hashed: int) -> tuple[int, ...]:
    """Return how many categories fields have, where those that say ``None`` are hashed."""
    return tuple(hashed if size is None else size for size in fields.values())
