"""Joining two large files by a name, in memory that holds a few numbers for each row of the one, and no objects.

The smaller file's names are kept as digests of 16 bytes; its text as numbers of distinct values. The rows of the larger
file go past and are looked up batch by batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fedscale.data.identity import client_keys
from fedscale.data.ragged import IntArray


class Distinct:
    """Numbers for the distinct values of text, in the order in which they are first met."""

    def __init__(self) -> None:
        self.values = pa.array([], pa.large_string())

    def number(self, texts: pa.ChunkedArray) -> npt.NDArray[np.int32]:
        """Return the number of each of ``texts``."""
        encoded = texts.combine_chunks().dictionary_encode()
        met = encoded.dictionary.cast(pa.large_string())
        known = pc.index_in(met, value_set=self.values)
        new = np.asarray(known.is_null())
        numbers = known.fill_null(0).to_numpy().astype(np.int32)
        numbers[new] = len(self.values) + np.arange(new.sum(), dtype=np.int32)
        self.values = pa.concat_arrays([self.values, met.filter(pa.array(new))])
        taken: npt.NDArray[np.int32] = numbers[encoded.indices.to_numpy(zero_copy_only=False)]
        return taken


@dataclass(frozen=True)
class Join:
    """A column of text, or of numbers, to be looked up by name.

    Attributes:
        keys: (n, 2) uint64, digests of the names, sorted.
        numbers: (n,) the values, as numbers of ``values``.
        values: the distinct values.
    """

    keys: npt.NDArray[np.uint64]
    numbers: npt.NDArray[np.int32]
    values: pa.Array

    @classmethod
    def of(cls, batches: Iterable[tuple[pa.ChunkedArray, pa.ChunkedArray]]) -> Join:
        """Collect names and values; of a name that occurs again, the first value counts."""
        distinct = Distinct()
        keys, numbers = [np.empty((0, 2), np.uint64)], [np.empty(0, np.int32)]
        for names, values in batches:
            keys.append(client_keys(names))
            numbers.append(distinct.number(values))
        every, all_numbers = np.concatenate(keys), np.concatenate(numbers)
        order = np.lexsort((every[:, 1], every[:, 0]))
        return cls(every[order], all_numbers[order], distinct.values)

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, names: pa.ChunkedArray) -> pa.Array:
        """Return the value for each of ``names``, null where there is none."""
        places = self._places(client_keys(names))
        if len(self) == 0:
            return pa.nulls(len(places), self.values.type)
        numbers = self.numbers[np.maximum(places, 0)]
        return self.values.take(pa.array(numbers, mask=places < 0))

    def _places(self, keys: npt.NDArray[np.uint64]) -> IntArray:
        """Return where ``keys`` are, -1 for those that are not; no two digests have the same first half."""
        places = np.searchsorted(self.keys[:, 0], keys[:, 0])
        there = places < len(self)
        there[there] = (self.keys[places[there]] == keys[there]).all(axis=1)
        return np.where(there, places, -1).astype(np.int64)
