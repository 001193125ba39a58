"""What becomes of a cohort's outcomes between rounds, and of the collector that could walk them."""

import gc
import json

from fedscale.outcomes import Fate, Outcome
from fedscale.simulation.cohort import from_columns, to_columns
from fedscale.simulation.garbage import settled


def outcome(task, fate, **trained):
    return Outcome(task, 7, 2, fate, start=1.5, end=4.25, duration=9.0, samples=30, **trained)


def test_outcomes_come_back_from_the_columns_of_a_checkpoint():
    outcomes = [outcome(0, Fate.COMPLETED, loss=0.5, metrics={"norm": 2.0}), outcome(1, Fate.DROPPED)]
    columns = to_columns(outcomes)
    assert columns["end"] == [4.25, 4.25]
    assert columns["loss"] == [0.5, None]
    restored = from_columns(json.loads(json.dumps(columns)))
    assert restored == outcomes
    assert restored[1].fate is Fate.DROPPED


def test_no_outcomes_come_back_as_none():
    assert from_columns(to_columns([])) == []


def test_what_exists_is_left_out_of_collections_only_within_the_block():
    before = gc.get_freeze_count()
    with settled():
        assert gc.get_freeze_count() > before + 1000
    assert gc.get_freeze_count() == 0
