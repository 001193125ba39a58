"""Large linear layers that take their steps themselves, for one client at a time.

See `fedscale.learn.descent`; the layers are those of `fedscale.learn.stacked`, with one client.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import torch
from torch import Tensor, nn

from fedscale.learn.descent import Descent, Sgd
from fedscale.learn.stacked import Stacks, stacked_linear

LARGE: Final = 1 << 20
"""Weights from which it pays: they do not stay in a core's cache between gradient and step."""

TOLERANCE: Final = 1e-3
"""Largest difference of a trial's two steps, relative to the step."""

TINY: Final = 1e-6
"""A difference that rounding makes where there is no step at all."""


class Fused:
    """Has some linear layers of a module step by themselves, within `at`.

    Args:
        module: on whose own parameters they work.
        names: of the layers.

    Attributes:
        rest: places of the trained parameters that do not belong to these layers.
        anchor: to be differentiated for, beside the other parameters, so that every layer's backward pass is run.
        calls: how often each layer was used.
    """

    def __init__(self, module: nn.Module, names: Sequence[str]) -> None:
        layers = [(f"{name}.", module.get_submodule(name)) for name in names]
        parts = {prefix + name: value for prefix, layer in layers for name, value in layer.named_parameters()}
        trained = _trained(module)
        self.rest = [i for i, name in enumerate(trained) if name not in parts]
        self.anchor = next(iter(parts.values())).detach().new_zeros(()).requires_grad_()
        places = {name: place for place, name in enumerate(trained)}
        stacks = Stacks(self.anchor, {name: value.data[None] for name, value in parts.items()}, places)
        self._own = {places[name]: part for name, part in stacks.weights.items()}
        self.calls = stacks.calls
        self._stacks = stacks
        self._forwards = [(layer, stacked_linear(layer, prefix, stacks)) for prefix, layer in layers]

    @contextmanager
    def at(self, sgd: Sgd, start: Sequence[Tensor]) -> Iterator[None]:
        """Have the layers take such steps, where training began at the parameters ``start`` of the whole module."""
        velocity = {place: torch.zeros_like(part) for place, part in self._own.items()} if sgd.momentum else {}
        self._stacks.descent = Descent(sgd, start, velocity)
        for layer, forward in self._forwards:
            layer.forward = forward
        try:
            yield
        finally:
            for layer, _ in self._forwards:
                del layer.forward


def fuse(module: nn.Module, loss: Callable[[nn.Module], Tensor]) -> Fused | None:
    """Return what has the large linear layers of ``module`` step by themselves, or ``None`` if it has none that can.

    A layer that is used twice in a pass, or whose weights are used elsewhere too, would be changed too early; what a
    trial does not confirm is left to autograd.

    Args:
        module: at any state, which is left as it is.
        loss: of a copy of the module, on any batch, always the same.
    """
    names = _candidates(module)
    return Fused(module, names) if names and _confirmed(module, names, loss) else None


def _candidates(module: nn.Module) -> list[str]:
    owners = Counter(id(value) for _, value in module.named_parameters(remove_duplicate=False))
    large = [
        (name, layer)
        for name, layer in module.named_modules()
        if name and type(layer) is nn.Linear and layer.weight.numel() >= LARGE and "forward" not in vars(layer)
    ]
    return [
        name
        for name, layer in large
        if all(value.requires_grad and owners[id(value)] == 1 for value in layer.parameters())
    ]


def _confirmed(module: nn.Module, names: Sequence[str], loss: Callable[[nn.Module], Tensor]) -> bool:
    """Take a step both ways on a copy of the module, and compare."""
    module = copy.deepcopy(module).train()
    fused, weights = Fused(module, names), list(_trained(module).values())
    before = [value.detach().clone() for value in weights]
    try:
        expected = torch.autograd.grad(loss(module), weights, allow_unused=True, materialize_grads=True)
        with fused.at(Sgd(lr=1.0, decay=0.0, pull=0.0, momentum=0.0), before):
            sources = [*(weights[i] for i in fused.rest), fused.anchor]
            *rest, _ = torch.autograd.grad(loss(module), sources, allow_unused=True, materialize_grads=True)
    except Exception:  # of a user's module, which will fail in training too, where it is reported
        return False
    found = [one.sub_(value.detach()) for one, value in zip(before, weights, strict=True)]
    for i, gradient in zip(fused.rest, rest, strict=True):
        found[i] = gradient
    return set(fused.calls.values()) == {1} and all(map(_alike, found, expected))


def _trained(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: value for name, value in module.named_parameters() if value.requires_grad}


def _alike(one: Tensor, other: Tensor) -> bool:
    return bool(torch.linalg.vector_norm(one - other) <= TOLERANCE * torch.linalg.vector_norm(other) + TINY)
