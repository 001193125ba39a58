"""Columns with rows of varying length."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedscale.data.ragged import Ragged, concatenate, take
from fedscale.errors import DataError

COLUMN = Ragged.of([[1, 2, 3], [], [4], [5, 6]], np.uint8)
ROWS = st.lists(st.lists(st.integers(0, 255), max_size=5), min_size=1, max_size=8)


def test_rows_and_lengths() -> None:
    assert len(COLUMN) == 4
    assert COLUMN.lengths.tolist() == [3, 0, 1, 2]
    assert COLUMN.row(3).tolist() == [5, 6]


def test_padded_fills_rows_up_to_the_longest_of_them() -> None:
    assert COLUMN.padded(slice(0, 4), 9).tolist() == [[1, 2, 3], [9, 9, 9], [4, 9, 9], [5, 6, 9]]
    assert COLUMN.padded(np.array([3, 2]), 0).tolist() == [[5, 6], [4, 0]]
    assert COLUMN.padded(np.array([1]), 0).shape == (1, 0)
    assert COLUMN.padded(slice(0, 1), 0).dtype == np.uint8


def test_a_slice_shares_the_values_and_an_array_copies_them() -> None:
    part = COLUMN.take(slice(2, 4))
    assert part.values is COLUMN.values
    assert [part.row(i).tolist() for i in range(2)] == [[4], [5, 6]]
    chosen = COLUMN.take(np.array([3, 0]))
    assert chosen.values.tolist() == [5, 6, 1, 2, 3]
    assert not np.shares_memory(chosen.values, COLUMN.values)


def test_empty_and_stepped_slices() -> None:
    assert len(COLUMN.take(slice(3, 1))) == 0
    assert COLUMN.take(slice(0, 4, 2)).values.tolist() == [1, 2, 3, 4]
    assert COLUMN.take(slice(0, 0)).padded(slice(0, 0), 0).shape == (0, 0)


@given(rows=ROWS, data=st.data())
def test_take_is_indexing(rows: list[list[int]], data: st.DataObject) -> None:
    column = Ragged.of(rows, np.int32)
    start, stop = sorted(data.draw(st.tuples(st.integers(0, len(rows)), st.integers(0, len(rows)))))
    part = column.take(slice(start, stop))  # offsets of a part do not begin at 0
    places = data.draw(st.lists(st.integers(0, max(len(part) - 1, 0)), max_size=5)) if len(part) else []
    chosen = part.take(np.array(places, dtype=np.int64))
    assert [chosen.row(i).tolist() for i in range(len(chosen))] == [rows[start:stop][place] for place in places]
    padded = part.padded(slice(0, len(part)), -1)
    assert [[value for value in row if value >= 0] for row in padded.tolist()] == rows[start:stop]


@given(first=ROWS, second=ROWS)
def test_concatenate_is_list_addition(first: list[list[int]], second: list[list[int]]) -> None:
    tail = Ragged.of(first, np.int32).take(slice(1, len(first)))
    whole = concatenate([tail, Ragged.of(second, np.int32)])
    assert isinstance(whole, Ragged)
    assert [whole.row(i).tolist() for i in range(len(whole))] == first[1:] + second


def test_columns_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(DataError, match="differ in type or shape"):
        concatenate([np.zeros(2, np.uint8), np.zeros(2, np.int64)])
    with pytest.raises(DataError, match="differ in type or shape"):
        concatenate([np.zeros((2, 3)), np.zeros((2, 4))])
    with pytest.raises(DataError, match="varying length in one block and not in another"):
        concatenate([COLUMN, np.zeros(2, np.uint8)])


def test_take_of_an_array() -> None:
    column = np.arange(12).reshape(4, 3)
    assert np.shares_memory(take(column, slice(1, 3)), column)
    assert take(column, np.array([3])).tolist() == [[9, 10, 11]]
