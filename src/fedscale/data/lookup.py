"""Looking up rows of a second file by number, for joins whose one side fits into memory as columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

SPREAD: Final = 8
"""Up to so many numbers for every row, rows are found by a table of all numbers instead of by bisection."""


class Lookup:
    """Rows of numbers by key, a whole number; 0 stands for what is not known.

    Args:
        keys: (n,); of equal ones the first counts.
        rows: (n, columns).
    """

    def __init__(self, keys: npt.NDArray[np.int64], rows: npt.NDArray[Any]) -> None:
        self._keys, first = np.unique(keys, return_index=True)
        self._rows = np.concatenate([rows[first], np.zeros((1, rows.shape[1]), rows.dtype)])
        self._table: npt.NDArray[np.int32] | None = None
        if len(self._keys) and self._keys[0] >= 0 and self._keys[-1] <= SPREAD * len(self._keys):
            self._table = np.full(self._keys[-1] + 2, len(self._keys), np.int32)
            self._table[self._keys] = np.arange(len(self._keys))

    def find(self, keys: npt.NDArray[np.int64]) -> tuple[npt.NDArray[Any], int]:
        """Return the rows of ``keys``, zeros for those that are not there, and how many are not."""
        places = self._places(keys)
        return self._rows[places], int((places == len(self._keys)).sum())

    def _places(self, keys: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Return where ``keys`` are; behind the last if they are not there."""
        if self._table is not None:
            return self._table[np.where((keys >= 0) & (keys < len(self._table)), keys, len(self._table) - 1)]
        places = np.searchsorted(self._keys, keys)
        if not len(self._keys):
            return places
        return np.where(self._keys[np.minimum(places, len(self._keys) - 1)] == keys, places, len(self._keys))


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
