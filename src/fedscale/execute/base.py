"""What an executor does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from fedscale.learn.conf import TrainConf
from fedscale.learn.spool import Updates
from fedscale.outcomes import Fate

IntArray = npt.NDArray[np.int64]
Item = TypeVar("Item")

TEST_BLOCK: Final = 16
"""Clients that one worker tests in one go."""


@dataclass(frozen=True)
class Report:
    """What is known of one trained task beside its update; ``fate`` is set if the update was not admitted.

    ``size`` is what would be uploaded, in bytes; it is measured only for clients that must be trained to be priced.
    ``stateful`` tells that the client has a new state. ``pooled`` is as in `ClientSums`, where tasks test: with the
    first task that was admitted of those done in one go.
    """

    task: int
    weight: float = 0.0
    loss: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    fate: Fate | None = None
    why: str = ""
    trace: str = ""
    size: int = 0
    stateful: bool = False
    pooled: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def origin(self) -> tuple[str, ...]:
        """The kind of an error and the lines of code that it went through: what two alike have in common."""
        frames = (line for line in self.trace.splitlines() if line.startswith("  File "))
        return self.why.partition(":")[0], *frames


@dataclass(frozen=True)
class Trained:
    """A cohort's reports in task order, and the weighted sum of the admitted updates; a dry run has neither.

    ``updates`` are the admitted ones themselves, if they are kept, and ``weights`` theirs, if not those of the reports;
    ``seconds`` are what several workers took together. ``states`` are the new ones of the clients ``stateful``. Updates
    and states are there until others are trained.
    """

    reports: list[Report]
    total: Tensor
    weight: float
    updates: Updates | None = None
    seconds: float = 0.0
    stateful: tuple[int, ...] = ()
    states: Updates | None = None
    weights: tuple[float, ...] | None = None


@dataclass(frozen=True)
class ClientSums:
    """One client's test: how many predictions, and sums over them.

    ``pooled`` are counts of which only the total is wanted (`fedscale.pooled.Pooled.record`): those of all clients that
    were tested in one go are with the first of these.
    """

    client: int
    count: int
    sums: dict[str, float]
    pooled: dict[str, dict[str, Any]] = field(default_factory=dict)


Testing = Callable[[], list[ClientSums]]
"""A test that was begun: call it to wait for its result, in the order of the clients."""


Meanwhile = Callable[[], None]
"""Work of the main process that can wait until others are busy."""


def nothing() -> None:
    """Have no such work."""


class Executor(Protocol):
    """Maps training and testing over clients."""

    def train(self, vector: Tensor, tasks: Sequence[TrainConf], meanwhile: Meanwhile = nothing) -> Trained:
        """Train every task from the model ``vector`` and fold the updates in task order.

        ``meanwhile`` is called once, when workers have something to do.
        """
        ...

    def upload_sizes(self, vector: Tensor, tasks: Sequence[TrainConf]) -> list[int]:
        """Train every task and return the bytes that each would send."""
        ...

    def test(self, vector: Tensor, clients: IntArray, version: int) -> Testing:
        """Begin to test the model ``vector`` on every client; other work may be asked for before the result is.

        The result does not depend on that.
        """
        ...

    def close(self) -> None:
        """Let go of workers and shared memory."""
        ...


def blocks(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """Cut ``items`` into consecutive blocks of ``size``."""
    return [items[begin : begin + size] for begin in range(0, len(items), size)]
