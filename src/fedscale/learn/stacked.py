"""Layers for several clients at once, each client with its own weights.

A batch holds the clients' samples one client after another; whatever has no parameters treats samples alike, and the
layers here give each part of the batch the weights of its client. Linear layers can take their steps themselves; see
`fedscale.learn.descent`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedscale.learn.descent import Descent


@dataclass
class Stacks:
    """The parameters that the layers use, and how.

    Attributes:
        anchor: a scalar that linear layers pretend to depend on, so that their backward pass is run.
        weights: one stack (clients, *shape) per parameter, by name.
        places: of the parameters in the module's order, by name.
        descent: takes the steps of linear layers in the backward pass; ``None`` if gradients are wanted.
        calls: how often each linear layer was used.
    """

    anchor: Tensor
    weights: dict[str, Tensor] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    descent: Descent | None = None
    calls: dict[str, int] = field(default_factory=dict)


def product(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
    """Return x (clients, rows, in) · w (clients, out, in)ᵀ + b (clients, out)."""
    transposed = w.transpose(1, 2)
    return torch.bmm(x, transposed) if b is None else torch.baddbmm(b[:, None], x, transposed)


def slopes(x: Tensor, b: Tensor | None, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the gradients of w and b, given that of the `product`."""
    return torch.bmm(gradient.transpose(1, 2), x), None if b is None else gradient.sum(1)


class _Product(torch.autograd.Function):
    """The `product`, with the step in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w: Tensor, b: Tensor | None, anchor: Tensor, descent: Descent | None, place: int
    ) -> Tensor:
        ctx.save_for_backward(x)
        ctx.w, ctx.b, ctx.descent, ctx.place = w, b, descent, place
        return product(x, w, b)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (x,), (gradient,) = ctx.saved_tensors, gradients
        to_x = torch.bmm(gradient, ctx.w) if ctx.needs_input_grad[0] else None
        if ctx.descent is None:
            return to_x, *slopes(x, ctx.b, gradient), None, None, None
        ctx.descent.linear(ctx.place, x, ctx.w, ctx.b, gradient)
        return to_x, None, None, ctx.w.new_zeros(()), None, None


def _linear(layer: nn.Linear, name: str, stacks: Stacks, x: Tensor) -> Tensor:
    stacks.calls[name] = stacks.calls.get(name, 0) + 1
    w, b = stacks.weights[f"{name}weight"], stacks.weights.get(f"{name}bias")
    rows, place = x.reshape(len(w), -1, x.shape[-1]), stacks.places[f"{name}weight"]
    apply: Any = _Product.apply  # typed in some editions of torch, and in others not
    result: Tensor = apply(rows, w, b, stacks.anchor, stacks.descent, place)
    return result.view(*x.shape[:-1], -1)


def _embedding(layer: nn.Embedding, name: str, stacks: Stacks, x: Tensor) -> Tensor:
    table = stacks.weights[f"{name}weight"]
    first_rows = torch.arange(0, table.shape[0] * table.shape[1], table.shape[1], device=x.device)
    places = x.reshape(len(table), -1) + first_rows[:, None]
    return functional.embedding(places, table.flatten(0, 1)).view(*x.shape, -1)


def _layer_norm(layer: nn.LayerNorm, name: str, stacks: Stacks, x: Tensor) -> Tensor:
    normal = functional.layer_norm(x, layer.normalized_shape, None, None, layer.eps)
    if not layer.elementwise_affine:
        return normal
    w, b = stacks.weights[f"{name}weight"][:, None], stacks.weights.get(f"{name}bias")
    scaled = normal.reshape(len(w), -1, *layer.normalized_shape) * w
    return (scaled if b is None else scaled + b[:, None]).view(x.shape)


_STACKED: Final[dict[type[nn.Module], Callable[[Any, str, Stacks, Tensor], Tensor]]] = {
    nn.Linear: _linear,
    nn.Embedding: _embedding,
    nn.LayerNorm: _layer_norm,
}


def stacked(module: nn.Module, stacks: Stacks) -> tuple[nn.Module, set[str], set[str]]:
    """Return a copy of ``module`` whose layers use ``stacks`` where this file knows how.

    Returns:
        the copy, the names of the parameters that are taken from the stacks, and those of linear layers among them.
    """
    copied = copy.deepcopy(module)
    known, linear = set[str](), set[str]()
    for path, layer in copied.named_modules():
        forward = _STACKED.get(type(layer))
        if forward is None or not _is_usual(layer):
            continue
        prefix = f"{path}." if path else ""
        layer.forward = _bound(forward, layer, prefix, stacks)
        names = {prefix + name for name, _ in layer.named_parameters()}
        known |= names
        linear |= names if forward is _linear else set()
    return copied, known, linear


def stacked_linear(layer: nn.Module, prefix: str, stacks: Stacks) -> Callable[[Tensor], Tensor]:
    """Return the forward pass of a linear layer by ``stacks``, where its parameters' names begin with ``prefix``."""
    return _bound(_linear, layer, prefix, stacks)


def _is_usual(layer: nn.Module) -> bool:
    """Say whether a layer is trained as a whole, and has no habits that the functions above do not know."""
    if isinstance(layer, nn.Embedding) and (
        layer.padding_idx is not None or layer.max_norm is not None or layer.scale_grad_by_freq or layer.sparse
    ):
        return False
    return all(parameter.requires_grad for parameter in layer.parameters())


def _bound(forward: Callable[..., Tensor], layer: nn.Module, name: str, stacks: Stacks) -> Callable[[Tensor], Tensor]:
    return lambda x: forward(layer, name, stacks, x)
