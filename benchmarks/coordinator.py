"""What the coordinator costs at ten thousand participants: per event, and per round in which nobody trains.

In processor time, which other work on the machine changes little.
"""

from __future__ import annotations

import resource
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from fedscale import Job, load_dataset, seeds, simulate
from fedscale.report.recorder import TaskFacts
from fedscale.rounds.cost import Cost
from fedscale.rounds.events import Close, Command, Done, Fold, Folded, Lost, Ready, Start
from fedscale.rounds.queue import EventQueue
from fedscale.rounds.sync import SyncPolicy, SyncRounds
from fedscale.simulation.cohort import Cohort
from fedscale.simulation.garbage import settled
from fedscale.simulation.progress import Progress, Silent
from fedscale.units import MICROS, NEVER

PARTICIPANTS: Final = 10_000
SELECTED: Final = 13_000
DATA: Final = {"samples": 5.0, "shape": (4,)}

LARGE: Final = 1_800_000
CONCURRENCY: Final = 1_000
BUFFER: Final = 100


def measure(clients: int = 1_000_000, rounds: int = 5) -> Iterator[tuple[str, float]]:
    """Yield what was measured and its value: microseconds per event, then seconds of dry rounds by availability."""
    least = min(microseconds_per_event() for _ in range(rounds))
    yield "queue and coordinator, microseconds of processor time per event", least
    for availability in ("builtin", "off"):
        name = f"{PARTICIPANTS:,} of {clients:,} clients, availability {availability}"
        first, later = seconds_per_round(clients, availability, rounds)
        yield f"start of a dry run and its first round of {name}, processor seconds", first
        yield f"dry round of {name}, processor seconds", later
    for availability in ("builtin", "off"):
        name = f"{CONCURRENCY:,} at once of {LARGE:,} clients, availability {availability}"
        seconds, grown = asynchronous(LARGE, availability, 40 * rounds)
        yield f"asynchronous dry run of {name}, microseconds of processor time per event", seconds * 1e6
        yield "the same, memory that it grew by after its first tenth, megabytes", grown


def microseconds_per_event() -> float:
    """Return the time of one event, in a round with drops: queued, fetched, handled, its commands carried out."""
    policy = SyncPolicy(PARTICIPANTS, SELECTED / PARTICIPANTS, None, 0.0, 1, NEVER, 1)
    coordinator = SyncRounds(policy, lambda wanted, now: range(wanted))
    rng = seeds.rng(1, "benchmark")
    ends = rng.integers(1, 3600 * MICROS, SELECTED).tolist()
    lost = (rng.random(SELECTED) < 0.1).tolist()
    (start,) = coordinator.handle(Ready(0))
    assert isinstance(start, Start)
    cost = Cost(0, 0, 0, 0, 0)
    cohort = Cohort([TaskFacts(task, task, 1, 0, 0, cost, 1) for task in start.tasks])
    events = [
        Lost(end, task) if gone else Done(end, task) for task, end, gone in zip(start.tasks, ends, lost, strict=True)
    ]
    with settled():
        begin = time.process_time()
        _play(coordinator, cohort, events)
        return (time.process_time() - begin) / SELECTED * 1e6


def _play(coordinator: SyncRounds, cohort: Cohort, events: Sequence[Done | Lost]) -> None:
    queue = EventQueue()
    for event in events:
        queue.push(event)
    while coordinator.version == 0:
        next_event = queue.pop()
        if isinstance(next_event, Done):
            cohort.arrived(next_event.task, next_event.time)
        _carry_out(coordinator, cohort, coordinator.handle(next_event))


def _carry_out(coordinator: SyncRounds, cohort: Cohort, commands: Sequence[Command]) -> None:
    for command in commands:
        match command:
            case Close(time=when, task=task, fate=fate):
                cohort.close(task, fate, when)
            case Fold():
                _carry_out(coordinator, cohort, coordinator.handle(Folded(command.time, command.attempt, {})))


class _Watch(Silent):
    """Notes the processor time at the end of each attempt."""

    def __init__(self) -> None:
        self.times = [time.process_time()]

    def attempt(self, progress: Progress) -> None:
        """Note the time."""
        self.times.append(time.process_time())

    @property
    def laps(self) -> Sequence[float]:
        """Seconds between the times noted."""
        return [end - begin for begin, end in zip(self.times, self.times[1:], strict=False)]


def seconds_per_round(clients: int, availability: str, rounds: int) -> tuple[float, float]:
    """Return the seconds of starting a dry run up to the end of its first round, and the median of the later rounds."""
    job = Job.parse(
        {
            "data": {"name": "synthetic", "clients": clients, **DATA},
            "rounds": {"participants": PARTICIPANTS, "over_commitment": SELECTED / PARTICIPANTS, "count": rounds + 1},
            "availability": availability,
            "dry_run": True,
        }
    )
    load_dataset("synthetic", clients=clients, **DATA)  # made once, and not part of what is measured
    watch = _Watch()
    with tempfile.TemporaryDirectory() as folder:
        simulate(job, Path(folder) / "run", observer=watch)
    return watch.laps[0], statistics.median(watch.laps[1:])


class _Meter(Silent):
    """Notes processor time and most memory at the end of each attempt."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, int]] = []

    def attempt(self, progress: Progress) -> None:
        """Note both."""
        self.rows.append((time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


def asynchronous(clients: int, availability: str, versions: int) -> tuple[float, float]:
    """Return the processor seconds per event of an asynchronous dry run, and the megabytes that it grew by.

    An event is the start of a task or its end: selection, price, the queue, decisions and the lines of the log are in
    it, and the commits. The first tenth, in which tables are built, and the last version are left out.
    """
    job = Job.parse(
        {
            "data": {"name": "synthetic", "clients": clients, **DATA},
            "rounds": {"participants": BUFFER, "count": versions},
            "asynchronous": {"concurrency": CONCURRENCY},
            "availability": availability,
            "dry_run": True,
        }
    )
    load_dataset("synthetic", clients=clients, **DATA)
    meter = _Meter()
    with tempfile.TemporaryDirectory() as folder:
        run = simulate(job, Path(folder) / "run", observer=meter)
        closed = run.metrics.rounds["selected"].to_numpy()
    first = versions // 10
    (begin, before), (end, after) = meter.rows[first], meter.rows[-2]
    return (end - begin) / (2 * closed[first + 1 : -1].sum()), (after - before) / (1 << 10)
