"""Joining two files by names."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from fedscale.data.joined import Distinct, Join

NAMES = st.text(alphabet="abé0", max_size=3)


def column(values: list[str]) -> pa.ChunkedArray:
    middle = len(values) // 2
    return pa.chunked_array([pa.array(part, pa.large_string()) for part in (values[:middle], values[middle:])])


@given(st.lists(st.lists(st.tuples(NAMES, NAMES), max_size=6), max_size=4), st.lists(NAMES, max_size=8))
def test_as_a_dictionary_would(batches: list[list[tuple[str, str]]], wanted: list[str]) -> None:
    expected: dict[str, str] = {}
    for batch in batches:
        for name, value in batch:
            expected.setdefault(name, value)
    join = Join.of((column([name for name, _ in batch]), column([value for _, value in batch])) for batch in batches)
    assert join.find(column(wanted)).to_pylist() == [expected.get(name) for name in wanted]
    assert len(join) == sum(map(len, batches))


@given(st.lists(st.lists(NAMES, max_size=6), max_size=4))
def test_numbers_in_the_order_of_meeting(batches: list[list[str]]) -> None:
    distinct = Distinct()
    numbers = [distinct.number(column(batch)).tolist() for batch in batches]
    known: dict[str, int] = {}
    assert numbers == [[known.setdefault(name, len(known)) for name in batch] for batch in batches]
    assert distinct.values.to_pylist() == list(known)


def test_memory_is_numbers() -> None:
    names = [f"{number:016x}" for number in range(1000)]
    join = Join.of([(column(names), column(["ann", "bob"] * 500))])
    assert join.keys.nbytes + join.numbers.nbytes == 1000 * 20
    assert join.values.to_pylist() == ["ann", "bob"]
    assert np.asarray(join.find(column(names)).to_pylist()).tolist() == ["ann", "bob"] * 500
