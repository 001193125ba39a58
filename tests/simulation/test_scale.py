"""Ten thousand participants a round: what the coordinator may cost. The limits are generous."""

import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))

from benchmarks.coordinator import microseconds_per_event, seconds_per_round

from fedscale import Job, simulate
from fedscale.report.check import check_log


@pytest.mark.soak
def test_an_event_costs_less_than_20_microseconds():
    assert min(microseconds_per_event() for _ in range(5)) < 20


@pytest.mark.soak
@pytest.mark.parametrize("availability", ["builtin", "off"])
def test_a_dry_round_of_10000_out_of_a_million_takes_less_than_2_seconds(availability):
    _, seconds = seconds_per_round(1_000_000, availability, 5)
    assert seconds < 2


@pytest.mark.soak
def test_the_check_takes_as_long_for_one_large_round_as_for_many_small_ones(tmp_path):
    """A line's cost does not grow with the round that it is in."""
    large = seconds_to_check(tmp_path / "large", participants=60_000, rounds=1)
    small = seconds_to_check(tmp_path / "small", participants=1_000, rounds=60)
    assert large < 2 * small


def seconds_to_check(out, participants, rounds):
    job = {
        "data": {"name": "synthetic", "clients": 60_000, "samples": 2.0, "shape": (2,), "split": SPLIT},
        "rounds": {"participants": participants, "count": rounds, "over_commitment": 1.0},
        "availability": "off",
        "dry_run": True,
    }
    log = simulate(Job.parse(job), out).log
    taken = []
    for _ in range(3):
        begin = time.process_time()
        assert check_log(log).tasks == 60_000
        taken.append(time.process_time() - begin)
    return min(taken)


SPLIT = {"train": 1.0, "validation": 0.0, "test": 0.0}
