"""The runtime's own share: rounds by FedScale against the same steps by a bare loop, in as many processes.

Both take turns in one run, so that a machine that speeds up or slows down does so for both; the processes of one side
sleep while the other works. FedScale's side is a whole simulated job: selection, traces, pricing, events, training,
admission, folding, server step and log.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import bare, stores, team
from fedscale import Job, simulate
from fedscale.simulation.progress import Progress, Silent

OVER_COMMITMENT: Final = 1.3


@dataclass(frozen=True)
class Case:
    """The data that a model is timed on (made in a folder for a number of clients), and the work of a client."""

    data: Callable[[Path, int], Path]
    steps: int = 5
    batch: int = 20


def _images(shape: tuple[int, ...], classes: int, samples: int) -> Callable[[Path, int], Path]:
    return partial(stores.images, samples=samples, shape=shape, classes=classes)


CASES: Final = {
    **dict.fromkeys(("logistic_regression", "mlp", "femnist_cnn"), Case(_images((28, 28), 62, 100))),
    **dict.fromkeys(("char_lstm", "char_gru", "transformer", "context_mlp"), Case(partial(stores.texts, rows=100))),
    **dict.fromkeys(("resnet18", "mobilenet_v2", "shufflenet_v2"), Case(_images((3, 32, 32), 10, 40), steps=2)),
}
"""Models that can be timed, at their default options."""


@dataclass
class Turns(Silent):
    """Runs a bare round after each of FedScale's, if there is a bare side, and times both."""

    other: team.Rounds | None = None
    ours: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    _since: float = field(default_factory=time.perf_counter)

    def attempt(self, progress: Progress) -> None:
        """Stop FedScale's watch, run and time the bare round, start FedScale's watch again."""
        self.ours.append(time.perf_counter() - self._since)
        if self.other is not None:
            begin = time.perf_counter()
            self.other.round()
            self.bare.append(time.perf_counter() - begin)
        self._since = time.perf_counter()


def measure(
    model: str, participants: int, rounds: int, workers: int, folder: Path | None = None, *, stored: bool = False
) -> tuple[float, float, list[float]]:
    """Return median seconds per round of FedScale and of the bare loop, and the ratio of each pair of rounds.

    Args:
        model: one of `CASES`.
        participants: clients in a round.
        rounds: pairs that are timed, after one that warms up.
        workers: processes on either side.
        folder: where the data are kept for further measurements; by default they are thrown away.
        stored: have loops written by hand store their gradients.
    """
    with place(folder) as chosen:
        case = CASES[model]
        store = case.data(chosen, population(participants))
        work = team.Work(store, model, participants, case.steps, case.batch, stored)
        with closing(team.gather(work, workers)) as other:
            watch = _run(model, store, participants, rounds, workers, other)
    ratios = [one / another for one, another in zip(watch.ours[1:], watch.bare[1:], strict=True)]
    return statistics.median(watch.ours[1:]), statistics.median(watch.bare[1:]), ratios


@dataclass
class SpeedUp:
    """Median seconds per round in one and in two processes, of runs that took turns."""

    times: dict[int, list[float]] = field(default_factory=lambda: {1: [], 2: []})

    def median(self, processes: int) -> float:
        """Return the median seconds of a round in so many processes."""
        return statistics.median(self.times[processes])

    @property
    def ratios(self) -> list[float]:
        """One's seconds over two's, for each pair of runs."""
        return [one / two for one, two in zip(self.times[1], self.times[2], strict=True)]


def speedup(
    model: str, participants: int, rounds: int, folder: Path | None = None, repeats: int = 2
) -> tuple[SpeedUp, SpeedUp]:
    """Return what a second process gains FedScale, and what it gains the bare loop in the same minutes.

    The bare loop's gain is as much as the machine had to give: processes that share its memory, or its cores with
    somebody else's, do not reach two.
    """
    ours, others = SpeedUp(), SpeedUp()
    with place(folder) as chosen:
        case = CASES[model]
        store = case.data(chosen, population(participants))
        work = team.Work(store, model, participants, case.steps, case.batch)
        for _ in range(repeats):
            for workers in ours.times:
                with closing(team.gather(work, workers)) as other:
                    watch = _run(model, store, participants, rounds, workers, other)
                for side, seconds in ((ours, watch.ours), (others, watch.bare)):
                    side.times[workers].append(statistics.median(seconds[1:]))
    return ours, others


def population(participants: int) -> int:
    """Return how many clients the data has, so that over-commitment finds enough of them."""
    return math.ceil(OVER_COMMITMENT * participants) + 1


@contextmanager
def place(folder: Path | None) -> Iterator[Path]:
    """Yield the folder, or one that is thrown away afterwards."""
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(temporary)


def _run(model: str, store: Path, participants: int, rounds: int, workers: int, other: team.Rounds) -> Turns:
    job = Job.parse(
        {
            "data": {"name": str(store), "split": {"train": 1.0, "validation": 0.0, "test": 0.0}},
            "model": model,
            "local": {"steps": CASES[model].steps, "batch_size": CASES[model].batch, "lr": bare.LR},
            "rounds": {"participants": participants, "count": rounds + 1, "over_commitment": OVER_COMMITMENT},
            "availability": "off",
            "checkpoint_every": 1000,
        }
    )
    watch = Turns(other)
    with tempfile.TemporaryDirectory() as folder:
        simulate(job, Path(folder) / "run", workers=workers, observer=watch)
    return watch
