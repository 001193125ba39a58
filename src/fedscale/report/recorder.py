"""Writing the facts of a run: from decisions and costs to the lines of the log (``docs/log-format.md``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from fedscale.effort import ORDINARY, Effort
from fedscale.outcomes import Fate
from fedscale.report.log import LogWriter, Record
from fedscale.rounds.cost import Cost
from fedscale.rounds.events import Abandon, Commit, Start, Stop
from fedscale.rounds.ledger import Ledger
from fedscale.rounds.secure import LeggedCost
from fedscale.units import Micros, to_seconds


@dataclass
class TaskFacts:
    """What is known of a task while its attempt is under way.

    Attributes:
        task, client, attempt, version: as in the log.
        start: when it was sent.
        cost: of the whole task.
        samples: that the whole task processes.
        effort: what it asks of its client.
        end: when it was closed.
        fate: how.
        weight, loss: of its update, if it was trained.
        why: it failed or was rejected.
    """

    task: int
    client: int
    attempt: int
    version: int
    start: Micros
    cost: Cost
    samples: int
    effort: Effort = ORDINARY
    end: Micros | None = None
    fate: Fate | None = None
    weight: float | None = None
    loss: float | None = None
    why: str = ""

    @property
    def spent(self) -> Cost:
        """What had been spent when it was closed: all of it if its result arrived, else up to that instant."""
        assert self.end is not None
        return self.cost.until(self.end - self.start)


@dataclass(frozen=True)
class Tested:
    """A test of a version.

    Attributes:
        clients: on whom.
        count: predictions of each client.
        sums: named sums over the predictions of each client.
        metrics: their aggregates over all clients.
        totals: counts of which there is only the sum over all clients; see `fedscale.pooled`.
    """

    clients: list[int]
    count: list[int]
    sums: dict[str, list[float]]
    metrics: dict[str, float]
    totals: dict[str, dict[str, Any]] = field(default_factory=dict)


class Recorder:
    """Writes the log and keeps the ledger. Lines wait until `write` is called, which need not be at once."""

    def __init__(self, log: LogWriter, ledger: Ledger) -> None:
        self.log = log
        self.ledger = ledger
        self._waiting: list[Iterable[Record]] = []
        self._held: list[Iterable[Record]] | None = None

    def write(self) -> None:
        """Write the lines that wait."""
        waiting, self._waiting = self._waiting, []
        self.log.extend(chain.from_iterable(waiting))

    def hold(self) -> None:
        """Keep back the lines that follow, until the evaluation that goes before them is known."""
        self._held = []

    def _append(self, record: Record) -> None:
        (self._waiting if self._held is None else self._held).append([record])

    def jump(self, time: Micros, to: Micros) -> None:
        """Nobody was online."""
        self._append({"kind": "jump", "t": to_seconds(time), "to": to_seconds(to)})

    def select(self, start: Start, online: int) -> None:
        """An attempt starts."""
        self._append(
            {
                "kind": "select",
                "attempt": start.attempt,
                "version": start.version,
                "t": to_seconds(start.time),
                "online": online,
                "wanted": start.wanted,
                "tasks": list(start.tasks),
                "clients": list(start.clients),
            }
        )

    def tasks(self, closed: Sequence[TaskFacts]) -> None:
        """An attempt's tasks are closed: enter them in the ledger and, once they are written, the log."""
        self.write()  # an attempt's lines may wait for the next attempt, but no longer
        for facts in closed:
            assert facts.fate is not None
            self.ledger.charge(facts.fate, facts.spent)
        self._waiting.append(map(_task_line, closed))

    def commit(
        self,
        commit: Commit,
        loss: float | None,
        lr: float,
        params: str,
        facts: Mapping[str, float],
        staleness: float | None = None,
    ) -> None:
        """A version was made.

        A dry run has no ``loss``, synchronous rounds no (mean) ``staleness``; ``facts`` are what the job's stages say.
        """
        self._append(
            {
                "kind": "commit",
                "attempt": commit.attempt,
                "version": commit.version,
                "t": to_seconds(commit.time),
                "completed": len(commit.tasks),
                **({} if staleness is None else {"staleness": staleness}),
                "loss": loss,
                "lr": lr,
                "params": params,
                **({"facts": dict(facts)} if facts else {}),
                "ledger": self.ledger.record(),
            }
        )

    def abandon(self, abandon: Abandon) -> None:
        """An attempt came to nothing."""
        self._append(
            {
                "kind": "abandon",
                "attempt": abandon.attempt,
                "version": abandon.version,
                "t": to_seconds(abandon.time),
                "completed": abandon.completed,
                "needed": abandon.needed,
                "why": abandon.why,
                "ledger": self.ledger.record(),
            }
        )

    def evaluate(self, version: int, time: Micros, split: str, tested: Tested) -> None:
        """A version was tested: write that, and then the lines that were kept back for it."""
        held, self._held = self._held or [], None
        head = {"kind": "evaluate", "version": version, "t": to_seconds(time), "split": split}
        self._append(head | {name: value for name, value in vars(tested).items() if name != "totals" or value})
        self._waiting += held

    def end(self, stop: Stop, version: int, attempts: int, abandoned: int) -> None:
        """The run is over."""
        self._append(
            {
                "kind": "end",
                "t": to_seconds(stop.time),
                "version": version,
                "attempts": attempts,
                "abandoned": abandoned,
                "why": stop.why,
                "ledger": self.ledger.record(),
            }
        )


def _task_line(facts: TaskFacts) -> Record:
    assert facts.fate is not None
    assert facts.end is not None
    spent = facts.spent
    record: dict[str, Any] = {
        "kind": "task",
        "task": facts.task,
        "attempt": facts.attempt,
        "version": facts.version,
        "client": facts.client,
        "fate": facts.fate.value,
        "start": to_seconds(facts.start),
        "end": to_seconds(facts.end),
        "download": to_seconds(spent.download),
        "compute": to_seconds(spent.compute),
        "upload": to_seconds(spent.upload),
        "bytes_down": spent.bytes_down,
        "bytes_up": spent.bytes_up,
        "samples": facts.samples,
    }
    if facts.effort is not ORDINARY:
        record |= facts.effort.facts()
    if isinstance(facts.cost, LeggedCost):
        record["wait"] = to_seconds(spent.wait)
    if facts.loss is not None:
        record |= {"weight": facts.weight, "loss": facts.loss}
    if facts.why:
        record["why"] = facts.why
    return record
