"""The tasks of an asynchronous run that are not written down yet: under way, in the buffer, or just closed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, Final

from fedscale.effort import Effort
from fedscale.outcomes import Fate
from fedscale.report.recorder import TaskFacts
from fedscale.rounds.cost import Cost
from fedscale.simulation.cohort import Cohort, to_columns
from fedscale.units import Micros

_KEPT: Final = ("task", "client", "attempt", "version", "start", "samples", "end")


class Flights(Cohort):
    """A cohort that tasks join when they start, and leave in parts, when an attempt ends."""

    def __init__(self) -> None:
        super().__init__()
        self._closed: list[int] = []

    def __contains__(self, task: int) -> bool:
        return task in self._facts

    def join(self, facts: Iterable[TaskFacts]) -> None:
        """Add tasks that start."""
        self._facts.update((fact.task, fact) for fact in facts)

    def close(self, task: int, fate: Fate, time: Micros) -> None:
        """Note a task's fate; see `Cohort.close`."""
        super().close(task, fate, time)
        self._closed.append(task)

    def leave(self, attempt: int) -> Cohort:
        """Return the tasks that were closed since the last call, in task order, as those of ``attempt``."""
        closed, self._closed = sorted(self._closed), []
        facts = [self._facts.pop(task) for task in closed]
        for fact in facts:
            fact.attempt = attempt
        return Cohort(facts, {task: self._metrics.pop(task) for task in closed if task in self._metrics})

    def groups(self, tasks: Iterable[int]) -> list[tuple[int, list[TaskFacts]]]:
        """Return what can be trained together: tasks on one version, a client once in each; older versions first.

        A client may have two tasks on one version, one after the other. The second finds the state that the first left.
        """
        turns: dict[tuple[int, int], int] = {}
        keyed = []
        for fact in (self._facts[task] for task in sorted(tasks)):
            turn = turns[fact.version, fact.client] = turns.get((fact.version, fact.client), -1) + 1
            keyed.append(((fact.version, turn), fact))
        keyed.sort(key=lambda pair: (*pair[0], pair[1].task))
        grouped = groupby(keyed, key=lambda pair: pair[0])
        return [(version, [fact for _, fact in pairs]) for (version, _), pairs in grouped]

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: one list per column; nothing is closed or trained then."""
        facts = self._facts.values()
        columns: dict[str, Any] = {name: [getattr(fact, name) for fact in facts] for name in _KEPT}
        effort = to_columns([fact.effort for fact in facts], Effort)
        return columns | {"effort": effort, "cost": to_columns([fact.cost for fact in facts], Cost)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state from a checkpoint."""
        costs, efforts = (zip(*state[name].values(), strict=True) for name in ("cost", "effort"))
        self.join(
            TaskFacts(task, client, attempt, version, start, Cost(*cost), samples, Effort(*effort), end)
            for (task, client, attempt, version, start, samples, end), cost, effort in zip(
                zip(*(state[name] for name in _KEPT), strict=True), costs, efforts, strict=True
            )
        )
