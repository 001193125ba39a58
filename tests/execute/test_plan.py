"""How cohorts are cut into blocks: by hand, and what must hold for any cohort."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedscale.execute.plan import GROUP, Fold, Planner
from fedscale.learn.conf import TrainConf


def conf(task, client, **changes):
    values = {"lr": 0.1, "batch_size": 4, "steps": None, "epochs": 1} | changes
    return TrainConf(task=task, client=client, version=0, seed=1, **values)


def test_most_work_comes_first_and_equals_in_the_order_of_tasks():
    planner = Planner(np.array([3, 9, 4, 9]), 1)
    blocks = planner.blocks([conf(10, 0), conf(11, 1), conf(12, 2), conf(13, 3)])
    assert [[one.task for one in block] for block in blocks] == [[11], [13], [12], [10]]
    # 9 samples in batches of 4 are 3 steps, 4 and 3 samples are one.
    assert [planner.work(block) for block in blocks] == [(3, 9), (3, 9), (1, 4), (1, 3)]
    assert planner.work([conf(0, 0, steps=5, epochs=None), conf(1, 1, steps=5, epochs=None)]) == (10, 5 * 3 + 5 * 4)


def test_blocks_shrink_towards_the_end():
    sizes = [len(block) for block in Planner(np.ones(300, int), 16, 4).blocks([conf(i, i) for i in range(300)])]
    # Up to 128 left, an eighth of the rest is a block or more; 108 / 8, rounded up, is 14, so three stacks of 4.
    assert sizes[:18] == [16] * 12 + [12, 12, 8, 8, 8, 8]
    assert sizes[18:] == [4] * 7 + [3] * 3 + [2] * 7 + [1]
    assert sizes == sorted(sizes, reverse=True)


@given(
    samples=st.lists(st.integers(1, 200), min_size=1, max_size=120),
    block=st.sampled_from([1, 4, 16, 64]),
    data=st.data(),
)
def test_every_task_is_in_one_block_wherever_it_stood(samples, block, data):
    planner = Planner(np.array(samples), block)
    tasks = [conf(number, number) for number in range(len(samples))]
    blocks = planner.blocks(tasks)
    assert sorted(one.task for part in blocks for one in part) == list(range(len(samples)))
    assert all(1 <= len(part) <= block for part in blocks)
    assert planner.blocks(data.draw(st.permutations(tasks))) == blocks


def test_sums_are_formed_in_groups_first():
    """In float32, 2²⁴ + 1 is 2²⁴: what is added to what shows in the result."""
    fold = Fold(1)
    for value in [2.0**24] + [1.0] * (2 * GROUP - 1):
        fold.add(torch.tensor([value]), 1.0)
    total = fold.result()
    # The first group loses its GROUP − 1 ones, one by one; the second group's ones come as a sum.
    assert (total.total.item(), total.weight) == (2.0**24 + GROUP, 2 * GROUP)
