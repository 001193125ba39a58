"""Bare loops in processes of one thread each that live on between rounds, as FedScale's workers do.

Every process holds its own share of the clients in memory. A round costs one message each way; the model and the
partial sums go through shared memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, multiprocessing, nn

from benchmarks import bare
from fedscale import load_dataset
from fedscale.data.ragged import Ragged
from fedscale.execute.handle import HEAP
from fedscale.learn.models import MODELS

LOOPS: dict[str, Callable[..., bare.Loop]] = {
    "logistic_regression": bare.LogisticRegression,
    "mlp": bare.MLP,
}
"""Models whose loop is written by hand; the others take `bare.Plain`."""


@dataclass(frozen=True)
class Work:
    """What is trained: the first ``clients`` of the data at ``store``, ``steps`` steps of ``batch`` rows each.

    Loops of `LOOPS` take gradients that are ``stored`` if that is asked for.
    """

    store: Path
    model: str
    clients: int
    steps: int
    batch: int
    stored: bool = False


class Rounds(Protocol):
    """Carries out rounds, one after another."""

    def round(self) -> None:
        """Train every client and move the model by the weighted mean."""
        ...

    def close(self) -> None:
        """End what was started."""
        ...


class Share:
    """One process's share of the work: every ``of``-th client."""

    def __init__(self, work: Work, index: int = 0, of: int = 1) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(index)
        self._work = work
        samples, loss, module = load(work, index, of)
        self.vector = torch.cat([parameter.detach().reshape(-1) for parameter in module.parameters()])
        self._sizes = [len(targets) for _, targets in samples]
        loop = partial(LOOPS[work.model], stored=work.stored) if work.model in LOOPS else partial(_plain, loss)
        self._loop = loop(module, samples)

    def train(self, vector: Tensor) -> tuple[Tensor, float]:
        """Return the weighted sum of changes, and the sum of weights."""
        visits = [bare.visits(size, self._work.steps, self._work.batch) for size in self._sizes]
        return self._loop.train(vector, visits)


class Alone:
    """All in this process, on one thread."""

    def __init__(self, work: Work) -> None:
        self._share = Share(work)
        self._vector = self._share.vector

    def round(self) -> None:
        """Train every client and move the model."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        total, weight = self._share.train(self._vector)
        self._vector.add_(total, alpha=1 / weight)
        torch.set_num_threads(threads)

    def close(self) -> None:
        """Nothing was started."""


class Team:
    """The work in several processes."""

    def __init__(self, work: Work, processes: int) -> None:
        vector = Share(work, 0, work.clients).vector
        self._vector = vector.share_memory_()
        self._sums = torch.zeros(processes, len(vector)).share_memory_()
        self._connections: list[Connection[Any, Any]] = []
        context = multiprocessing.get_context("spawn")
        os.environ.update(HEAP)  # which FedScale's workers have too
        for index in range(processes):
            ours, theirs = context.Pipe()
            arguments = (theirs, work, index, processes, self._vector, self._sums[index])
            context.Process(target=serve, args=arguments, daemon=True).start()
            theirs.close()
            self._connections.append(ours)

    def round(self) -> None:
        """Have every process train its share, and move the model."""
        for connection in self._connections:
            connection.send(True)
        weight = sum(connection.recv() for connection in self._connections)
        self._vector.add_(self._sums.sum(0), alpha=1 / weight)

    def close(self) -> None:
        """Ask the processes to end."""
        for connection in self._connections:
            connection.close()


def gather(work: Work, processes: int) -> Rounds:
    """Return what carries out the work's rounds in so many processes; this one is enough for one."""
    return Alone(work) if processes == 1 else Team(work, processes)


def serve(connection: Connection[Any, Any], work: Work, index: int, of: int, vector: Tensor, into: Tensor) -> None:
    """Train a share whenever asked, until the other side closes the connection."""
    share = Share(work, index, of)
    while True:
        try:
            connection.recv()
        except EOFError:
            return
        total, weight = share.train(vector)
        into.copy_(total)
        connection.send(weight)


def load(work: Work, index: int = 0, of: int = 1) -> tuple[list[bare.Samples], bare.Loss, nn.Module]:
    """Return the samples of every ``of``-th client as tensors, the loss, and the model at random weights."""
    dataset = load_dataset(str(work.store))
    card = dataset.card
    module = MODELS.build(work.model, {}, sample_shape=card.sample_shape, classes=card.classes, card=card)
    columns = [dataset.client(client).columns for client in range(index, work.clients, of)]
    if card.task == "next_token":
        return [_token_samples(column["tokens"]) for column in columns], bare.token_loss, module
    return [_class_samples(column["x"], column["y"]) for column in columns], bare.class_loss, module


def _class_samples(x: Any, y: Any) -> bare.Samples:
    return torch.tensor(np.asarray(x)), torch.tensor(np.asarray(y, dtype=np.int64))


def _token_samples(tokens: Any) -> bare.Samples:
    assert isinstance(tokens, Ragged)
    padded = torch.from_numpy(tokens.padded(np.arange(len(tokens)), 0).astype(np.int64))
    return padded[:, :-1].contiguous(), padded[:, 1:].contiguous()


def _plain(loss: bare.Loss, module: nn.Module, samples: list[bare.Samples]) -> bare.Loop:
    return bare.Plain(module, loss, samples)
