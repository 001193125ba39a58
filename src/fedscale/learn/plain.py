"""The plain engine: one client after another, stochastic gradient descent on views of one flat vector.

No optimizer object, no data loader and no state dict per client: measured, these cost more than the arithmetic of a
small model.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from fedscale.learn.model import Model
from fedscale.learn.objectives import Objective


def train(
    model: Model,
    batches: Iterable[tuple[Tensor, Tensor]],
    objective: Objective,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
) -> float:
    """Take one step of SGD per batch, changing ``model`` in place; return the mean loss per sample.

    g = ∇loss + weight_decay·w, adjusted by the objective; v = momentum·v + g; w = w − lr·v.

    Args:
        model: the model, freshly loaded with the global vector.
        batches: inputs and targets of each step.
        objective: see `fedscale.learn.objectives`.
        lr: learning rate.
        momentum: of the velocity v, which begins at zero on every client.
        weight_decay: L2 regularisation.
    """
    model.module.train()
    weights = [parameter.data for parameter in model.trainable]
    start = model.views(model.origin)
    velocity: list[Tensor] = []
    losses, sizes = [], []
    for inputs, targets in batches:
        loss = model.loss(inputs, targets)
        gradients = list(torch.autograd.grad(loss, model.trainable, allow_unused=True, materialize_grads=True))
        losses.append(loss.detach())
        sizes.append(len(targets))
        if weight_decay:
            gradients = list(torch._foreach_add(gradients, weights, alpha=weight_decay))
        gradients = objective.adjust(gradients, weights, start)
        if momentum:
            velocity = _accelerate(velocity, gradients, momentum)
            gradients = velocity
        torch._foreach_add_(weights, gradients, alpha=-lr)
    return _mean_loss(losses, sizes)


def _accelerate(velocity: list[Tensor], gradients: list[Tensor], momentum: float) -> list[Tensor]:
    if not velocity:
        return [gradient.clone() for gradient in gradients]
    torch._foreach_mul_(velocity, momentum)
    torch._foreach_add_(velocity, gradients)
    return velocity


def _mean_loss(losses: list[Tensor], sizes: list[int]) -> float:
    if not losses:
        return 0.0
    weights = torch.tensor(sizes, dtype=torch.float64)
    return float(torch.stack(losses).double() @ weights / weights.sum())
