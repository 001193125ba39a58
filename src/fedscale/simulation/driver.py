"""The virtual-time driver: feeds the coordinator events from a queue and carries out its commands.

The clock jumps from event to event; only training and testing take real time. All decisions are the coordinator's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedscale.core.aggregator import Aggregator, Outcomes
from fedscale.core.client_manager import ClientManager, participants
from fedscale.effort import ORDINARY, Effort
from fedscale.errors import RunError, StalledError
from fedscale.execute.base import ClientSums, Executor, Report, Trained
from fedscale.execute.base import Testing as Pending
from fedscale.learn.model import digest
from fedscale.learn.states import States
from fedscale.outcomes import Fate, Outcome
from fedscale.report.checkpoint import save_checkpoint
from fedscale.report.recorder import Recorder, TaskFacts
from fedscale.rounds.buffered import BufferedRounds
from fedscale.rounds.events import (
    Abandon,
    Close,
    Command,
    Commit,
    Done,
    Evaluate,
    Fold,
    Folded,
    Ready,
    Start,
    Stop,
    Tick,
    Wait,
)
from fedscale.rounds.queue import EventQueue
from fedscale.rounds.sync import SyncRounds
from fedscale.simulation.cohort import Cohort, from_columns, mean_loss, to_columns
from fedscale.simulation.efforts import Efforts
from fedscale.simulation.pace import Pace
from fedscale.simulation.pricing import Pricer
from fedscale.simulation.progress import Observer, Progress
from fedscale.simulation.timings import Timings
from fedscale.simulation.work import REMEDY, Testing, Training, of_tasks, summarise
from fedscale.traces.population import Population
from fedscale.units import NEVER, Micros, to_seconds


@dataclass(frozen=True)
class Saving:
    """Where the state is written down, and after how many attempts."""

    directory: Path
    every: int


class Simulation:
    """One run in virtual time. `run` goes on until the coordinator stops, or the observer asks to."""

    def __init__(
        self,
        coordinator: SyncRounds | BufferedRounds,
        manager: ClientManager,
        aggregator: Aggregator,
        population: Population,
        pricer: Pricer,
        executor: Executor,
        recorder: Recorder,
        timings: Timings,
        observer: Observer,
        *,
        training: Training,
        testing: Testing,
        saving: Saving,
        states: States | None,
        pace: Pace | None = None,
    ) -> None:
        self.now = 0
        self.finished = False
        self._coordinator = coordinator
        self._manager = manager
        self._efforts = Efforts(manager, pace)
        self._aggregator = aggregator
        self._population = population
        self._pricer = pricer
        self._executor = executor
        self._recorder = recorder
        self._timings = timings
        self._observer = observer
        self._training = training
        self._testing = testing
        self._saving = saving
        self._states = states
        self._queue = EventQueue()
        self._cohort = Cohort()
        self._ended = Cohort()
        self._trained: Trained | None = None
        self._feedbacks: list[Outcome] = []
        self._shown: set[tuple[str, ...]] = set()
        self._online = 0
        self._loss: float | None = None
        self._evaluation: tuple[Evaluate, Pending] | None = None
        self._metrics: dict[str, float] = {}

    @property
    def vector(self) -> Tensor:
        """The global model as it stands."""
        return self._aggregator.vector

    def select(self, wanted: int, now: int) -> Sequence[int]:
        """Ask the client manager for participants; the coordinator calls this."""
        with self._timings.part("select"):
            feedbacks, self._feedbacks = self._feedbacks, []
            return participants(self._manager, wanted, to_seconds(now), feedbacks)

    def run(self) -> bool:
        """Go on to the end; return whether it was reached (and not interrupted by the observer)."""
        while not self.finished:
            if self._observer.stop_asked():
                self._save()
                return False
            attempt = self._coordinator.attempt
            self._carry_out(self._coordinator.handle(Ready(self.now)))
            while self._queue:
                event = self._queue.pop()
                self.now = event.time
                if isinstance(event, Done):
                    self._cohort.arrived(event.task, event.time)
                self._carry_out(self._coordinator.handle(event))
            if self._coordinator.attempt > attempt:
                self._after_attempt()
        return True

    def _carry_out(self, commands: Sequence[Command]) -> None:
        for command in commands:
            match command:
                case Start():
                    self._start(command)
                case Close(time, task, fate):
                    self._cohort.close(task, fate, time)
                case Fold():
                    self._fold(command)
                case Commit():
                    self._commit(command)
                case Abandon():
                    self._end_attempt()
                    self._recorder.abandon(command)
                case Evaluate():
                    self._evaluate(command)
                case Wait():
                    self._wait()
                case Stop():
                    self._stop(command)

    def _start(self, start: Start) -> None:
        self._online = len(self._manager.online(to_seconds(start.time)))
        self._recorder.select(start, self._online)
        self._cohort = Cohort(self._priced(start))
        if start.deadline is not None:
            self._queue.push(Tick(start.deadline, start.attempt))

    def _priced(self, start: Start) -> list[TaskFacts]:
        """Price the tasks that start, and enqueue how each ends."""
        efforts = self._efforts.of(start.clients)
        sizes = self._upload_sizes(start, efforts) if self._training.train_to_price else None
        cohort = self._pricer.cohort(start, sizes, efforts)
        self._prepare(start, cohort)
        for event in self._pricer.endings(start, cohort):
            self._queue.push(event)
        return cohort

    def _prepare(self, start: Start, cohort: Sequence[TaskFacts]) -> None:
        """Do what there is to be done before tasks that were priced start; nothing here."""

    def _upload_sizes(self, start: Start, efforts: Sequence[Effort] | None) -> list[int]:
        rows = zip(start.tasks, start.clients, efforts or repeat(ORDINARY, len(start.tasks)), strict=True)
        confs = [self._training.conf(task, client, start.version, effort) for task, client, effort in rows]
        with self._timings.part("train"):
            return self._executor.upload_sizes(self._aggregator.sent, confs)

    def _fold(self, fold: Fold) -> None:
        self._queue.clear()
        self._trained = self._trained_on(self._aggregator.sent, [self._cohort[task] for task in fold.tasks])
        refused = self._cohort.take(self._trained)
        self._carry_out(self._coordinator.handle(Folded(fold.time, fold.attempt, refused)))

    def _trained_on(self, vector: Tensor, tasks: Sequence[TaskFacts]) -> Trained:
        """Train tasks on a model, and finish the evaluation that went on meanwhile."""
        confs = [self._training.conf(facts.task, facts.client, facts.version, facts.effort) for facts in tasks]
        with self._timings.part("train"):
            trained = self._executor.train(vector, confs, self._recorder.write)
        self._timings.worked(trained.seconds)
        self._settle()
        self._show_errors(trained.reports)
        return trained

    def _show_errors(self, reports: Sequence[Report]) -> None:
        """Show the traceback of the first error of each kind; the others are in the log, without theirs."""
        for report in reports:
            if report.trace and report.origin not in self._shown:
                self._shown.add(report.origin)
                self._observer.notice(f"task {report.task} failed (others like it are only counted):\n{report.trace}")

    def _end_attempt(self) -> list[Outcome]:
        """Forget what is still to come of an attempt, write down every task of it and tell the hooks."""
        self._queue.clear()
        return self._write_down(self._cohort)

    def _write_down(self, ended: Cohort) -> list[Outcome]:
        self._settle()
        self._ended = ended
        outcomes = ended.outcomes(self._pricer.samples)
        self._recorder.tasks(ended.facts)
        self._aggregator.tasks_ended(outcomes, [fact.effort for fact in ended.facts])
        for outcome in outcomes:
            self._aggregator.client_completion_handler(outcome)
        self._feedbacks += outcomes
        return outcomes

    def _commit(self, commit: Commit) -> None:
        trained, self._trained = self._trained, None
        assert trained is not None
        outcomes = self._end_attempt()
        if self._states is not None and trained.states is not None:
            self._states.put(trained.stateful, trained.states)
        self._make_version(commit, outcomes, trained, mean_loss(trained))
        if self._testing.in_tasks and trained.reports:
            self._write_test(commit.version, commit.time, of_tasks(outcomes, trained.reports))

    def _make_version(
        self,
        commit: Commit,
        outcomes: Sequence[Outcome],
        trained: Trained,
        loss: float | None,
        staleness: float | None = None,
    ) -> None:
        if trained.weight:  # a dry run has nothing to aggregate
            completed = [outcome for outcome in outcomes if outcome.fate is Fate.COMPLETED]
            self._aggregate(completed, trained, commit.version)
        self._loss = loss
        lr = self._training.local.lr_at(commit.version - 1)
        self._recorder.commit(commit, loss, lr, digest(self._aggregator.vector), self._facts(), staleness)

    def _facts(self) -> dict[str, float]:
        """Return what there is to be said of the version just made."""
        return self._aggregator.facts()

    def _aggregate(self, outcomes: Sequence[Outcome], trained: Trained, version: int) -> None:
        with self._timings.part("aggregate"):
            mean, length = trained.total / trained.weight, len(self._aggregator.vector)
            weights = trained.weights
            if weights is None:
                weights = tuple(fact.weight or 0.0 for fact in self._ended.facts if fact.fate is Fate.COMPLETED)
            self._aggregator.round_completion_handler(
                Outcomes(
                    tuple(outcomes), mean[:length], trained.weight, trained.updates, weights, version, mean[length:]
                )
            )
        if not all(map(torch.isfinite, torch.aminmax(self._aggregator.vector))):  # NaN is both least and most
            raise RunError(f"version {version}: the global model is no longer finite; {REMEDY}")

    def _evaluate(self, evaluate: Evaluate) -> None:
        """Begin to test; workers go on with it while the next attempt is begun and trained."""
        if len(self._testing.clients):
            test = self._executor.test(self._aggregator.sent, self._testing.clients, evaluate.version)
            self._evaluation = evaluate, test
            self._recorder.hold()

    def _settle(self) -> None:
        """Wait for the evaluation that is under way, if there is one, and write it down."""
        if self._evaluation is None:
            return
        (evaluate, test), self._evaluation = self._evaluation, None
        with self._timings.part("evaluate"):
            results = test()
        self._write_test(evaluate.version, evaluate.time, results)

    def _write_test(self, version: int, time: Micros, results: Sequence[ClientSums]) -> None:
        tested = summarise(results, version, self._testing.task)
        self._metrics = tested.metrics
        self._recorder.evaluate(version, time, self._testing.split, tested)

    def _wait(self) -> None:
        self._settle()
        arrival = self._population.next_arrival(self.now, self._manager.clients)
        if arrival == self.now:
            raise RunError("the selector chose nobody although clients are online")
        if arrival == NEVER:
            self._stop(Stop(self.now, "no client will ever be online", stalled=True))
            return
        self._recorder.jump(self.now, arrival)
        self.now = arrival

    def _stop(self, stop: Stop) -> None:
        self._settle()
        self._recorder.end(stop, self._coordinator.version, self._coordinator.attempt, self._coordinator.abandoned)
        if stop.stalled:  # nothing is saved, so that whoever resumes the run is told the same
            raise StalledError(f"after {to_seconds(stop.time):g} virtual seconds: {stop.why}")
        self.finished = True
        self._save()

    def _after_attempt(self) -> None:
        version = self._coordinator.version
        if self._coordinator.attempt % self._saving.every == 0 and not self.finished:
            self._save()
        self._timings.write(self._coordinator.attempt, version)
        rounds = self._coordinator.policy.rounds
        ledger = self._recorder.ledger
        self._observer.attempt(
            Progress(
                version=version,
                rounds=rounds,
                attempt=self._coordinator.attempt,
                virtual_seconds=to_seconds(self.now),
                online=self._online,
                selected=len(self._ended),
                completed=self._ended.count(Fate.COMPLETED),
                dropped=self._ended.count(Fate.DROPPED),
                loss=self._loss,
                metrics=self._metrics,
                bytes_down=ledger.bytes_down,
                bytes_up=ledger.bytes_up,
                seconds_left=self._timings.left(version, rounds),
            )
        )

    def _save(self) -> None:
        with self._timings.part("checkpoint"):
            self._recorder.write()
            self._recorder.log.sync()
            save_checkpoint(self._saving.directory, self._coordinator.attempt, self.state())
            if self._states is not None:
                self._states.forget()

    def state(self) -> dict[str, Any]:
        """Return everything that a checkpoint keeps."""
        return {
            "time": self.now,
            "finished": self.finished,
            "log": {"offset": self._recorder.log.offset, "chain": self._recorder.log.chain},
            "ledger": self._recorder.ledger.state(),
            "coordinator": self._coordinator.state(),
            "manager": self._manager.state(),
            "aggregator": self._aggregator.state(),
            "states": None if self._states is None else self._states.saved(),
            "feedbacks": to_columns(self._feedbacks),
            "loss": self._loss,
            "evaluation": None if self._evaluation is None else _values(self._evaluation[0]),
            "metrics": self._metrics,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state from a checkpoint (the caller opens the log and the clients' states at it)."""
        self.now = state["time"]
        self.finished = state["finished"]
        self._recorder.ledger.restore(state["ledger"])
        self._coordinator.restore(state["coordinator"])
        self._manager.restore(state["manager"])
        self._aggregator.restore(state["aggregator"])
        self._feedbacks = from_columns(state["feedbacks"])
        self._loss = state["loss"]
        self._metrics = state["metrics"]
        if state["evaluation"] is not None:
            self._evaluate(Evaluate(**state["evaluation"]))


def _values(evaluate: Evaluate) -> dict[str, int]:
    return {"time": evaluate.time, "version": evaluate.version}
