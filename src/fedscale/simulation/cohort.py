"""The tasks of one attempt, from their start to the line each gets in the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from fedscale.execute.base import Report, Trained
from fedscale.outcomes import Fate, Outcome
from fedscale.report.recorder import TaskFacts
from fedscale.rounds.cost import IntArray
from fedscale.units import Micros, to_seconds


class Cohort:
    """The facts of an attempt's tasks, in task order."""

    def __init__(self, facts: Sequence[TaskFacts] = (), metrics: Mapping[int, dict[str, float]] | None = None) -> None:
        self._facts = {fact.task: fact for fact in facts}
        self._metrics = dict(metrics or {})

    def __getitem__(self, task: int) -> TaskFacts:
        return self._facts[task]

    def __len__(self) -> int:
        return len(self._facts)

    @property
    def facts(self) -> list[TaskFacts]:
        """All tasks, in order."""
        return list(self._facts.values())

    def count(self, fate: Fate) -> int:
        """Return how many tasks met ``fate``."""
        return sum(fact.fate is fate for fact in self._facts.values())

    def arrived(self, task: int, time: Micros) -> None:
        """Note when a task's result arrived."""
        self._facts[task].end = time

    def close(self, task: int, fate: Fate, time: Micros) -> None:
        """Note a task's fate, and that it was under way until ``time`` unless its result had arrived before."""
        fact = self._facts[task]
        fact.fate = fate
        if fact.end is None:
            fact.end = time

    def take(self, trained: Trained) -> dict[int, Fate]:
        """Note what training made of the tasks; return the fates of those that were not admitted."""
        refused: dict[int, Fate] = {}
        for report in trained.reports:
            if report.fate is not None:
                self._facts[report.task].why = report.why
                refused[report.task] = report.fate
            else:
                self._admit(report)
        return refused

    def _admit(self, report: Report) -> None:
        fact = self._facts[report.task]
        if report.weight:  # of a task that trained
            fact.weight, fact.loss = report.weight, report.loss
        self._metrics[report.task] = report.metrics

    def outcomes(self, samples: IntArray) -> list[Outcome]:
        """Return what hooks and selectors learn of every closed task; ``samples`` are those of all clients."""
        return [self._outcome(fact, int(samples[fact.client])) for fact in self._facts.values()]

    def _outcome(self, fact: TaskFacts, samples: int) -> Outcome:
        assert fact.fate is not None
        assert fact.end is not None
        return Outcome(
            task=fact.task,
            client=fact.client,
            version=fact.version,
            fate=fact.fate,
            start=to_seconds(fact.start),
            end=to_seconds(fact.end),
            duration=to_seconds(fact.cost.total),
            samples=samples,
            loss=fact.loss,
            metrics=self._metrics.get(fact.task, {}),
        )


def to_columns(rows: Sequence[Any], kind: type[Any] = Outcome) -> dict[str, list[Any]]:
    """Return one list per attribute of ``rows`` of the dataclass ``kind``, as a checkpoint keeps them."""
    return {field.name: [getattr(row, field.name) for row in rows] for field in fields(kind)}


def from_columns(columns: Mapping[str, list[Any]]) -> list[Outcome]:
    """Return the outcomes that `to_columns` took apart."""
    fates = [Fate(value) for value in columns["fate"]]
    rows = zip(*{**columns, "fate": fates}.values(), strict=True)
    return [Outcome(**dict(zip(columns, row, strict=True))) for row in rows]


def mean_loss(trained: Trained) -> float | None:
    """Return the mean training loss, weighted as the updates; ``None`` if nothing was trained (a dry run)."""
    if not trained.weight:
        return None
    admitted = [report for report in trained.reports if report.fate is None]
    return sum(report.weight * report.loss for report in admitted) / trained.weight


def loss_of(completed: Sequence[TaskFacts]) -> float | None:
    """Return the mean training loss of tasks, by the weights that their updates had; ``None`` in a dry run."""
    pairs = [(facts.weight, facts.loss) for facts in completed if facts.weight is not None and facts.loss is not None]
    weight = sum(weight for weight, _ in pairs)
    return sum(weight * loss for weight, loss in pairs) / weight if weight else None
