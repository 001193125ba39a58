"""Columns of samples: rectangular ones are NumPy arrays, those with rows of varying length are `Ragged`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fedscale.errors import DataError

IntArray = npt.NDArray[np.int64]
Rows = slice | IntArray
"""Which rows: a slice (zero-copy) or an array of row numbers (a copy)."""


@dataclass(frozen=True)
class Ragged:
    """Rows of varying length: row i is ``values[offsets[i]:offsets[i + 1]]``.

    ``values`` is 1-D; ``offsets`` is int64, one longer than there are rows, and need not begin at 0: a slice of rows
    shares the values of the whole.
    """

    values: npt.NDArray[Any]
    offsets: IntArray

    @classmethod
    def of(cls, rows: Sequence[npt.ArrayLike], dtype: npt.DTypeLike) -> Ragged:
        """Build a column from separate rows."""
        arrays = [np.asarray(row, dtype=dtype) for row in rows]
        values = np.concatenate([np.empty(0, dtype=dtype), *arrays])
        return cls(values, _offsets(np.array([len(row) for row in arrays], dtype=np.int64)))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> IntArray:
        """Length of each row, int64."""
        return np.diff(self.offsets)

    def row(self, i: int) -> npt.NDArray[Any]:
        """Return row ``i``, a view."""
        return self.values[self.offsets[i] : self.offsets[i + 1]]

    def rows(self) -> list[npt.NDArray[Any]]:
        """Return all rows, views."""
        return [self.row(i) for i in range(len(self))]

    def take(self, rows: Rows) -> Ragged:
        """Return some rows: a view for a slice with step 1, else a copy."""
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step == 1:
                return Ragged(self.values, self.offsets[start : max(start, stop) + 1])
            rows = np.arange(start, stop, step)
        starts, lengths = self.offsets[:-1][rows], self.lengths[rows]
        offsets = _offsets(lengths)
        places = np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Ragged(self.values[places], offsets)

    def padded(self, rows: Rows, pad: float, dtype: type[np.generic] | None = None) -> npt.NDArray[Any]:
        """Return rows side by side, (rows, longest row), filled up with ``pad`` at the end; as ``dtype``, if given."""
        starts, lengths = self.offsets[:-1][rows], self.lengths[rows]
        columns = np.arange(lengths.max(initial=0))
        within = columns < lengths[:, None]
        result = np.full(within.shape, pad, dtype=self.values.dtype if dtype is None else dtype)
        result[within] = self.values[(starts[:, None] + columns)[within]]
        return result


Column = npt.NDArray[Any] | Ragged


def take(column: Column, rows: Rows) -> Column:
    """Return ``rows`` of a column."""
    return column.take(rows) if isinstance(column, Ragged) else column[rows]


def concatenate(columns: Sequence[Column]) -> Column:
    """Return columns one after another as one.

    Raises:
        DataError: they differ in element type, in shape, or in kind.
    """
    if len(columns) == 1:
        return columns[0]
    ragged = [column for column in columns if isinstance(column, Ragged)]
    plain = [column for column in columns if not isinstance(column, Ragged)]
    if ragged and plain:
        raise DataError("a column holds rows of varying length in one block and not in another")
    if ragged:
        values = _join([column.values[column.offsets[0] : column.offsets[-1]] for column in ragged])
        return Ragged(values, _offsets(np.concatenate([column.lengths for column in ragged])))
    return _join(plain)


def _join(arrays: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    kinds = {(array.dtype.str, array.shape[1:]) for array in arrays}
    if len(kinds) > 1:
        raise DataError(f"blocks of one column differ in type or shape: {sorted(map(str, kinds))}")
    return np.concatenate(arrays)


def _offsets(lengths: IntArray) -> IntArray:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths, dtype=np.int64)])
