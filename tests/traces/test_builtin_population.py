"""The built-in population against the published facts: every figure that is claimed, and that the claims are meant."""

from __future__ import annotations

import numpy as np
import pytest

from fedscale.traces import compare, published
from fedscale.traces.availability import Availability
from fedscale.traces.builtin import DAY, builtin_availability, builtin_devices
from fedscale.traces.compare import Fact
from fedscale.traces.devices import alike
from fedscale.units import MICROS


@pytest.fixture(scope="module", params=[1, 2])
def slots(request: pytest.FixtureRequest) -> Availability:
    """As many users as the published file has."""
    return builtin_availability(published.USERS, request.param)


def misses(facts: list[Fact]) -> list[str]:
    return [f"{fact.name}: {fact.here:g}, not in {fact.allowed}" for fact in facts if fact.allowed and not fact.within]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_devices_match_what_is_claimed(seed: int) -> None:
    facts = compare.device_facts(builtin_devices(100_000, seed))
    assert len(facts) == 28
    assert misses(facts) == []


def test_slots_match_what_is_claimed(slots: Availability) -> None:
    facts = compare.availability_facts(slots)
    assert misses(facts) == []
    assert [fact.name for fact in facts if fact.allowed is None] == [
        "top 100, gap seconds, p75",
        "top 100, slots a week, p5",
    ]


def test_a_population_of_equals_would_miss_most_claims() -> None:
    day = np.array([DAY * MICROS])
    always = Availability.from_slots(np.array([0]), np.array([0]), day // 5, day).take(np.zeros(200, np.int64))
    facts = compare.device_facts(alike(200, 78.02, 13_736.14)) + compare.availability_facts(always)
    assert len(misses(facts)) > 40


def test_slots_are_whole_seconds_of_whole_days_with_gaps(slots: Availability) -> None:
    assert not (slots.starts % MICROS).any()
    assert not (slots.ends % MICROS).any()
    assert not (slots.periods % (DAY * MICROS)).any()
    assert (np.diff(slots.offsets) >= 1).all()


def test_users_differ(slots: Availability) -> None:
    share = compare.online_seconds(slots) / (slots.periods / MICROS)
    assert (share < 0.02).mean() > 0.05
    assert (share > 0.5).mean() > 0.05
    assert (share > 0.9).any()


def test_as_many_are_online_at_the_start_as_a_day_later(slots: Availability) -> None:
    # slots run over the end of a period, so a simulation does not start in an empty world
    first, later = (slots.online(day * DAY * MICROS).mean() for day in (0, 1))
    assert first == pytest.approx(later, rel=0.03)
    assert first > 0.2


def test_a_handful_of_users_is_possible() -> None:
    for count in (1, 2, 7):
        assert len(builtin_availability(count, 5)) == len(builtin_devices(count, 5)) == count


def test_figures_of_a_table_worked_out_by_hand() -> None:
    # two users, periods of a day: one with slots of 100 s and 300 s, 600 s apart; one with a slot of 200 s
    users = np.array([0, 0, 1])
    starts, ends = np.array([0, 700, 0]) * MICROS, np.array([100, 1000, 200]) * MICROS
    slots = Availability.from_slots(users, starts, ends, np.array([DAY, DAY]) * MICROS)
    facts = {fact.name: fact.here for fact in compare.availability_facts(slots)}
    assert facts["slots per user, mean"] == 1.5
    assert facts["online seconds, least"] == 200
    assert facts["online seconds, mean"] == 300
    assert facts["online share, mean"] == 300 / DAY
    assert facts["top 100, slot seconds, p50"] == 200
    assert facts["top 100, gap seconds, p50"] == 600
    assert facts["top 100, slots a week, p50"] == 10.5
