"""A client's samples as its program sees them: rows, batches, and the order in which a task visits them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from torch import Tensor

from fedscale import seeds
from fedscale.data.ragged import Ragged
from fedscale.learn.conf import TrainConf
from fedscale.learn.tasks import Array, Field, Task

if TYPE_CHECKING:
    from fedscale.data.federated import ClientData
    from fedscale.data.ragged import Column

Rows = npt.NDArray[np.int64]


def processed(samples: int, steps: int | None, epochs: int | None, batch_size: int) -> int:
    """Return how many samples a task processes, repetitions counted: K × min(batch, n), or E × n."""
    if steps is not None:
        return steps * min(batch_size, samples)
    assert epochs is not None
    return epochs * samples


def step_count(samples: int, conf: TrainConf) -> int:
    """Return how many steps a task takes."""
    if conf.steps is not None:
        return conf.steps
    assert conf.epochs is not None
    return conf.epochs * -(-samples // conf.batch_size)


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
    """The samples of one client: ``len``, `batch` for chosen rows, `minibatches` for a task's own sequence.

    ``state`` is what the client keeps since its latest completed task: float32 numbers, as many as
    `Client.state_length <fedscale.core.client.Client.state_length>` says; ``None`` if it keeps nothing yet.
    """

    def __init__(self, data: ClientData, task: Task, state: Tensor | None = None) -> None:
        self.data = data
        self.state = state
        self._task = task

    def __len__(self) -> int:
        return len(self.data)

    def batch(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of ``rows``."""
        return self._task.tensors(*(_read(self.data.columns[field.name], field, rows) for field in self._task.fields))

    def steps(self, conf: TrainConf) -> Iterator[Rows]:
        """Yield the rows of each step of the task of ``conf``, the same ones on any worker."""
        rng = seeds.rng(conf.seed, "train", conf.task)
        if conf.steps is not None:
            return step_rows(len(self), conf.steps, conf.batch_size, rng)
        assert conf.epochs is not None
        return epoch_rows(len(self), conf.epochs, conf.batch_size, rng)

    def minibatches(self, conf: TrainConf) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches that the task of ``conf`` trains on, the same ones on any worker."""
        return (self.batch(rows) for rows in self.steps(conf))

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all samples once, in stored order."""
        rows = np.arange(len(self), dtype=np.int64)
        return (self.batch(rows[begin : begin + batch_size]) for begin in range(0, len(self), batch_size))


def side_by_side(task: Task, clients: Sequence[ClientSamples], rows: Sequence[Rows]) -> tuple[Tensor, Tensor]:
    """Return inputs and targets of ``rows[i]`` of ``clients[i]``, clients first, smaller batches filled up."""
    longest = max(map(len, rows))
    columns = []
    for field in task.fields:
        parts = [client.data.columns[field.name] for client in clients]
        columns.append(
            _stack_ragged(parts, field, rows, longest)
            if isinstance(parts[0], Ragged)
            else _stack(parts, field, rows, longest)
        )
    return task.tensors(*columns)


def _read(column: Column, field: Field, rows: Rows) -> Array:
    values = column.padded(rows, field.pad) if isinstance(column, Ragged) else column[rows]
    return values if field.dtype is None else values.astype(field.dtype, copy=False)


def _stack(parts: Sequence[Column], field: Field, rows: Sequence[Rows], longest: int) -> Array:
    first = np.asarray(parts[0])
    stack = np.empty((len(parts), longest, *first.shape[1:]), field.dtype or first.dtype)
    for place, column, chosen in zip(stack, parts, rows, strict=True):
        assert isinstance(column, np.ndarray)
        if column.dtype == stack.dtype:
            column.take(chosen, 0, place[: len(chosen)], "clip")  # "raise" would go through a buffer
        else:
            place[: len(chosen)] = column[chosen]
        place[len(chosen) :] = field.pad
    return stack


def _stack_ragged(parts: Sequence[Column], field: Field, rows: Sequence[Rows], longest: int) -> Array:
    padded = [_read(column, field, chosen) for column, chosen in zip(parts, rows, strict=True)]
    width = max(values.shape[1] for values in padded)
    stack = np.full((len(parts), longest, width), field.pad, padded[0].dtype)
    for place, values in zip(stack, padded, strict=True):
        place[: values.shape[0], : values.shape[1]] = values
    return stack
