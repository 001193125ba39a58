"""The vectorised engine: a block of clients trained at once, each with parameters of its own.

Each parameter becomes a stack with the clients first; one forward and one backward pass (`torch.func`) serve all of
them. It pays where a client's own step is so small that calling it costs more than computing it, which is so for models
of small matrix products. The plain engine is the reference: `tests/learn/test_vectorised.py` holds that both agree.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fedscale.errors import EngineError
from fedscale.learn import plain
from fedscale.learn.chain import chain_of
from fedscale.learn.conf import TrainConf
from fedscale.learn.descent import Descent, sgd_of
from fedscale.learn.devices import placed
from fedscale.learn.model import Model
from fedscale.learn.objectives import Corrected, Objective
from fedscale.learn.samples import ClientSamples, Room, Rows, side_by_side
from fedscale.learn.ways import AsChain, ByVmap, OneByOne, OnOneBatch, Way


@dataclass(frozen=True)
class Assignment:
    """A task, the samples that it trains on, and what is added to its gradient at every step, (parameters,)."""

    samples: ClientSamples
    conf: TrainConf
    correction: Tensor | None = None


@dataclass(frozen=True)
class Deltas:
    """What a block's clients came to, in the order in which they were given.

    Attributes:
        parts: one stack (clients, *shape) per trainable parameter: how it changed.
        losses: mean training loss per sample of each client.
    """

    parts: list[Tensor]
    losses: list[float]

    def norms(self) -> list[float]:
        """Return the Euclidean norm of each client's update."""
        norms = torch.stack([torch.linalg.vector_norm(part.flatten(1), dim=1) for part in self.parts])
        return list(torch.linalg.vector_norm(norms, dim=0).tolist())

    def vector(self, client: int, length: int) -> Tensor:
        """Return one client's update as a flat vector of ``length``, filled up with zeros (buffers do not change)."""
        flat = torch.cat([part[client].reshape(-1) for part in self.parts])
        return functional.pad(flat, (0, length - len(flat)))


class Vectorised:
    """Trains blocks of clients with a torch model.

    Args:
        model: gives the module and the shapes; its own state is not touched.
        objective: see `fedscale.learn.objectives`; it gets stacks of parameters, clients first.
        sample: of any client, to try the model on.

    Raises:
        EngineError: the model cannot be trained in this way; the message says why.
    """

    def __init__(self, model: Model, objective: Objective, sample: ClientSamples) -> None:
        self._model = model
        self._objective = objective
        self._way = quickest(model, sample)
        self._stacks: list[Tensor] = []
        self._moving: list[Tensor] = []
        self._room = Room()

    def train(self, vector: Tensor, block: Sequence[Assignment], pull: float = 0.0) -> Deltas:
        """Train every task of the block from the model ``vector``; all or none of them have a correction.

        Where they have, ``pull``·(w − w_start) is added to their gradients too.

        Those with most steps come first in the stacks, so that those still at work are always the first ones, and
        those that are done cost nothing.

        What is returned is overwritten by the next call: memory that is used again is much quicker than new memory.
        """
        steps = [one.samples.steps(one.conf) for one in block]
        order = sorted(range(len(block)), key=lambda i: -len(steps[i]))
        start = self._model.views(vector)
        weights = self._copies(start, len(block))
        samples = [block[i].samples for i in order]
        objective = self._corrected([block[i].correction for i in order], pull)
        losses = self._descend(weights, start, samples, [steps[i] for i in order], block[0].conf, objective)
        torch._foreach_sub_(weights, start)
        place = sorted(order, key=order.__getitem__)
        if place != order:
            weights = [part[place] for part in weights]
        return Deltas(weights, [losses[i] for i in place])

    def _corrected(self, corrections: Sequence[Tensor | None], pull: float) -> Objective:
        given = [one for one in corrections if one is not None]
        if not given:
            return self._objective
        split = zip(*(self._model.views(one) for one in given), strict=True)
        return Corrected(self._objective, [torch.stack(parts) for parts in split], pull, block=True)

    def release(self) -> None:
        """Let go of the memory that is kept for the next block."""
        self._stacks, self._moving, self._room = [], [], Room()

    def _copies(self, parts: list[Tensor], count: int) -> list[Tensor]:
        """Return one stack of ``count`` copies per part."""
        if not self._stacks or len(self._stacks[0]) < count:
            self._stacks = [part.new_empty((count, *part.shape)) for part in parts]
        return [stack[:count].copy_(part) for stack, part in zip(self._stacks, parts, strict=True)]

    def _descend(
        self,
        weights: list[Tensor],
        start: list[Tensor],
        samples: list[ClientSamples],
        steps: list[list[Rows]],
        conf: TrainConf,
        objective: Objective,
    ) -> list[float]:
        """Take all steps, changing ``weights`` in place; return each client's mean loss per sample."""
        descent = self._descent(weights, start, conf, objective)
        rest = [i for i in range(len(weights)) if descent is None or i not in self._way.stepping]
        at_work, velocity = weights, list[Tensor]()
        history = []
        batches = side_by_side(self._model.task, samples, steps, self._room)
        for inputs, targets in placed(batches, self._model.vector):
            if targets.shape[0] < at_work[0].shape[0]:
                at_work = [part[: targets.shape[0]] for part in weights]
            losses, gradients = self._way.gradients(at_work, inputs, targets, descent)
            if rest:
                moving = [part[: targets.shape[0]] for part in velocity]
                still = [at_work[i] for i in rest], [start[i] for i in rest]
                plain.step(*still, gradients, moving, objective, conf)
                velocity = velocity or moving
            history.append(losses)
        return _mean_losses(history, steps)

    def _descent(
        self, weights: list[Tensor], start: list[Tensor], conf: TrainConf, objective: Objective
    ) -> Descent | None:
        """Return what takes the steps of those parameters that can take their own."""
        sgd = sgd_of(objective, conf)
        if sgd is None or not self._way.stepping:
            return None
        if sgd.momentum and (not self._moving or len(self._moving[0]) < len(weights[0])):
            self._moving = [torch.empty_like(part) for part in weights]
        velocity = {i: part.zero_() for i, part in enumerate(self._moving) if i in self._way.stepping}
        return Descent(sgd, start, velocity)


def quickest(model: Model, sample: ClientSamples) -> Way:
    """Return the quickest way that comes to the same together as clients come to alone, on a trial.

    What a chain does is known from its layers. A module's own forward may do anything, so vmap must be able to follow
    it.
    """
    trial = _Trial(model, sample)
    if (chain := chain_of(model.module)) and trial.passes_silently(way := AsChain(chain, model.task)):
        return way
    general = ByVmap(model.module, model.task)
    if not trial.passes(general):
        raise EngineError("samples of a batch have to do with each other, so batches cannot be filled up")
    one_batch = OnOneBatch(model.module, model.task, model.vector)
    if one_batch.knows_all and trial.passes_silently(one_batch):
        one_batch.let_step()
        return one_batch
    return general


class _Trial:
    """Two clients with different weights and one row more for the first, together and each alone."""

    def __init__(self, model: Model, sample: ClientSamples) -> None:
        self._weights = [torch.stack([part, part * 0.9]) for part in model.views(model.vector)]
        rows = [np.array([0, 1]) % len(sample), np.array([2]) % len(sample)]
        self._together = self._batch(model, sample, rows)
        alone = [self._batch(model, sample, [chosen]) for chosen in rows]
        alike = OneByOne(copy.deepcopy(model.module), model.task)  # a copy, since BatchNorm would move its statistics
        each = [self._run(alike, slice(i, i + 1), batch) for i, batch in enumerate(alone)]
        self._expected = [torch.cat(parts) for parts in zip(*each, strict=True)]

    def passes(self, way: Way) -> bool:
        """Say whether both come to the same together as alone.

        Raises:
            EngineError: the model cannot be computed in this way.
        """
        found = self._run(way, slice(0, 2), self._together)
        return all(torch.allclose(*pair, rtol=1e-3, atol=1e-5) for pair in zip(found, self._expected, strict=True))

    def passes_silently(self, way: Way) -> bool:
        """Say whether a way can be taken, and comes to the same."""
        with suppress(EngineError):
            return self.passes(way)
        return False

    def _batch(self, model: Model, sample: ClientSamples, rows: list[Rows]) -> tuple[Tensor, Tensor]:
        batches = side_by_side(model.task, [sample] * len(rows), [[chosen] for chosen in rows], Room())
        return model.placed(*next(batches))

    def _run(self, way: Way, clients: slice, batch: tuple[Tensor, Tensor]) -> list[Tensor]:
        try:
            losses, gradients = way.gradients([part[clients] for part in self._weights], *batch, None)
        except Exception as error:  # whatever a module may raise
            reason = str(error).strip().splitlines() or [""]
            raise EngineError(f"{type(error).__name__}: {reason[0][:200]}") from error
        return [losses, *gradients]


def _mean_losses(history: list[Tensor], steps: list[list[Rows]]) -> list[float]:
    """Return each client's loss per sample over all of its steps; ``history[k]`` has those of the clients at step k."""
    sizes = np.array(list(zip_longest(*(map(len, rows) for rows in steps), fillvalue=0)), np.float64)
    losses = np.zeros_like(sizes)
    losses[sizes > 0] = torch.cat(history).cpu().numpy()
    return list(((losses * sizes).sum(0) / sizes.sum(0)).tolist())
