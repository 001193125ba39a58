"""What is learned of the seconds that blocks take."""

import pytest

from fedscale.execute.forecast import Forecast


def block(tasks, steps, samples):
    return {"items": list(range(tasks)), "work": (steps, samples)}


def test_rates_are_found_from_blocks_of_different_kinds():
    # 2 ms a task, 1 ms a step, 0.1 ms a sample.
    forecast = Forecast()
    for tasks, steps, samples in [(4, 20, 400), (4, 80, 900), (2, 50, 100), (1, 5, 700), (8, 9, 30)] * 3:
        forecast.learn(block(tasks, steps, samples), 0.002 * tasks + 0.001 * steps + 0.0001 * samples)
    assert forecast.seconds(block(3, 30, 200)) == pytest.approx(0.006 + 0.030 + 0.020, rel=1e-3)


def test_blocks_of_one_kind_are_enough_for_that_kind():
    forecast = Forecast()
    for size in [8] * 5000 + [4] * 10:
        forecast.learn(block(size, 5 * size, 100 * size), 0.01 * size)
    assert forecast.seconds(block(6, 30, 600)) == pytest.approx(0.06, rel=1e-3)


def test_the_newest_count_most():
    forecast = Forecast()
    for seconds in [1.0] * 500 + [2.0] * 500:
        forecast.learn(block(4, 20, 80), seconds)
    assert forecast.seconds(block(4, 20, 80)) == pytest.approx(2.0, rel=0.01)


def test_tests_and_unknown_times_teach_nothing_but_can_be_asked_for():
    forecast = Forecast()
    before = forecast.seconds({"items": [1, 2]})
    forecast.learn({"items": [1, 2]}, 5.0)
    forecast.learn(block(4, 20, 80), None)
    assert forecast.seconds({"items": [1, 2]}) == before > 0
