"""Ways to the gradients of several clients at once, each with its own weights; the quickest that fits is taken.

A way's ``stepping`` are the places of the parameters that can take their step by themselves while the gradients are
worked out (see `fedscale.learn.descent`); it then returns those of the other parameters only.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from fedscale.learn.chain import Chain
from fedscale.learn.descent import Descent
from fedscale.learn.stacked import Stacks, stacked
from fedscale.learn.tasks import Task

Gradients = tuple[Tensor, list[Tensor]]
"""Mean loss of each client (clients,), and one stack of gradients per parameter."""


class Way(Protocol):
    """Works out gradients."""

    stepping: frozenset[int]

    def gradients(self, weights: list[Tensor], inputs: Tensor, targets: Tensor, descent: Descent | None) -> Gradients:
        """Return losses and gradients; with ``descent``, the `stepping` have taken their step, and theirs are left out.

        Args:
            weights: one stack (clients, *shape) per trainable parameter, in the module's order.
            inputs: (clients, rows, ...).
            targets: (clients, rows, ...).
            descent: takes the steps.
        """
        ...


class OneByOne:
    """A loop over the clients, by which the quick ways are judged."""

    def __init__(self, module: nn.Module, task: Task) -> None:
        self.stepping: frozenset[int] = frozenset()
        self._module = module.train()
        self._task = task
        self._names = _trained(module)

    def gradients(self, weights: list[Tensor], inputs: Tensor, targets: Tensor, descent: Descent | None) -> Gradients:
        """See `Way.gradients`."""
        sources = [part.detach().requires_grad_() for part in weights]
        losses = self._losses(sources, inputs, targets)
        gradients = torch.autograd.grad(losses.sum(), sources, allow_unused=True, materialize_grads=True)
        return losses.detach(), list(gradients)

    def _losses(self, weights: list[Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
        each = [self._loss([part[i] for part in weights], inputs[i], targets[i]) for i in range(len(targets))]
        return torch.stack(each)

    def _loss(self, weights: list[Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
        named = dict(zip(self._names, weights, strict=True))
        return self._task.loss(functional_call(self._module, named, (inputs,)), targets)


class ByVmap(OneByOne):
    """Through `torch.func.vmap`: any module that it can handle."""

    def _losses(self, weights: list[Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
        self._module.train()
        losses: Tensor = vmap(self._loss)(weights, inputs, targets)
        return losses


class OnOneBatch:
    """As one long batch, where all parameters belong to layers that `fedscale.learn.stacked` knows."""

    def __init__(self, module: nn.Module, task: Task, like: Tensor) -> None:
        self.stepping: frozenset[int] = frozenset()
        self._task = task
        self._stacks = Stacks(torch.zeros((), dtype=like.dtype, device=like.device, requires_grad=True))
        self._module, self._known, self._linear = stacked(module, self._stacks)
        self._module.train()
        self._names = _trained(module)
        self._stacks.places = {name: place for place, name in enumerate(self._names)}

    @property
    def knows_all(self) -> bool:
        """Say whether all trained parameters belong to known layers."""
        return self._known.issuperset(self._names)

    def let_step(self) -> None:
        """Let linear layers step by themselves, but if the latest pass used one twice: it must not change between."""
        if set(self._stacks.calls.values()) <= {1}:
            self.stepping = frozenset(i for i, name in enumerate(self._names) if name in self._linear)

    def gradients(self, weights: list[Tensor], inputs: Tensor, targets: Tensor, descent: Descent | None) -> Gradients:
        """See `Way.gradients`."""
        self._stacks.descent = descent
        self._stacks.calls.clear()
        used = [
            part if descent and i in self.stepping else part.detach().requires_grad_() for i, part in enumerate(weights)
        ]
        self._stacks.weights = dict(zip(self._names, used, strict=True))
        outputs = self._module(inputs.flatten(0, 1))
        losses, slope = self._task.group_losses(outputs.detach(), targets.flatten(0, 1), len(targets))
        sources = [*(part for part in used if part.requires_grad), self._stacks.anchor]
        *gradients, _ = torch.autograd.grad(outputs, sources, slope, allow_unused=True, materialize_grads=True)
        return losses, gradients


class AsChain:
    """Without autograd, where the module is a chain of simple layers; see `fedscale.learn.chain`."""

    def __init__(self, chain: Chain, task: Task) -> None:
        self.stepping = frozenset(range(chain.parameters))
        self._chain = chain
        self._task = task

    def gradients(self, weights: list[Tensor], inputs: Tensor, targets: Tensor, descent: Descent | None) -> Gradients:
        """See `Way.gradients`."""
        passed = self._chain.forward(weights, inputs.flatten(2))
        losses, slope = self._task.group_losses(passed[-1].flatten(0, 1), targets.flatten(0, 1), len(targets))
        return losses, self._chain.backward(weights, passed, slope.view_as(passed[-1]), descent)


def _trained(module: nn.Module) -> list[str]:
    return [name for name, value in module.named_parameters() if value.requires_grad]
