"""Which blocks are done on which node, so that the sums of a group of them meet there and travel on as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence

from fedscale.errors import WorkerError
from fedscale.execute.dispatch import Answer, Request, Sweep
from fedscale.execute.forecast import Forecast
from fedscale.execute.plan import GROUP

MOST_LOSSES = 20
"""Times that what a node has made of one group may be lost before the run ends."""

FoldGroup = Callable[[Sequence[Answer], Answer], bool]
"""Folds a group: the answers of its blocks, and their sum. Says ``False``, having done nothing, if the sum is lost."""


class Groups(Sweep):
    """Requests for blocks, and for each group of them one more for its sum.

    A node that begins a group is its home: its workers go on with that group before they begin another, and one of
    them adds up. Only when no group is left to begin do they help elsewhere. What is lost with a node is done again.

    Args:
        requests: for all blocks, in the planner's order.
        fold: is given one group after another, in order.
        ahead: blocks that may be ahead of the fold; at least those of one group are.
        nodes: tells the nodes that have workers now.
    """

    def __init__(
        self, requests: Sequence[Request], fold: FoldGroup, ahead: int, nodes: Callable[[], Collection[str]]
    ) -> None:
        super().__init__(requests, lambda answer: None, max(ahead, GROUP))
        self._blocks = len(requests)
        self._fold_group = fold
        self._nodes = nodes
        self._members = [range(first, min(first + GROUP, self._blocks)) for first in range(0, self._blocks, GROUP)]
        self._homes: dict[int, str] = {}
        self._answers: dict[int, Answer] = {}
        self._sums: dict[int, Answer] = {}
        self._losses: Counter[int] = Counter()
        self.requests += [{} for _ in self._members]

    @property
    def done(self) -> bool:
        """Every group is folded."""
        return self._next == len(self._members)

    def next(self, forecast: Forecast, node: str) -> int | None:
        """Return the number of the request that a worker of a node does best now."""
        nodes = {*self._nodes(), node}
        end = self._next * GROUP + self._ahead
        ranked = [
            (self._rank(number, node, nodes, forecast), number)
            for number in self._todo
            if number >= self._blocks or number < end
        ]
        if not ranked:
            return None
        (rank, *_), chosen = min(ranked)
        if rank > _HELP:
            return None
        if rank != _HELP:
            self._homes[self._group(chosen)] = node
        self._todo.remove(chosen)
        return chosen

    def take(self, number: int, answer: Answer) -> None:
        """Keep an answer; ask for a group's sum once its blocks are done; fold the sums whose turn it is."""
        group = self._group(number)
        if number < self._blocks:
            self._answers[number] = answer
            self._sum_if_complete(group)
        elif "lost" in answer:
            self._again(group)
        else:
            self._sums[group] = answer
            self.requests[number] = {}
            for member in self._members[group]:
                del self._answers[member]["total"]  # or it would stay on the node
            self._fold_those_due()

    def _group(self, number: int) -> int:
        return number // GROUP if number < self._blocks else number - self._blocks

    def _rank(self, number: int, node: str, nodes: Collection[str], forecast: Forecast) -> tuple[int, float]:
        home = self._homes.get(self._group(number))
        if home not in nodes:
            home = None
        if number >= self._blocks:
            return (_SUM if home in (None, node) else _NOT_HERE), number
        if home is None:
            return _NEW, number
        return (_HOME if home == node else _HELP), -forecast.seconds(self.requests[number])

    def _sum_if_complete(self, group: int) -> None:
        answers = [self._answers.get(member) for member in self._members[group]]
        found = [answer for answer in answers if answer is not None]
        if len(found) < len(answers):
            return
        self.requests[self._blocks + group] = {
            "items": [],
            "parts": [answer["total"] for answer in found],
            "weights": [answer["weight"] for answer in found],
        }
        self._todo.insert(0, self._blocks + group)

    def _fold_those_due(self) -> None:
        while self._next in self._sums:
            total = self._sums.pop(self._next)
            if not self._fold_group([self._answers[member] for member in self._members[self._next]], total):
                self._again(self._next)
                return
            for member in self._members[self._next]:
                del self._answers[member]
            self._next += 1

    def _again(self, group: int) -> None:
        """Have a whole group done again: where one of its sums is lost, others are."""
        self._losses[group] += 1
        if self._losses[group] == MOST_LOSSES:
            raise WorkerError(f"sums of updates were lost {MOST_LOSSES} times: nodes leave, or have no memory for them")
        self._homes.pop(group, None)
        for member in self._members[group]:
            del self._answers[member]
        self._todo[:0] = self._members[group]


_SUM, _HOME, _NEW, _HELP, _NOT_HERE = range(5)
"""What a worker prefers to do: add up, go on with a group, begin one, help elsewhere; sums wait for their home."""
