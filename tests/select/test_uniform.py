"""Uniform selection: distinct, online, repeatable, and alike for all."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedscale import seeds
from fedscale.select import SELECTORS
from fedscale.select.base import Moment
from fedscale.select.uniform import Uniform

ONLINE = st.sets(st.integers(0, 10_000), max_size=60).map(lambda found: np.array(sorted(found), dtype=np.int64))


def moment(selection=0, seed=1):
    return Moment(0.0, selection, seeds.rng(seed, "select", selection))


@given(online=ONLINE, count=st.integers(1, 70), selection=st.integers(0, 5))
def test_a_selection_is_ascending_distinct_online_and_of_the_right_size(online, count, selection):
    chosen = Uniform().select(online, count, moment(selection))
    assert len(chosen) == min(count, len(online))
    assert (np.diff(chosen) > 0).all()
    assert np.isin(chosen, online).all()
    assert chosen.tolist() == Uniform().select(online, count, moment(selection)).tolist()


def test_fewer_than_wanted_are_all_taken_and_nobody_is_nobody():
    assert Uniform().select(np.array([3, 8]), 5, moment()).tolist() == [3, 8]
    assert Uniform().select(np.array([], dtype=np.int64), 5, moment()).tolist() == []


def test_selections_and_seeds_differ():
    online = np.arange(1000)
    drawn = {tuple(Uniform().select(online, 10, moment(n, seed))) for n in range(5) for seed in (1, 2)}
    assert len(drawn) == 10


def test_every_client_is_as_likely_as_any_other():
    """2,000 draws of 10 out of 50: each is expected 400 times, with a standard deviation of 18."""
    counts = np.zeros(50)
    for number in range(2000):
        counts[Uniform().select(np.arange(50), 10, moment(number))] += 1
    assert counts.sum() == 20_000
    assert abs(counts - 400).max() < 4 * 18


def test_it_learns_and_keeps_nothing():
    selector = SELECTORS.build("uniform")
    selector.feedback([])
    assert selector.state() == {}
    selector.restore({})
