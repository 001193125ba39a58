"""The mask that is kept from question to question, against the answer that remembers nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedscale import limits
from fedscale.job import AvailabilityConf, DevicesConf
from fedscale.traces.availability import Availability
from fedscale.traces.devices import Devices
from fedscale.traces.population import Population, build_population
from fedscale.traces.presence import OnlineMask
from fedscale.units import MICROS

Slots = list[tuple[int, int]]


def build(*users: tuple[int, Slots]) -> Availability:
    rows = [(user, *slot) for user, (_, slots) in enumerate(users) for slot in slots]
    columns = np.array(rows, np.int64).reshape(-1, 3).T
    return Availability.from_slots(*columns, np.array([period for period, _ in users], np.int64))


def population(slots: Availability, rows: list[int]) -> Population:
    count = len(rows)
    devices = Devices(np.ones(1), np.ones(1), np.ones(1))
    return Population(devices, np.zeros(count, np.int64), slots, np.array(rows, np.int64))


def stateless(given_population: Population, clients: np.ndarray, time: int) -> list[int]:
    return clients[given_population.online(time)[clients]].tolist()


@st.composite
def users(draw: st.DrawFn) -> tuple[int, Slots]:
    period = draw(st.sampled_from([1, 2, 7, 20, 64]))
    bounds = st.integers(0, period)
    pairs = draw(st.lists(st.tuples(bounds, bounds), max_size=8))
    return period, [(min(pair), max(pair)) for pair in pairs]


@given(st.lists(users(), min_size=1, max_size=6), st.lists(st.integers(0, 300), min_size=1, max_size=12), st.data())
def test_the_mask_is_the_stateless_answer_at_any_times_in_any_order(
    given_users: list[tuple[int, Slots]], times: list[int], data: st.DataObject
) -> None:
    rows = data.draw(st.lists(st.integers(0, len(given_users) - 1), min_size=1, max_size=30))
    who = population(build(*given_users), rows)
    clients = np.array(sorted(data.draw(st.sets(st.integers(0, len(rows) - 1)))), np.int64)
    among = who.among(clients)
    for time in times:
        assert among(time).tolist() == stateless(who, clients, time)


@given(st.lists(users(), min_size=1, max_size=6), st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_the_mask_walks_forward_as_a_run_does(given_users: list[tuple[int, Slots]], steps: list[int]) -> None:
    who = population(build(*given_users), list(range(len(given_users))))
    clients, time = np.arange(len(given_users)), 0
    among = who.among(clients)
    for step in steps:
        time += step
        assert among(time).tolist() == stateless(who, clients, time)


def test_slots_are_half_open_and_come_back_with_their_period() -> None:
    among = population(build((100, [(10, 20)]), (50, [(0, 5)])), [0, 1]).among(np.arange(2))
    asked = [9, 10, 19, 20, 49, 50, 54, 55, 110]
    assert [among(time).tolist() for time in asked] == [[], [0], [0], [], [], [1], [1], [], [0]]


def test_a_slot_over_the_end_of_the_period_has_no_gap_there() -> None:
    among = population(build((100, [(0, 5), (90, 100)])), [0]).among(np.arange(1))
    assert [among(time).tolist() for time in (89, 90, 99, 100, 104, 105, 199, 200, 0, 99)] == [
        *([], [0], [0], [0], [0], []),
        *([0], [0], [0], [0]),
    ]


def test_a_slot_to_the_end_of_the_period_ends_there() -> None:
    among = population(build((100, [(90, 100)])), [0]).among(np.arange(1))
    assert [among(time).tolist() for time in (99, 100, 0, 99, 100 * 10**9 + 99)] == [[0], [], [], [0], [0]]


def test_always_and_never_online() -> None:
    among = population(build((100, [(0, 100)]), (100, []), (100, [(0, 40), (40, 100)])), [0, 1, 2]).among(np.arange(3))
    assert [among(time).tolist() for time in (0, 50, 100, 99, 12_345)] == [[0, 2]] * 5


def test_only_those_asked_for_are_found() -> None:
    who = population(build((10, [(0, 5)]), (10, [(5, 10)])), [0, 1, 0, 1, 0])
    among = who.among(np.array([1, 4]))
    assert [among(time).tolist() for time in (0, 5)] == [[4], [1]]
    assert who.among(np.array([], np.int64))(0).tolist() == []


def test_most_clients_in_one_row() -> None:
    """So unevenly that no table of the clients of each row is kept."""
    slots = build((10, [(0, 5)]), *[(10, [(n, n + 1)]) for n in range(9)])
    who = population(slots, [0] * 50 + list(range(1, 10)))
    among = who.among(np.arange(59))
    for time in (0, 3, 4, 5, 9, 10, 2):
        assert among(time).tolist() == stateless(who, np.arange(59), time)


def test_many_slots_in_small_steps_long_jumps_and_backwards() -> None:
    """1,000 clients that share 60 rows, some that have their own; every kind of step goes through the snapshots too."""
    rng = np.random.default_rng(5)
    owner = np.repeat(np.arange(60), 40)
    periods = np.array([600, 1000, 1300])[np.arange(60) % 3]
    starts = rng.integers(0, periods[owner])
    slots = Availability.from_slots(
        owner, starts, np.minimum(starts + rng.integers(1, 9, 2400), periods[owner]), periods
    )
    for rows in ([*rng.permutation(60)], [*(np.arange(1000) % 60)], [*rng.integers(0, 60, 1000)]):
        who, time = population(slots, rows), 0
        clients = np.flatnonzero(rng.random(len(rows)) < 0.8)
        among = who.among(clients)
        for step in [*rng.integers(0, 4, 60), 590, 610, *rng.integers(-900, 900, 60), 10**6, -(10**5), 0]:
            time = max(0, time + int(step))
            assert among(time).tolist() == stateless(who, clients, time)


def test_times_of_years_are_exact_to_the_microsecond() -> None:
    period, years = 518_400_000_000, 10**15 // 518_400_000_000 * 518_400_000_000
    among = population(build((period, [(1, 2)])), [0]).among(np.arange(1))
    assert [among(time).tolist() for time in (years + 1, years + 2, years, years + period + 1)] == [[0], [], [], [0]]


@pytest.mark.parametrize(
    "users",
    [
        [(period, [(0, 1)]) for period in range(1, limits.ONLINE_PERIODS + 2)],
        [(1 << 61, [(5, 9), (1 << 60, (1 << 60) + 3)]), *[(40, [(0, 7)])] * 8],
    ],
    ids=["many periods", "a period that leaves no bits for clients"],
)
def test_what_cannot_be_kept_is_answered_all_the_same(users: list[tuple[int, Slots]]) -> None:
    columns = [(user, *slot) for user, (_, slots) in enumerate(users) for slot in slots]
    owner, starts, ends = np.array(columns, np.int64).T
    offsets = np.searchsorted(owner, np.arange(len(users) + 1))
    slots = Availability(offsets, starts, ends, np.array([period for period, _ in users], np.int64))
    who = population(slots, list(range(len(users))))
    clients = np.arange(0, len(users), 2)
    assert not OnlineMask.suits(slots, len(who))
    among = who.among(clients)
    for time in (0, 1, 6, 7, 5, 1 << 60):
        assert among(time).tolist() == stateless(who, clients, time)


def test_availability_switched_off_is_always_online() -> None:
    who = build_population(4, DevicesConf(), AvailabilityConf(source="none"), 1)
    assert who.among(np.array([1, 3]))(77).tolist() == [1, 3]


def test_the_built_in_population() -> None:
    """130,000 clients on 100,000 shared rows, minute by minute, over midnight and through days."""
    who = build_population(130_000, DevicesConf(), AvailabilityConf(), 1)
    clients = np.arange(0, 130_000, 3)
    among = who.among(clients)
    for second in (0, 60, 120, 3600, 86_399, 86_400, 90_000, 10**7, 10**7 + 1, 5 * 86_400, 60):
        found = among(second * MICROS)
        assert found.dtype == np.int64
        assert found.tolist() == stateless(who, clients, second * MICROS)
