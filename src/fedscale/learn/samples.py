"""A client's samples as its program sees them: rows, batches, and the order in which a task visits them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from torch import Tensor

from fedscale import seeds
from fedscale.data.ragged import Ragged
from fedscale.learn.conf import TrainConf
from fedscale.learn.tasks import Array, Field, Task

if TYPE_CHECKING:
    from fedscale.data.encoded import Samples
    from fedscale.data.federated import ClientData
    from fedscale.learn.stage import Visit

Rows = npt.NDArray[np.int64]

Reader = Callable[[int, Sequence[Rows]], Array]
"""Returns the values of a column at a step, (clients, rows, ...), given the rows of each client at that step."""

SMALL: Final = 64
"""Bytes of a sample up to which a column is read for all steps at once: asking for so little costs more than it."""


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


def step_rows(samples: int, steps: int, batch_size: int, rng: np.random.Generator) -> list[Rows]:
    """Return the rows of ``steps`` steps, each of min(batch_size, samples) rows.

    The rows come from one permutation of all samples after another, so that every sample is visited once before any
    is visited again, and a client smaller than a batch takes all its samples at every step.
    """
    size = min(batch_size, samples)
    passes = -(-steps * size // max(1, samples))
    stream = np.concatenate([rng.permutation(samples) for _ in range(max(1, passes))])
    return list(stream[: steps * size].reshape(steps, size))


def epoch_rows(samples: int, epochs: int, batch_size: int, rng: np.random.Generator) -> list[Rows]:
    """Return the rows of ``epochs`` passes in shuffled batches; the last batch of a pass may be smaller."""
    passes = [rng.permutation(samples) for _ in range(epochs)]
    return [order[begin : begin + batch_size] for order in passes for begin in range(0, samples, batch_size)]


class ClientSamples:
    """The samples of one client: ``len``, `batch` for chosen rows, `minibatches` for a task's own sequence.

    ``state`` is what the client keeps since its latest completed task: float32 numbers, as many as
    `Client.state_length <fedscale.core.client.Client.state_length>` says; ``None`` if it keeps nothing yet.
    ``visits`` are what the job's stages know of the task, the algorithm first. In a test by an algorithm that tests in
    its own way, ``training`` are the samples that the client trains on, and ``visits`` speak of a task on those.
    """

    training: ClientSamples | None = None

    def __init__(self, data: ClientData, task: Task, state: Tensor | None = None, visits: Sequence[Visit] = ()) -> None:
        self.data = data
        self.state = state
        self.visits = visits
        self._task = task

    def __len__(self) -> int:
        return len(self.data)

    def batch(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of ``rows``."""
        return self._task.tensors(*(_read(self.data.columns[field.name], field, rows) for field in self._task.fields))

    def steps(self, conf: TrainConf) -> list[Rows]:
        """Return the rows of each step of the task of ``conf``, the same ones on any worker."""
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


class Room:
    """Memory for batches that is used again: what the system hands out anew is zeroed page by page."""

    def __init__(self) -> None:
        self._kept: dict[str, Array] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Return an array of any content. It is overwritten by what is taken under the same name later."""
        kept, size = self._kept.get(name), math.prod(shape)
        if kept is None or kept.size < size or kept.dtype != dtype:
            kept = self._kept[name] = np.empty(size, dtype)
        return kept[:size].reshape(shape)


def side_by_side(
    task: Task, clients: Sequence[ClientSamples], steps: Sequence[Sequence[Rows]], room: Room
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the inputs and targets of each step, clients first, smaller batches filled up.

    Args:
        task: says what to read.
        clients: those with most steps first; those that have taken all of theirs are left out of what is yielded.
        steps: the rows of each step of each client.
        room: what is yielded may lie in it, and be overwritten by the next step.
    """
    columns = {field.name: [client.data.columns[field.name] for client in clients] for field in task.fields}
    alike = len(set(map(len, steps))) == 1 == len({len(rows) for client in steps for rows in client})
    readers = [_reader(columns[field.name], field, steps, room, alike=alike) for field in task.fields]
    for step in range(len(steps[0])):
        rows = [client[step] for client in steps if len(client) > step]
        yield task.tensors(*(read(step, rows) for read in readers))


def _read(column: Samples, field: Field, rows: Rows) -> Array:
    values = column.padded(rows, field.pad, field.dtype) if isinstance(column, Ragged) else column[rows]
    return values if field.dtype is None else values.astype(field.dtype, copy=False)


def _reader(
    columns: Sequence[Samples], field: Field, steps: Sequence[Sequence[Rows]], room: Room, *, alike: bool
) -> Reader:
    """Return what reads a column of several clients: at once if it is small, as labels are, else step by step.

    ``alike`` says that all clients take as many steps, of as many rows.
    """
    if isinstance(columns[0], Ragged):
        return lambda step, rows: _stack_ragged(columns[: len(rows)], field, rows)
    if alike and columns[0].nbytes <= SMALL * len(columns[0]):
        size = len(steps[0]), len(steps[0][0])
        ahead = _stack(columns, field, [np.concatenate(client) for client in steps], room)
        by_step = np.ascontiguousarray(ahead.reshape(len(steps), *size, *ahead.shape[2:]).swapaxes(0, 1))
        return lambda step, rows: by_step[step]
    return lambda step, rows: _stack(columns[: len(rows)], field, rows, room)


def _stack(parts: Sequence[Samples], field: Field, rows: Sequence[Rows], room: Room) -> Array:
    first, longest = parts[0], max(map(len, rows))
    assert not isinstance(first, Ragged)
    dtype = np.dtype(field.dtype or first.dtype)
    stack = room.take(field.name, (len(parts), longest, *first.shape[1:]), dtype)
    for place, column, chosen in zip(stack, parts, rows, strict=True):
        assert not isinstance(column, Ragged)
        if len(chosen) < longest:
            place[len(chosen) :] = field.pad
            place = place[: len(chosen)]
        if isinstance(column, np.ndarray) and column.dtype == dtype:
            column.take(chosen, 0, place, "clip")  # "raise" would go through a buffer
        else:
            place[:] = column[chosen]
    return stack


def _stack_ragged(parts: Sequence[Samples], field: Field, rows: Sequence[Rows]) -> Array:
    longest = max(map(len, rows))
    padded = [_read(column, field, chosen) for column, chosen in zip(parts, rows, strict=True)]
    width = max(values.shape[1] for values in padded)
    stack = np.full((len(parts), longest, width), field.pad, padded[0].dtype)
    for place, values in zip(stack, padded, strict=True):
        place[: values.shape[0], : values.shape[1]] = values
    return stack
