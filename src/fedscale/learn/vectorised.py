"""The vectorised engine: a block of clients trained at once, each with parameters of its own.

Each parameter becomes a stack with the clients first; one forward and one backward pass (`torch.func`) serve all of
them. It pays where a client's own step is so small that calling it costs more than computing it, which is so for models
of small matrix products. The plain engine is the reference: `tests/learn/test_vectorised.py` holds that both agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.nn import functional

from fedscale.errors import EngineError
from fedscale.learn import plain
from fedscale.learn.conf import TrainConf
from fedscale.learn.model import Model
from fedscale.learn.objectives import Objective, Plain
from fedscale.learn.samples import ClientSamples, Rows, side_by_side
from fedscale.learn.stacked import Stacks, stacked

Gradients = Callable[[list[Tensor], Sequence[int], Tensor, Tensor], tuple[Tensor, list[Tensor]]]


@dataclass(frozen=True)
class Assignment:
    """A task and the samples that it trains on."""

    samples: ClientSamples
    conf: TrainConf


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

    Models made of linear layers, embeddings and layer norms run on one long batch (`fedscale.learn.stacked`); all
    others through `torch.func.vmap`, which is general, and slower.

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
        anchor = torch.zeros((), dtype=model.vector.dtype, device=model.device, requires_grad=True)
        self._stacks = Stacks(anchor)
        self._module, known, linear = stacked(model.module, self._stacks)
        self._module.train()
        self._names = [name for name, value in model.module.named_parameters() if value.requires_grad]
        self._stepping: set[int] = set()
        self._forward = vmap(self._loss)
        trial = _Trial(self._gradients, model, sample)
        if not trial.passes():
            raise EngineError("samples of a batch have to do with each other, so batches cannot be filled up")
        if known.issuperset(self._names) and self._runs_on_one_batch(trial) and set(self._stacks.calls.values()) <= {1}:
            # A layer that is used twice must not step in between.
            self._stepping = {i for i, name in enumerate(self._names) if name in linear}

    def train(self, vector: Tensor, block: Sequence[Assignment]) -> Deltas:
        """Train every task of the block from the model ``vector``.

        Those with most steps come first in the stacks, so that those still at work are always the first ones, and
        those that are done cost nothing.
        """
        self._model.module.train()
        steps = [list(one.samples.steps(one.conf)) for one in block]
        order = sorted(range(len(block)), key=lambda i: -len(steps[i]))
        start = self._model.views(vector)
        weights = _copies(start, len(block))
        samples = [block[i].samples for i in order]
        losses = self._descend(weights, start, samples, [steps[i] for i in order], block[0].conf)
        torch._foreach_sub_(weights, start)
        place = sorted(order, key=order.__getitem__)
        if place != order:
            weights = [part[place] for part in weights]
        return Deltas(weights, [losses[i] for i in place])

    def _descend(
        self,
        weights: list[Tensor],
        start: list[Tensor],
        samples: list[ClientSamples],
        steps: list[list[Rows]],
        conf: TrainConf,
    ) -> list[float]:
        """Take all steps, changing ``weights`` in place; return each client's mean loss per sample."""
        stepping = self._stepping if self._is_plain(conf) else set()
        self._stacks.lr = conf.lr if stepping else None
        rest = [i for i in range(len(weights)) if i not in stepping]
        velocity: list[Tensor] = []
        history = []
        for step in range(len(steps[0])):
            rows = [client[step] for client in steps if len(client) > step]
            at_work = [part[: len(rows)] for part in weights]
            batch = self._model.placed(*side_by_side(self._model.task, samples[: len(rows)], rows))
            losses, gradients = self._gradients(at_work, rest, *batch)
            moving = [part[: len(rows)] for part in velocity]
            if rest:
                still = [at_work[i] for i in rest], [start[i] for i in rest]
                plain.step(*still, gradients, moving, self._objective, conf)
            velocity = velocity or moving
            history.append(losses)
        return _mean_losses(history, steps)

    def _is_plain(self, conf: TrainConf) -> bool:
        """Say whether a step is ``w − lr·∇loss``, which the layers can take by themselves."""
        return isinstance(self._objective, Plain) and not conf.momentum and not conf.weight_decay

    def _gradients(
        self, weights: list[Tensor], wanted: Sequence[int], inputs: Tensor, targets: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Return each client's loss, and the stacked gradients of the ``wanted`` parameters; others have stepped."""
        sources = [weights[i].detach().requires_grad_() for i in wanted]
        used = list(weights)
        for i, source in zip(wanted, sources, strict=True):
            used[i] = source
        losses = self._forward(used, inputs, targets)
        sources.append(self._stacks.anchor)
        *gradients, _ = torch.autograd.grad(losses.sum(), sources, allow_unused=True, materialize_grads=True)
        return losses.detach(), gradients

    def _loss(self, weights: list[Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of one client; `vmap` makes it that of all."""
        named = dict(zip(self._names, weights, strict=True))
        return self._model.task.loss(functional_call(self._model.module, named, (inputs,)), targets)

    def _on_one_batch(self, weights: list[Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the losses of all clients, whose samples pass through the stacked layers one after another."""
        self._stacks.weights = dict(zip(self._names, weights, strict=True))
        outputs = self._module(inputs.flatten(0, 1))
        return self._model.task.group_losses(outputs, targets.flatten(0, 1), len(targets))

    def _runs_on_one_batch(self, trial: _Trial) -> bool:
        """Change to the stacked layers, if they pass the trial."""
        general, self._forward = self._forward, self._on_one_batch
        self._stacks.calls.clear()
        with suppress(EngineError):
            if trial.passes():
                return True
        self._forward = general
        return False


class _Trial:
    """Two clients with different weights and one row more for the first, together and each alone."""

    def __init__(self, gradients: Gradients, model: Model, sample: ClientSamples) -> None:
        self._gradients = gradients
        self._weights = _copies(model.views(model.vector), 2)
        for part in self._weights:
            part[1].mul_(0.9)
        rows = [np.array([0, 1]) % len(sample), np.array([2]) % len(sample)]
        self._together = model.placed(*side_by_side(model.task, [sample, sample], rows))
        self._alone = [model.placed(*side_by_side(model.task, [sample], [chosen])) for chosen in rows]
        self._expected: list[list[Tensor]] = []

    def passes(self) -> bool:
        """Say whether both come to the same together as alone, which is asked only once.

        Raises:
            EngineError: the model cannot be computed in this way.
        """
        if not self._expected:
            self._expected = [self._run(slice(i, i + 1), batch) for i, batch in enumerate(self._alone)]
        found = self._run(slice(0, 2), self._together)
        expected = [torch.cat(parts) for parts in zip(*self._expected, strict=True)]
        return all(torch.allclose(one, other, rtol=1e-3, atol=1e-5) for one, other in zip(found, expected, strict=True))

    def _run(self, clients: slice, batch: tuple[Tensor, Tensor]) -> list[Tensor]:
        try:
            losses, gradients = self._gradients(
                [part[clients] for part in self._weights], range(len(self._weights)), *batch
            )
        except Exception as error:  # whatever a module may raise
            reason = str(error).strip().splitlines() or [""]
            raise EngineError(f"{type(error).__name__}: {reason[0][:200]}") from error
        return [losses, *gradients]


def _copies(parts: list[Tensor], count: int) -> list[Tensor]:
    """Return one stack of ``count`` copies per part."""
    return [part.new_empty((count, *part.shape)).copy_(part) for part in parts]


def _mean_losses(history: list[Tensor], steps: list[list[Rows]]) -> list[float]:
    """Return each client's loss per sample over all of its steps; ``history[k]`` has those of the clients at step k."""
    table = torch.zeros(len(steps), len(history), dtype=torch.float64)
    for step, losses in enumerate(history):
        table[: len(losses), step] = losses
    sizes = torch.zeros_like(table)
    for client, rows in enumerate(steps):
        sizes[client, : len(rows)] = torch.tensor([len(chosen) for chosen in rows], dtype=torch.float64)
    return list(((table * sizes).sum(1) / sizes.sum(1)).tolist())
