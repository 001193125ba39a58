"""Asynchronous rounds: the next K usable results make a version, whatever version they started from.

J. Nguyen et al., "Federated Learning with Buffered Asynchronous Aggregation" (FedBuff), AISTATS 2022, Algorithm 1;
with K = 1 the server of C. Xie, S. Koyejo, I. Gupta, "Asynchronous Federated Optimization" (FedAsync), 2019.

Theory of operation. Up to ``concurrency`` clients train at once. Each started from the version of its own time. Tasks
are *open*, then *waiting* in the buffer, then *admitted*, then closed::

    Ready    the events of an instant are all taken: fill the free places, if there are ``refill`` of them: Start; if
             places stay free for want of clients: Wait. Enough versions, or time is up: Stop
    Done     its version is more than ``max_staleness`` behind: Close as late. Else it waits; the K-th result: Fold
    Lost     Close
    Folded   those refused are closed, and the buffer goes on filling; with K admitted: Commit (and Evaluate)
    Deserted no task is open and nobody will ever be online: Stop, as stalled

Rules:
    1. A task is closed exactly once; a result for a task that is not open changes nothing.
    2. No client has two open tasks.
    3. An attempt at a version reaches from one commit to the next. The attempt in which a task is closed counts.
    4. At the end of the run, whatever is open or in the buffer is cancelled: in the attempt of the last version, or, if
       the run ends between two versions, in one more that is abandoned.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fedscale import limits
from fedscale.errors import RunError
from fedscale.outcomes import Fate
from fedscale.rounds.events import (
    Abandon,
    Close,
    Command,
    Commit,
    Deserted,
    Done,
    Evaluate,
    Event,
    Fold,
    Folded,
    Lost,
    Ready,
    Start,
    Stop,
    Tick,
    Wait,
)
from fedscale.rounds.sync import Select
from fedscale.units import Micros


@dataclass(frozen=True)
class BufferPolicy:
    """The numbers that govern asynchronous rounds; see `fedscale.job.AsyncConf`."""

    buffer: int
    concurrency: int
    refill: int
    max_staleness: int
    rounds: int
    max_time: Micros
    evaluate_every: int

    @property
    def patience(self) -> int:
        """Tasks that may come to nothing one after another before the run stops as stalled."""
        return limits.ABANDONED_IN_A_ROW * max(self.buffer, self.concurrency)


class BufferedRounds:
    """The coordinator of asynchronous rounds: `handle` events, carry out the commands it returns."""

    def __init__(self, policy: BufferPolicy, select: Select) -> None:
        self.policy = policy
        self.version = 0
        self.abandoned = 0
        self._select = select
        self._next_task = 0
        self._evaluated: int | None = None
        self._open: dict[int, tuple[int, int]] = {}  # task -> client and version
        self._busy: set[int] = set()
        self._waiting: list[int] = []
        self._admitted: list[int] = []
        self._folding = False
        self._fruitless = 0

    @property
    def max_staleness(self) -> int:
        """Versions that a result may be behind when it arrives."""
        return self.policy.max_staleness

    @property
    def attempt(self) -> int:
        """Attempts that ended; the one under way has the next number."""
        return self.version + self.abandoned

    def handle(self, event: Event | Deserted) -> list[Command]:
        """Take one event and return the commands that follow from it, in order."""
        match event:
            case Ready(time):
                return self._refill(time)
            case Done(time, task):
                return self._done(time, task)
            case Lost(time, task, fate):
                return self._lost(time, task, fate)
            case Folded(time, attempt, refused):
                return self._folded(time, attempt, refused)
            case Deserted(time):
                return self._end(Stop(time, "no client will ever be online", stalled=True))
            case Tick():
                return []

    def _refill(self, time: Micros) -> list[Command]:
        if self._folding:
            raise RunError("coordinator: Ready while results are folded")
        if stop := self._over(time):
            return self._end(stop)
        free = self.policy.concurrency - len(self._open)
        if free < self.policy.refill:
            return []
        clients = tuple(int(client) for client in self._select(free, time))
        self._check_selection(clients, free)
        commands: list[Command] = [self._start(time, free, clients)] if clients else []
        return [*commands, Wait(time)] if free - len(clients) >= self.policy.refill else commands

    def _over(self, time: Micros) -> Stop | None:
        if self.version >= self.policy.rounds:
            return Stop(time, f"{self.version} rounds are done")
        if time >= self.policy.max_time:
            return Stop(time, "the virtual time is up")
        if self._fruitless >= self.policy.patience:
            return Stop(time, f"{self._fruitless} tasks in a row came to nothing", stalled=True)
        return None

    def _check_selection(self, clients: tuple[int, ...], free: int) -> None:
        if len(set(clients)) != len(clients):
            raise RunError("the selector returned a client twice: selections must be distinct")
        if len(clients) > free:
            raise RunError(f"the selector returned {len(clients)} clients, but {free} were wanted")
        if busy := sorted(self._busy.intersection(clients)):
            raise RunError(f"the selector returned clients that are still training: {busy[:5]}")

    def _start(self, time: Micros, free: int, clients: tuple[int, ...]) -> Start:
        tasks = tuple(range(self._next_task, self._next_task + len(clients)))
        self._next_task += len(clients)
        self._open.update((task, (client, self.version)) for task, client in zip(tasks, clients, strict=True))
        self._busy.update(clients)
        return Start(time, self.attempt + 1, self.version, free, tasks, clients, None)

    def _done(self, time: Micros, task: int) -> list[Command]:
        if task not in self._open:
            return []
        if self.version - self._ended(task) > self.policy.max_staleness:
            return self._in_vain(time, {task: Fate.LATE})
        self._waiting.append(task)
        if len(self._waiting) + len(self._admitted) < self.policy.buffer:
            return []
        self._folding = True
        return [Fold(time, self.attempt + 1, tuple(sorted(self._waiting)))]

    def _lost(self, time: Micros, task: int, fate: Fate) -> list[Command]:
        if task not in self._open:
            return []
        self._ended(task)
        return self._in_vain(time, {task: fate})

    def _ended(self, task: int) -> int:
        """Note that a task's device is done with it; return the task's version."""
        client, version = self._open.pop(task)
        self._busy.remove(client)
        return version

    def _in_vain(self, time: Micros, fates: dict[int, Fate]) -> list[Command]:
        self._fruitless += len(fates)
        return [Close(time, task, fate) for task, fate in sorted(fates.items())]

    def _folded(self, time: Micros, attempt: int, refused: dict[int, Fate]) -> list[Command]:
        if attempt != self.attempt + 1 or not self._folding:
            return []
        self._folding = False
        commands = self._in_vain(time, refused)
        self._admitted += [task for task in self._waiting if task not in refused]
        self._waiting = []
        return commands if len(self._admitted) < self.policy.buffer else commands + self._commit(time)

    def _commit(self, time: Micros) -> list[Command]:
        tasks = tuple(sorted(self._admitted))
        attempt = self.attempt + 1
        self._admitted = []
        self._fruitless = 0
        self.version += 1
        commands: list[Command] = [Close(time, task, Fate.COMPLETED) for task in tasks]
        if self.version >= self.policy.rounds:
            commands += self._cancel(time)
        commands.append(Commit(time, attempt, self.version, tasks))
        return [*commands, *self._evaluation(time, due=self.version % self.policy.evaluate_every == 0)]

    def _cancel(self, time: Micros) -> list[Command]:
        """Close whatever is open or in the buffer."""
        tasks: Iterable[int] = sorted([*self._open, *self._waiting, *self._admitted])
        self._open, self._busy, self._waiting, self._admitted = {}, set(), [], []
        return [Close(time, task, Fate.CANCELLED) for task in tasks]

    def _end(self, stop: Stop) -> list[Command]:
        arrived = len(self._waiting) + len(self._admitted)
        commands = self._cancel(stop.time)
        if commands or self._fruitless:
            number = self.attempt + 1
            self.abandoned += 1
            self._fruitless = 0
            commands.append(Abandon(stop.time, number, self.version, arrived, self.policy.buffer, stop.why))
        return [*commands, *self._evaluation(stop.time, due=True), stop]

    def _evaluation(self, time: Micros, *, due: bool) -> list[Command]:
        if not due or self._evaluated == self.version:
            return []
        self._evaluated = self.version
        return [Evaluate(time, self.version)]

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps; only while no result is in the buffer, as right after a commit."""
        if self._folding or self._waiting or self._admitted:
            raise RunError("coordinator: no checkpoint while results are in the buffer")
        return {
            "version": self.version,
            "attempt": self.attempt,
            "abandoned": self.abandoned,
            "next_task": self._next_task,
            "evaluated": self._evaluated,
            "fruitless": self._fruitless,
            "open": list(self._open),
            "clients": [client for client, _ in self._open.values()],
            "versions": [version for _, version in self._open.values()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state from a checkpoint."""
        self.version = state["version"]
        self.abandoned = state["abandoned"]
        self._next_task = state["next_task"]
        self._evaluated = state["evaluated"]
        self._fruitless = state["fruitless"]
        self._open = dict(zip(state["open"], zip(state["clients"], state["versions"], strict=True), strict=True))
        self._busy = {client for client, _ in self._open.values()}
