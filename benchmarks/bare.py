"""The loops that FedScale is measured against: a round of local SGD and its weighted sum, and nothing else.

Their samples lie ready in memory as tensors. `Plain` trains one client after another with autograd; `MLP` and
`LogisticRegression` train several at once with products over a batch of weights and gradients written by hand. No
optimizer, no data loader, no copies of the module: as good as we can write them.

All parameters are one flat vector, in the order of the module's own, as in FedScale: to begin a client is one copy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

Samples = tuple[Tensor, Tensor]
"""One client's inputs and targets, a sample per row."""

Loss = Callable[[Tensor, Tensor], Tensor]

LR: Final = 0.01

AT_ONCE: Final = 8
"""Clients in one product. For 784-128-62 units and batches of 20, on one core with 4, 8, 16, 32 and 64 clients: 127,
118, 152, 182 and 194 µs per client and step at best; adding the gradients of 8 in an operation of its own, 150 µs."""


class Loop(Protocol):
    """Trains its clients from a model and adds up what comes of it."""

    def train(self, vector: Tensor, visits: Sequence[Tensor]) -> tuple[Tensor, float]:
        """Return Σ samples × (trained − ``vector``) over all clients, and Σ samples.

        Args:
            vector: the model, flat.
            visits: for each client the rows of each step, (steps, rows).
        """
        ...


def visits(samples: int, steps: int, batch: int) -> Tensor:
    """Return the rows of each step, (steps, rows), from one permutation of all samples after another."""
    rows = min(batch, samples)
    passes = -(-steps * rows // samples)
    stream = torch.cat([torch.randperm(samples) for _ in range(passes)])
    return stream[: steps * rows].view(steps, rows)


def class_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy of (n, classes) logits."""
    return functional.cross_entropy(outputs, targets)


def token_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy of (n, length, classes) logits; token 0 is padding."""
    return functional.cross_entropy(outputs.flatten(0, 1), targets.reshape(-1), ignore_index=0)


def flat(module: nn.Module) -> Tensor:
    """Make the parameters of ``module`` views of one vector, and return it."""
    parameters = list(module.parameters())
    vector = torch.cat([parameter.detach().reshape(-1) for parameter in parameters])
    parts = torch.split(vector, [parameter.numel() for parameter in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.data = part.view(parameter.shape)
    return vector


class Plain:
    """One client after another, any module and loss."""

    def __init__(self, module: nn.Module, loss: Loss, clients: Sequence[Samples]) -> None:
        self._module = module.train()
        self._loss = loss
        self._clients = clients
        self._vector = flat(module)
        self._parameters = list(module.parameters())
        self._weights = [parameter.data for parameter in self._parameters]

    def train(self, vector: Tensor, visits: Sequence[Tensor]) -> tuple[Tensor, float]:
        """Return the weighted sum of changes, and the sum of weights; see `Loop.train`."""
        total, weight = torch.zeros_like(vector), 0.0
        for (inputs, targets), steps in zip(self._clients, visits, strict=True):
            self._vector.copy_(vector)
            for rows in steps:
                loss = self._loss(self._module(inputs.index_select(0, rows)), targets.index_select(0, rows))
                gradients = torch.autograd.grad(loss, self._parameters)
                torch._foreach_add_(self._weights, gradients, alpha=-LR)
            total.add_(self._vector.sub_(vector), alpha=len(inputs))
            weight += len(inputs)
        return total, weight


class _AtOnce:
    """Several clients at once. The samples of all lie in one matrix; every step takes as many rows of each client.

    Args:
        module: whose shapes count.
        clients: their samples.
        stored: make each gradient by `torch.bmm` and add it in an operation of its own, as one would write it at first.
    """

    def __init__(self, module: nn.Module, clients: Sequence[Samples], *, stored: bool = False) -> None:
        self._stored = stored
        self._inputs = torch.cat([inputs.flatten(1) for inputs, _ in clients])
        self._targets = torch.cat([targets for _, targets in clients])
        self._sizes = torch.tensor([len(targets) for _, targets in clients])
        self._starts = self._sizes.cumsum(0) - self._sizes
        self._shapes = [(1, *part.shape) if part.dim() == 1 else tuple(part.shape) for part in module.parameters()]
        self._weights = [torch.empty(AT_ONCE, *shape) for shape in self._shapes]

    def train(self, vector: Tensor, visits: Sequence[Tensor]) -> tuple[Tensor, float]:
        """Return the weighted sum of changes, and the sum of weights; see `Loop.train`."""
        total = torch.zeros_like(vector)
        for first in range(0, len(self._sizes), AT_ONCE):
            sizes = self._sizes[first : first + AT_ONCE]
            rows = (
                torch.stack(list(visits[first : first + AT_ONCE])) + self._starts[first : first + AT_ONCE, None, None]
            )
            weights = [weight[: len(sizes)] for weight in self._weights]
            for weight, part in zip(weights, self._parts(vector), strict=True):
                weight.copy_(part)
            for step in range(rows.shape[1]):
                chosen = rows[:, step].reshape(-1)
                shape = len(sizes), rows.shape[2]
                inputs = self._inputs.index_select(0, chosen).view(*shape, -1)
                self._step(weights, inputs, self._targets.index_select(0, chosen).view(*shape, 1))
            for weight, part, into in zip(weights, self._parts(vector), self._parts(total), strict=True):
                into.view(-1).addmv_(weight.sub_(part).flatten(1).t(), sizes.float())
        return total, float(self._sizes.sum())

    def _step(self, weights: list[Tensor], inputs: Tensor, targets: Tensor) -> None:
        raise NotImplementedError

    def _descend(self, weight: Tensor, bias: Tensor, errors: Tensor, inputs: Tensor) -> None:
        """Step by −lr × mean gradient; unless it is stored, the product that makes it adds it to the weights."""
        scale = -LR / inputs.shape[1]
        if self._stored:
            weight.add_(torch.bmm(errors.mT, inputs), alpha=scale)
        else:
            weight.baddbmm_(errors.mT, inputs, alpha=scale)
        bias.add_(errors.sum(1, keepdim=True), alpha=scale)

    def _parts(self, vector: Tensor) -> list[Tensor]:
        sizes = [weight[0].numel() for weight in self._weights]
        return [part.view(shape) for part, shape in zip(torch.split(vector, sizes), self._shapes, strict=True)]


class LogisticRegression(_AtOnce):
    """Softmax regression: the gradient of the logits is (softmax − one-hot) / rows."""

    def _step(self, weights: list[Tensor], inputs: Tensor, targets: Tensor) -> None:
        weight, bias = weights
        errors = _errors(torch.baddbmm(bias, inputs, weight.mT), targets)
        self._descend(weight, bias, errors, inputs)


class MLP(_AtOnce):
    """One hidden layer with ReLU."""

    def _step(self, weights: list[Tensor], inputs: Tensor, targets: Tensor) -> None:
        weight1, bias1, weight2, bias2 = weights
        hidden = torch.baddbmm(bias1, inputs, weight1.mT).relu_()
        errors = _errors(torch.baddbmm(bias2, hidden, weight2.mT), targets)
        errors1 = torch.bmm(errors, weight2).mul_(hidden.sign())
        self._descend(weight2, bias2, errors, hidden)
        self._descend(weight1, bias1, errors1, inputs)


def _errors(logits: Tensor, targets: Tensor) -> Tensor:
    """Return softmax − one-hot, (clients, rows, classes)."""
    minus_one = torch.full((1, 1, 1), -1.0).expand(targets.shape)
    return logits.softmax(-1).scatter_add_(2, targets, minus_one)
