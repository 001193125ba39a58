"""Slots as columns: the three questions, against a model that walks through one user's slots."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedscale.errors import TraceError
from fedscale.traces.availability import Availability
from fedscale.units import NEVER

Slots = list[tuple[int, int]]
User = tuple[int, Slots]


def build(*users: User) -> Availability:
    rows = [(user, *slot) for user, (_, slots) in enumerate(users) for slot in slots]
    columns = np.array(rows, np.int64).reshape(-1, 3).T
    return Availability.from_slots(*columns, np.array([period for period, _ in users], np.int64))


def array(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


class Model:
    """One user, minute by minute: which instants of the period lie in a slot."""

    def __init__(self, user: User) -> None:
        self.period, slots = user
        self.busy = [any(start <= t < end for start, end in slots) for t in range(self.period)]

    def online(self, time: int) -> bool:
        return self.busy[time % self.period]

    def until(self, time: int) -> int:
        if all(self.busy):
            return NEVER
        while self.online(time):
            time += 1
        return time

    def next_online(self, time: int) -> int:
        if not any(self.busy):
            return NEVER
        while not self.online(time):
            time += 1
        return time


@st.composite
def users(draw: st.DrawFn) -> User:
    period = draw(st.integers(1, 30))
    bounds = st.integers(0, period)
    pairs = draw(st.lists(st.tuples(bounds, bounds), max_size=6))
    return period, [(min(pair), max(pair)) for pair in pairs]


@given(st.lists(users(), min_size=1, max_size=5), st.lists(st.integers(0, 200), min_size=1, max_size=10), st.data())
def test_every_question_agrees_with_walking_through_the_slots_in_any_order(
    given_users: list[User], times: list[int], data: st.DataObject
) -> None:
    availability = build(*given_users)
    models = [Model(user) for user in given_users]
    for time in times:
        asked = data.draw(st.lists(st.integers(0, len(models) - 1), max_size=8))
        rows = np.array(asked, np.int64)
        assert availability.online(time, rows).tolist() == [models[i].online(time) for i in asked]
        assert availability.until(time, rows).tolist() == [models[i].until(time) for i in asked]
        assert availability.next_online(time, rows).tolist() == [models[i].next_online(time) for i in asked]
        assert availability.online(time).tolist() == [model.online(time) for model in models]


@given(st.lists(users(), min_size=1, max_size=5))
def test_slots_of_a_row_are_sorted_and_leave_gaps(given_users: list[User]) -> None:
    availability = build(*given_users)
    for user in range(len(availability)):
        row = slice(availability.offsets[user], availability.offsets[user + 1])
        starts, ends = availability.starts[row], availability.ends[row]
        assert (starts < ends).all()
        assert (ends[:-1] < starts[1:]).all()


def test_a_slot_is_half_open() -> None:
    availability = build((100, [(10, 20)]))
    assert [availability.online(t).item() for t in (9, 10, 19, 20)] == [False, True, True, False]


def test_slots_that_touch_are_one() -> None:
    availability = build((100, [(10, 20), (0, 10)]))
    assert availability.until(5).tolist() == [20]
    assert availability.starts.tolist() == [0]


def test_a_slot_goes_on_over_the_end_of_the_period() -> None:
    availability = build((100, [(0, 5), (90, 100)]))
    assert availability.until(95).tolist() == [105]
    assert availability.until(1095).tolist() == [1105]
    assert availability.until(100).tolist() == [105]


def test_a_slot_at_the_end_does_not_go_on_without_one_at_the_beginning() -> None:
    assert build((100, [(1, 5), (90, 100)])).until(95).tolist() == [100]


def test_always_online_never_ends_and_no_slot_never_begins() -> None:
    availability = build((100, [(0, 40), (40, 100)]), (100, []))
    assert availability.until(1234).tolist() == [NEVER, 1234]
    assert availability.next_online(1234).tolist() == [1234, NEVER]


def test_nobody_has_a_slot() -> None:
    availability = build((100, []), (50, []))
    assert availability.online(3).tolist() == [False, False]
    assert availability.until(3).tolist() == [3, 3]
    assert availability.next_online(3).tolist() == [NEVER, NEVER]


def test_each_user_repeats_with_its_own_period() -> None:
    availability = build((1000, [(0, 20)]), (500, [(0, 18)]), (300, [(0, 7)]))
    assert availability.next_online(20).tolist() == [1000, 500, 300]
    assert availability.online(1500).tolist() == [False, True, True]


def test_asking_changes_nothing() -> None:
    # the published runtime kept a cursor per client, and answered this very sequence with False, True, True
    availability = build((518_400, [(12_788, 65_881), (100_044, 133_574), (188_992, 208_292)]))
    assert [availability.online(200_000).item() for _ in range(3)] == [True, True, True]
    availability.online(70_000)
    assert availability.online(60_000).item() is True


def test_times_of_years_are_exact_to_the_microsecond() -> None:
    period, years = 518_400_000_000, 10**15 // 518_400_000_000 * 518_400_000_000
    availability = build((period, [(1, 2)]))
    assert availability.online(years + 1).item() is True
    assert availability.online(years + 2).item() is False
    assert availability.next_online(years + 2).tolist() == [years + period + 1]


def test_nested_and_overlapping_slots_become_one() -> None:
    availability = build((100, [(0, 50), (10, 20), (30, 60), (70, 80)]), (100, [(5, 6)]))
    assert availability.starts.tolist() == [0, 70, 5]
    assert availability.ends.tolist() == [60, 80, 6]


@pytest.mark.parametrize(
    ("slots", "period", "message"),
    [
        ([(5, 4)], 10, "availability slot 0 of user 0: end is 4; it must be not before start"),
        ([(-1, 4)], 10, "availability slot 0 of user 0: start is -1; it must be from 0"),
        ([(0, 1), (5, 11)], 10, "availability slot 1 of user 0: end is 11; it must be no later than the period"),
        ([], 0, "availability user 0: period is 0"),
    ],
)
def test_impossible_slots_are_refused(slots: Slots, period: int, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        build((period, slots))


def test_slots_of_unknown_users_and_wrong_names_are_refused() -> None:
    with pytest.raises(TraceError, match="slot 0: user is 1; it must be 0 to 0"):
        Availability.from_slots(array(1), array(0), array(1), array(10))
    with pytest.raises(TraceError, match="2 names for 1 users"):
        Availability.from_slots(array(0), array(0), array(1), array(10), ("a", "b"))
    with pytest.raises(TraceError, match="no user"):
        Availability.from_slots(array(), array(), array(), array())
