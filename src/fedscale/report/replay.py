"""The replay behind ``fedscale check``: a state machine that accepts only what the lines before allow.

It keeps the clock, the version, the ledger and the tasks of the one attempt that is open; nothing else grows. Where a
line is wrong it is named, and the replay goes on from what the line says, so that one mistake does not hide the next.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from fedscale import limits
from fedscale.errors import LogError
from fedscale.report.facts import FATES
from fedscale.report.log import FORMAT, Record
from fedscale.report.scores import totals_of, value_of
from fedscale.units import Micros, to_micros, to_seconds

BETWEEN_ATTEMPTS: Final = frozenset({"jump", "select", "evaluate", "end"})
FOLLOWERS: Final = {
    "": frozenset({"job"}),
    "job": frozenset({"population"}),
    "population": BETWEEN_ATTEMPTS,
    "jump": BETWEEN_ATTEMPTS,
    "select": frozenset({"task"}),
    "task": frozenset({"task", "commit", "abandon"}),
    "commit": BETWEEN_ATTEMPTS,
    "abandon": BETWEEN_ATTEMPTS,
    "evaluate": BETWEEN_ATTEMPTS,
    "end": frozenset[str](),
}
"""Which kinds of line may follow which."""

_SECONDS: Final = frozenset({"useful_seconds", "wasted_seconds"})
_MOVED: Final = ("bytes_down", "bytes_up")


@dataclass
class _Attempt:
    """The attempt that is open: what its ``select`` promised and what its ``task`` lines added up to so far."""

    number: int
    version: int
    start: Micros
    remaining: OrderedDict[int, int]
    """Task to client, in task order, of the tasks that have no line yet. (To find the first of a plain dictionary from
    which the first ones were removed takes as long as there were many of them.)"""
    fates: Counter[str] = field(default_factory=Counter)
    completed: list[int] = field(default_factory=list)
    last_end: Micros = 0
    weight: float = 0.0
    weighted_loss: float = 0.0


class Replay:
    """The state between two lines; ``take`` moves it on by one."""

    followers: ClassVar[Mapping[str, frozenset[str]]] = FOLLOWERS

    def __init__(self) -> None:
        self.tasks = 0
        self.last = ""
        self._findings: list[str] = []
        self._more = 0
        self._line = 0
        self._clock: Micros = 0
        self._version = 0
        self._attempts = 0
        self._abandoned = 0
        self._next_task = 0
        self._secure = False
        self._dry = self._tests = False
        self._untrained = ""
        """Why nothing is trained, if it is not."""
        self._untold: int | None = None
        """The version whose test by its tasks has no line yet."""
        self._params: object = None
        self._payloads: dict[tuple[float, int], dict[str, int | None]] = {}
        self._evaluated: dict[str, int] = {}
        self._ledger = _empty_ledger()
        self._open = _Attempt(0, 0, 0, OrderedDict())
        self._steps: dict[str, Callable[[Record], None]] = {
            "job": self._job,
            "population": self._population,
            "jump": self._jump,
            "select": self._select,
            "task": self._task,
            "commit": self._commit,
            "abandon": self._abandon,
            "evaluate": self._evaluate,
            "end": self._end,
        }

    def take(self, number: int, record: Record | None, problem: str) -> None:
        """Go on by one line."""
        self._line = number
        if problem:
            self._find(problem)
        if record is None:
            return
        kind = record["kind"]
        if kind not in self._steps:
            self._find(f"unknown kind {kind!r}")
            return
        if kind not in self.followers[self.last]:
            self._find(f"{kind!r} cannot follow {self.last or 'the beginning'!r}")
        if self._untold is not None and kind != "evaluate":
            self._find(f"what the tasks of version {self._untold} found has no line")
            self._untold = None
        self.last = kind
        try:
            self._steps[kind](record)
        except LogError as error:
            self._find(f"{kind}: {error}")
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            self._find(f"{kind}: a field is missing or is of the wrong type ({type(error).__name__}: {error})")

    def report(self) -> list[str]:
        """Return the findings."""
        more = [f"and {self._more} more findings"] if self._more else []
        return self._findings + more

    def _find(self, what: str) -> None:
        if len(self._findings) < limits.CHECK_FINDINGS:
            self._findings.append(f"line {self._line}: {what}")
        else:
            self._more += 1

    def _expect(self, name: str, found: object, expected: object) -> None:
        if found != expected or isinstance(found, bool):
            self._find(f"{name} is {found!r}, expected {expected!r}")

    def _expect_time(self, record: Record, name: str, expected: Micros) -> Micros:
        found = micros(record, name)
        if found != expected:
            self._find(f"{name} is {record[name]!r} s, expected {to_seconds(expected)!r} s")
        return found

    def _job(self, record: Record) -> None:
        self._expect("format", record["format"], FORMAT)
        text = json.dumps(record["job"], sort_keys=True, separators=(",", ":"))
        self._expect("digest", record["digest"], hashlib.blake2b(text.encode(), digest_size=16).hexdigest())
        self._dry = record["job"].get("dry_run") is True
        self._secure = "secure_aggregation" in record["job"]
        only_tests = record["job"].get("testing") is not None
        self._tests = only_tests and not self._dry
        self._untrained = "the run is dry" if self._dry else "the job only tests" if only_tests else ""

    def _population(self, record: Record) -> None:
        self._payloads = {(load.get("width", 1.0), load.get("level", 0)): _payload(load) for load in _loads(record)}
        for name in _MOVED:
            sizes = {payload[name] for payload in self._payloads.values()}
            self._expect(name, record[name], sizes.pop() if len(sizes) == 1 else None)
        count(record, "parameters")
        clients, samples = record["clients"], record["samples"]
        for split in clients:
            if count(samples, split) < count(clients, split):
                self._find(f"{clients[split]} {split} clients have only {samples[split]} samples")
        self._evaluated = dict(clients)

    def _jump(self, record: Record) -> None:
        self._expect_time(record, "t", self._clock)
        to = micros(record, "to")
        if to <= self._clock:
            self._find(f"to is {record['to']!r}, not after t")
        self._clock = max(self._clock, to)

    def _select(self, record: Record) -> None:
        start, tasks, clients = self._expect_time(record, "t", self._clock), record["tasks"], record["clients"]
        self._attempts += 1
        self._expect("attempt", record["attempt"], self._attempts)
        self._check_selection(record)
        self._clock = max(self._clock, start)
        remaining = OrderedDict(zip(tasks, clients, strict=False))
        self._open = _Attempt(self._attempts, self._version, start, remaining)

    def _check_selection(self, record: Record) -> None:
        tasks, clients = record["tasks"], record["clients"]
        self._expect("version", record["version"], self._version)
        self._expect("tasks", tasks, list(range(self._next_task, self._next_task + len(tasks))))
        self._expect("number of clients", len(clients), len(tasks))
        most = min(count(record, "online"), count(record, "wanted"))
        if not 1 <= len(tasks) <= most:
            self._find(f"{len(tasks)} tasks of {record['wanted']} wanted with {record['online']} clients online")
        if len(set(clients)) < len(clients):
            self._find("a client was selected twice in one attempt")
        for client in clients:
            count({"client": client}, "client")
        self._next_task += len(tasks)

    def _task(self, record: Record) -> None:
        attempt, task = self._open, record["task"]
        self.tasks += 1
        if task not in attempt.remaining:
            self._find(f"task {task!r} was not selected in attempt {attempt.number}, or has a line already")
        elif task != next(iter(attempt.remaining)):
            self._find(f"task {task} is out of order")
        self._expect("client", record["client"], attempt.remaining.pop(task, record["client"]))
        self._expect("attempt", record["attempt"], attempt.number)
        self._expect("version", record["version"], attempt.version)
        count(record, "samples")
        seconds = self._task_time(record, attempt.start)
        attempt.last_end = max(attempt.last_end, micros(record, "end"))
        fate = self._task_fate(record, seconds)
        attempt.fates[fate] += 1
        if fate == "completed":
            attempt.completed.append(record["client"])
        if not self._untrained and fate == "completed":
            weight, loss = real(record, "weight"), real(record, "loss")
            attempt.weight += weight
            attempt.weighted_loss += weight * loss

    def _task_fate(self, record: Record, seconds: Micros) -> str:
        """Check and charge what a task moved, and return its fate."""
        fate: str = record["fate"]
        if fate not in FATES:
            raise LogError(f"fate is {fate!r}, not one of {', '.join(FATES)}")
        self._task_bytes(record, fate)
        self._charge(record, fate, seconds)
        if self._untrained:
            self._expect_nothing_trained(record, "weight", "loss")
        return fate

    def _task_time(self, record: Record, started: Micros) -> Micros:
        start, end = self._expect_time(record, "start", started), micros(record, "end")
        names = ("download", "compute", "upload", *["wait"] * self._secure)
        phases = sum(micros(record, name) for name in names)
        if phases != end - start:
            spent = f"{' + '.join(names)} is {to_seconds(phases)!r}"
            self._find(f"{spent}, but end − start is {to_seconds(end - start)!r}")
        return phases

    def _task_bytes(self, record: Record, fate: str) -> None:
        kind = record.get("width", 1.0), record.get("level", 0)
        known = self._payloads.get(kind)
        if known is None:
            self._find(f"no task has width {kind[0]!r} at level {kind[1]!r}")
            known = dict.fromkeys(_MOVED)
        for name, payload in known.items():
            size = count(record, name)
            if payload is None:
                continue
            if size > payload:
                self._find(f"{name} is {size}, more than the payload of {payload}")
            elif size < payload and fate == "completed":
                self._find(f"{name} is {size}, but a completed task moved the whole payload of {payload}")
        if record["bytes_down"] < (known["bytes_down"] or 0) and (record["compute"] or record["upload"]):
            self._find(f"bytes_down is {record['bytes_down']}, but the download had ended")

    def _charge(self, record: Record, fate: str, seconds: Micros) -> None:
        ledger, done = self._ledger, fate == "completed"
        ledger["selected"] += 1
        ledger[fate] += 1
        ledger["useful_seconds" if done else "wasted_seconds"] += seconds
        for name in _MOVED:
            ledger[name] += record[name]
            ledger[f"wasted_{name}"] += 0 if done else record[name]

    def _commit(self, record: Record) -> None:
        attempt = self._open
        self._close(record, attempt.fates["completed"])
        self._version += 1
        self._expect("version", record["version"], self._version)
        if not attempt.fates["completed"]:
            self._find("a version was committed without any completed task")
        self._check_loss(record, attempt.weight, attempt.weighted_loss)
        self._untold = self._version if self._tests else None

    def _check_loss(self, record: Record, weight: float, weighted_loss: float) -> None:
        if self._untrained:
            self._expect_nothing_trained(record, "loss")
            self._params = self._params or record["params"]
            self._expect("params", record["params"], self._params)
            return
        mean = weighted_loss / weight if weight else real(record, "loss")
        self._close_to("loss", real(record, "loss"), mean, "the weighted mean of its tasks")

    def _expect_nothing_trained(self, record: Record, *names: str) -> None:
        for name in names:
            if record.get(name) is not None:
                self._find(f"{name} is {record[name]!r}, but {self._untrained}: nothing was trained")

    def _abandon(self, record: Record) -> None:
        finished = self._open.fates["cancelled"]  # what a round that fails had, it gives up
        self._close(record, finished)
        self._abandoned += 1
        self._expect("version", record["version"], self._version)
        if finished >= count(record, "needed") and not self._secure:  # whose masks may stay, whoever finished
            self._find(f"abandoned with {finished} of {record['needed']} needed")
        if self._open.fates["completed"]:
            self._find("a task is completed, but its attempt was abandoned")

    def _close(self, record: Record, completed: int) -> None:
        attempt = self._open
        if attempt.remaining:
            self._find(f"tasks without a line: {', '.join(map(str, list(attempt.remaining)[:10]))}")
        self._expect("attempt", record["attempt"], attempt.number)
        self._expect("completed", record["completed"], completed)
        self._clock = max(self._clock, self._expect_time(record, "t", attempt.last_end))
        self._compare_ledger(record["ledger"])

    def _evaluate(self, record: Record) -> None:
        if self._dry:
            self._find("the run is dry, but a version was tested")
        self._expect_time(record, "t", self._clock)
        self._expect("version", record["version"], self._version)
        if self._tests:
            self._expect("clients", record["clients"], self._open.completed)
            self._untold = None
        clients, counts, sums = record["clients"], record["count"], record["sums"]
        if len(set(clients)) != len(clients):
            self._find("a client was evaluated twice")
        if len(clients) > self._evaluated.get(record["split"], 0):
            self._find(f"{len(clients)} clients evaluated, but {record['split']!r} has fewer")
        for name, values in {"count": counts, **sums}.items():
            self._expect(f"number of values of {name}", len(values), len(clients))
        totals = totals_of(record)
        for metric, value in record["metrics"].items():
            if (expected := value_of(metric, totals)) is not None:  # a plug-in's metric may be worked out from others
                self._close_to(metric, float(value), float(expected), "what the sums give")

    def _end(self, record: Record) -> None:
        self._expect_time(record, "t", self._clock)
        self._expect("version", record["version"], self._version)
        self._expect("attempts", record["attempts"], self._attempts)
        self._expect("abandoned", record["abandoned"], self._abandoned)
        self._compare_ledger(record["ledger"])

    def _close_to(self, name: str, found: float, expected: float, what: str) -> None:
        if not math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-12):
            self._find(f"{name} is {found!r}, but {what} is {expected!r}")

    def _compare_ledger(self, ledger: dict[str, Any]) -> None:
        """Compare, then go on from what the line says, so that later lines are judged by themselves."""
        for name, total in self._ledger.items():
            stated = micros(ledger, name) if name in _SECONDS else count(ledger, name)
            if stated != total:
                shown = to_seconds(total) if name in _SECONDS else total
                self._find(f"ledger.{name} is {ledger[name]!r}, but the tasks so far add up to {shown!r}")
            self._ledger[name] = stated
        for name in ledger.keys() - self._ledger.keys():
            self._find(f"ledger.{name} is not a counter of the ledger")


def _loads(record: Record) -> list[Record]:
    """Return what the tasks of each kind move, from the line about the population."""
    kinds: list[Record] = record.get("loads") or [record]
    return kinds


def _payload(load: Record) -> dict[str, int | None]:
    """Return the bytes that a task moves each way; what depends on its result has no single size: null."""
    return {name: None if load[name] is None else count(load, name) for name in _MOVED}


def _empty_ledger() -> dict[str, int]:
    """Return zero for every counter; seconds are counted in microseconds."""
    moved = ("bytes_down", "bytes_up", "wasted_bytes_down", "wasted_bytes_up")
    return dict.fromkeys(("selected", *FATES, "useful_seconds", "wasted_seconds", *moved), 0)


def count(record: Record, name: str) -> int:
    """Return a field that counts something; a `LogError` if it is no whole number from 0."""
    value = record[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise LogError(f"{name} is {value!r}, not a whole number from 0")
    return value


def real(record: Record, name: str) -> float:
    """Return a field that is measured; a `LogError` if it is no finite number."""
    value = record[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise LogError(f"{name} is {value!r}, not a finite number")
    return float(value)


def micros(record: Record, name: str) -> Micros:
    """Return a field in seconds as microseconds; a `LogError` if it is no time of whole ones from 0."""
    seconds = real(record, name)
    whole = to_micros(seconds)
    if whole < 0 or to_seconds(whole) != seconds:
        raise LogError(f"{name} is {record[name]!r}, not a time of whole microseconds from 0")
    return whole
