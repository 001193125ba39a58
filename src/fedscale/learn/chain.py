"""Forward and backward passes written out, for several clients at once and models that are a chain of simple layers.

For the smallest models, autograd's own work is as long as the arithmetic: this does without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import torch
from torch import Tensor, nn

from fedscale.learn.descent import Descent
from fedscale.learn.stacked import product, slopes

Slope = Callable[[Tensor, Tensor], Tensor]

_ACTIVATIONS: Final[dict[type[nn.Module], tuple[Callable[[Tensor], Tensor], Slope]]] = {
    nn.ReLU: (torch.relu_, lambda gradient, output: gradient.mul_(output.sign())),
    nn.Tanh: (torch.tanh_, lambda gradient, output: gradient.mul_(1 - output * output)),
    nn.Sigmoid: (torch.sigmoid_, lambda gradient, output: gradient.mul_(output * (1 - output))),
}
"""What each does to its input, in place, and to the gradient, given its output.

The product is with the sign and not with ``output > 0``, since one of two types takes several times as long.
"""


class Chain:
    """A chain of linear layers and activations on flattened samples.

    Args:
        layers: in order; see `chain_of`.
    """

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        self._layers = layers
        self.parameters = sum(1 for layer in layers for _ in layer.parameters())

    def forward(self, weights: Sequence[Tensor], x: Tensor) -> list[Tensor]:
        """Return the input of every layer and, last, the output: stacks (clients, rows, features).

        Args:
            weights: one stack per parameter, clients first.
            x: samples (clients, rows, features).
        """
        rest, passed = iter(weights), [x]
        for layer in self._layers:
            if isinstance(layer, nn.Linear):
                x = product(x, next(rest), None if layer.bias is None else next(rest))
            else:
                x = _ACTIVATIONS[type(layer)][0](x)
            passed.append(x)
        return passed

    def backward(
        self, weights: Sequence[Tensor], passed: Sequence[Tensor], gradient: Tensor, descent: Descent | None
    ) -> list[Tensor]:
        """Take the step of all layers or, without ``descent``, return the gradients of all parameters.

        Args:
            weights: as in `forward`; changed in place.
            passed: what `forward` returned.
            gradient: of the output; overwritten.
            descent: takes the steps.
        """
        rest, found = list(weights), list[Tensor]()
        for number in reversed(range(len(self._layers))):
            layer, x = self._layers[number], passed[number]
            if not isinstance(layer, nn.Linear):
                gradient = _ACTIVATIONS[type(layer)][1](gradient, passed[number + 1])
                continue
            b = None if layer.bias is None else rest.pop()
            w = rest.pop()
            to_x = torch.bmm(gradient, w) if rest else gradient
            if descent is None:
                found[:0] = [part for part in slopes(x, b, gradient) if part is not None]
            else:
                descent.linear(len(rest), x, w, b, gradient)
            gradient = to_x
        return found


def chain_of(module: nn.Module) -> Chain | None:
    """Return ``module`` as a chain, or ``None`` if it is none.

    It is one if it consists of linear layers, all trained, and activations, after flattening, if that is needed.
    """
    layers = list(_flattened(module))
    if isinstance(layers[0], nn.Flatten) and (layers[0].start_dim, layers[0].end_dim) == (1, -1):
        layers = layers[1:]
    trained = all(parameter.requires_grad for parameter in module.parameters())
    if not trained or not layers or type(layers[0]) is not nn.Linear:  # an activation must not overwrite the samples
        return None
    # An activation after another would overwrite what the first one's gradient needs.
    pairs = zip(layers, [*layers[1:], layers[0]], strict=True)
    sound = all(type(one) is nn.Linear or (type(one) in _ACTIVATIONS and type(two) is nn.Linear) for one, two in pairs)
    return Chain(layers) if sound and len(set(layers)) == len(layers) else None


def _flattened(module: nn.Module) -> Iterator[nn.Module]:
    if type(module) is not nn.Sequential:
        yield module
        return
    for part in module:
        yield from _flattened(part)
