"""Named streams: repeatable, independent, and the same on every machine."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedscale.seeds import derive, rng

GOLDEN_SEED = 5_399_775_968_102_300_870
NAMES = st.lists(st.text(max_size=5) | st.integers(-5, 5), max_size=3).map(tuple)


def test_the_streams_are_what_they_were():
    """Golden values: another answer here would change every run there ever was."""
    assert derive(1, "train", 17) == GOLDEN_SEED
    assert rng(1, "train", 17).integers(1 << 30, size=3).tolist() == [543237115, 961825324, 791872384]


@pytest.mark.parametrize("seed", ["0", "1", "random"])
def test_they_do_not_depend_on_the_process(seed):
    code = "from fedscale.seeds import derive; print(derive(1, 'train', 17))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == GOLDEN_SEED


@given(one=NAMES, other=NAMES, seed=st.integers(), another=st.integers())
def test_different_names_or_seeds_are_different_streams(one, other, seed, another):
    assert (derive(seed, *one) == derive(another, *other)) == ((seed, one) == (another, other))


def test_a_number_and_its_text_are_different_names():
    assert derive(1, 2) != derive(1, "2")
    assert derive(1, "a", "b") != derive(1, "ab")
    assert derive(12, 3) != derive(1, 23)


def test_drawing_from_one_stream_leaves_the_others_alone():
    expected = rng(1, "b").random(4)
    rng(1, "a").random(1000)
    np.testing.assert_array_equal(rng(1, "b").random(4), expected)


@given(st.integers(), NAMES)
def test_a_seed_has_64_bits(seed, names):
    assert 0 <= derive(seed, *names) < 1 << 64
