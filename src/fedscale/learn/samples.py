"""A client's samples as its program sees them: rows, batches, and the order in which a task visits them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from fedscale import seeds
from fedscale.learn.conf import TrainConf
from fedscale.learn.tasks import Rows, Task

if TYPE_CHECKING:
    from fedscale.data.federated import ClientData


def processed(samples: int, steps: int | None, epochs: int | None, batch_size: int) -> int:
    """Return how many samples a task processes, repetitions counted: K × min(batch, n), or E × n."""
    if steps is not None:
        return steps * min(batch_size, samples)
    assert epochs is not None
    return epochs * samples


def step_rows(samples: int, steps: int, batch_size: int, rng: np.random.Generator) -> Iterator[Rows]:
    """Yield the rows of ``steps`` steps, each of min(batch_size, samples) rows.

    The rows come from one permutation of all samples after another, so that every sample is visited once before any
    is visited again, and a client smaller than a batch takes all its samples at every step.
    """
    size = min(batch_size, samples)
    stream = np.empty(0, dtype=np.int64)
    for _ in range(steps):
        if len(stream) < size:
            stream = np.concatenate([stream, rng.permutation(samples)])
        yield stream[:size]
        stream = stream[size:]


def epoch_rows(samples: int, epochs: int, batch_size: int, rng: np.random.Generator) -> Iterator[Rows]:
    """Yield the rows of ``epochs`` passes in shuffled batches; the last batch of a pass may be smaller."""
    for _ in range(epochs):
        order = rng.permutation(samples)
        for begin in range(0, samples, batch_size):
            yield order[begin : begin + batch_size]


class ClientSamples:
    """The samples of one client: ``len``, `batch` for chosen rows, `minibatches` for a task's own sequence."""

    def __init__(self, data: ClientData, task: Task) -> None:
        self.data = data
        self._task = task

    def __len__(self) -> int:
        return len(self.data)

    def batch(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of ``rows``."""
        return self._task.batch(self.data, rows)

    def minibatches(self, conf: TrainConf) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches that the task of ``conf`` trains on, the same ones on any worker."""
        rng = seeds.rng(conf.seed, "train", conf.task)
        if conf.steps is not None:
            rows = step_rows(len(self), conf.steps, conf.batch_size, rng)
        else:
            assert conf.epochs is not None
            rows = epoch_rows(len(self), conf.epochs, conf.batch_size, rng)
        return (self.batch(chosen) for chosen in rows)

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all samples once, in stored order."""
        rows = np.arange(len(self), dtype=np.int64)
        return (self.batch(rows[begin : begin + batch_size]) for begin in range(0, len(self), batch_size))
