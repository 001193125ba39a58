"""Which node does which block, and what becomes of groups whose sums are lost; without a cluster."""

import pytest

from fedscale.errors import WorkerError
from fedscale.execute.forecast import Forecast
from fedscale.execute.groups import MOST_LOSSES, Groups
from fedscale.execute.plan import GROUP


class Folded(list):
    """Groups in the order in which they were folded: the totals of their blocks, and their sum."""

    lost = 0

    def __call__(self, answers, total):
        if self.lost:
            self.lost -= 1
            return False
        self.append(([answer["weight"] for answer in answers], total["weight"]))
        return True


@pytest.fixture
def folded():
    return Folded()


@pytest.fixture
def nodes():
    return {"a", "b"}


@pytest.fixture
def groups(folded, nodes):
    """Twenty blocks: two whole groups and a half one."""
    requests = [{"items": [number], "work": (1, 1)} for number in range(20)]
    return Groups(requests, folded, 20, lambda: nodes)


def work(groups, node, count=1000):
    """Have a worker of a node do what it is given, ``count`` requests at most; return their numbers."""
    done = []
    while len(done) < count and (number := groups.next(Forecast(), node)) is not None:
        done.append(number)
        request = groups.requests[number]
        if "parts" in request:
            groups.take(number, {"weight": sum(request["weights"])})
        else:
            groups.take(number, {"weight": number, "total": f"{number} on {node}"})
    return done


WHOLE = [
    (list(range(8)), sum(range(8))),
    (list(range(8, 16)), sum(range(8, 16))),
    (list(range(16, 20)), sum(range(16, 20))),
]


def test_one_worker_does_group_after_group_and_adds_each_up_at_once(groups, folded):
    assert work(groups, "a") == [*range(8), 20, *range(8, 16), 21, *range(16, 20), 22]
    assert folded == WHOLE
    assert groups.done


def test_a_node_goes_on_with_its_own_group_and_begins_the_next_one_then(groups, folded):
    assert work(groups, "a", 1) == [0]
    assert work(groups, "b", 10) == [*range(8, 16), 21, 16]
    assert folded == []  # groups are folded in order
    assert work(groups, "a", 9) == [*range(1, 8), 20, 17]
    assert folded == WHOLE[:2]


def test_who_finds_nothing_to_begin_helps_but_the_sum_waits_for_its_home(groups, folded):
    work(groups, "a", 1)
    work(groups, "b", 9)
    assert work(groups, "b") == [*range(16, 20), 22, *range(1, 8)]
    assert groups.requests[20]["parts"] == ["0 on a", *(f"{number} on b" for number in range(1, 8))]
    assert work(groups, "a") == [20]
    assert folded == WHOLE


def test_the_groups_of_a_node_that_left_are_for_anyone(groups, folded, nodes):
    work(groups, "a", 8)
    nodes.remove("a")
    assert work(groups, "b", 1) == [20]
    assert folded == WHOLE[:1]


def test_a_group_whose_parts_are_lost_is_done_again(groups, folded):
    work(groups, "a", 8)
    assert groups.next(Forecast(), "a") == 20
    groups.take(20, {"lost": True})
    assert folded == []
    assert work(groups, "b")[:9] == [*range(8), 20]
    assert folded == WHOLE


def test_a_group_whose_sum_is_lost_before_it_is_folded_is_done_again(groups, folded):
    folded.lost = 1
    assert work(groups, "a") == [*range(8), 20, *range(8), 20, *range(8, 16), 21, *range(16, 20), 22]
    assert folded == WHOLE


def test_losses_without_end_are_an_error(groups, folded):
    folded.lost = MOST_LOSSES
    with pytest.raises(WorkerError, match=f"lost {MOST_LOSSES} times"):
        work(groups, "a")


def test_no_block_is_begun_that_is_too_far_ahead_of_the_fold(folded, nodes):
    groups = Groups([{"items": [n], "work": (1, 1)} for n in range(40)], folded, GROUP + 2, lambda: nodes)
    begun = [groups.next(Forecast(), "b") for _ in range(12)]
    assert begun == [*range(GROUP + 2), None, None]
