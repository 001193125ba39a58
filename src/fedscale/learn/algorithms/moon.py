"""MOON: Q. Li, B. He, D. Song, "Model-Contrastive Federated Learning", CVPR 2021."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from fedscale.errors import JobError
from fedscale.learn import plain
from fedscale.learn.algorithms.base import Algorithm
from fedscale.learn.conf import TrainConf
from fedscale.learn.devices import placed
from fedscale.learn.model import Model
from fedscale.learn.shelf import difference
from fedscale.learn.stage import Sizes
from fedscale.learn.updates import TrainResult
from fedscale.section import NonNegative, PositiveFloat

if TYPE_CHECKING:
    from fedscale.learn.objectives import Objective
    from fedscale.learn.samples import ClientSamples


class Moon(Algorithm):
    """A client's representations are drawn to the global model's, and away from its previous one's (§3.3 of the paper).

    With z, z_glob and z_prev the representations of a sample by the local model, by the global one as received, and by
    the client's model at the end of its latest completed task, and sim the cosine, a client minimises the mean of

        loss + μ ℓ,    ℓ = −log( e^{sim(z, z_glob)/τ} / (e^{sim(z, z_glob)/τ} + e^{sim(z, z_prev)/τ}) ).

    The representation is the input of the last linear layer, the other two are computed without dropout. A client that
    has no previous model has nothing to be kept from: ℓ is 0 then. Everything else is federated averaging. Two more
    forward passes are charged for every sample, and each client keeps a model.

    Args:
        model: has the layer.
        mu: μ, not negative; the paper tries 0.1 to 10.
        tau: τ, the temperature, greater than 0; 0.5 in the paper.

    Raises:
        JobError: the model has no linear layer.
    """

    def __init__(self, model: Model, mu: NonNegative = 1.0, tau: PositiveFloat = 0.5) -> None:
        linear = [name for name, layer in model.module.named_modules() if isinstance(layer, nn.Linear)]
        if not linear:
            raise JobError("algorithm 'moon': the model has no linear layer (torch.nn.Linear) to take the input of")
        self._layer = linear[-1]
        self._mu, self._tau = mu, tau

    def sizes(self, parameters: int, length: int) -> Sizes:
        """Return the previous model."""
        return Sizes(kept=length)

    def train(self, data: ClientSamples, model: Model, objective: Objective, conf: TrainConf) -> TrainResult:
        """Train with the contrast, once there is a previous model."""
        if data.visits[0].first:
            result = super().train(data, model, objective, conf)
        else:
            loss = self._fit(data, model, objective, conf)
            result = TrainResult(delta=difference(model.vector, model.origin), samples=len(data), loss=loss)
        result.kept = model.vector.clone()
        return result

    def _fit(self, data: ClientSamples, model: Model, objective: Objective, conf: TrainConf) -> float:
        """Take the steps; return the mean loss per sample, without the contrast."""
        near, far = (named_parts(model, vector) for vector in (model.origin, data.visits[0].kept))
        weights, start = [part.data for part in model.trainable], model.views(model.origin)
        velocity: list[Tensor] = []
        losses, sizes = [], []
        with inputs_of(model.module.get_submodule(self._layer)) as seen:
            for inputs, targets in placed(data.minibatches(conf), model.vector):
                z_near, z_far = (_represent(model.module, parts, inputs, seen) for parts in (near, far))
                model.module.train()
                loss = model.loss(inputs, targets)
                whole = loss + self._mu * contrast(seen.pop(), z_near, z_far, self._tau)
                gradients = torch.autograd.grad(whole, model.trainable, allow_unused=True, materialize_grads=True)
                plain.step(weights, start, list(gradients), velocity, objective, conf)
                losses.append(loss.detach())
                sizes.append(len(targets))
        return plain.mean_loss(losses, sizes)

    def forwards(self, processed: int, samples: int, factor: float) -> float:
        """Add the passes of the global and of the previous model."""
        return processed * (factor + 2)


def contrast(z: Tensor, near: Tensor, far: Tensor, tau: float) -> Tensor:
    """Return the mean of ℓ over all representations (..., features); see `Moon`."""
    gap = functional.cosine_similarity(z, far, dim=-1) - functional.cosine_similarity(z, near, dim=-1)
    return functional.softplus(gap / tau).mean()


def named_parts(model: Model, vector: Tensor) -> dict[str, Tensor]:
    """Return the parts of a vector like the model's under the module's names, in their shapes."""
    shapes = {name: part.shape for name, part in (*model.module.named_parameters(), *model.module.named_buffers())}
    return {name: vector[place].view(shapes[name]) for name, place in model.places().items()}


@contextmanager
def inputs_of(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what ``layer`` is called with."""
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        yield seen
    finally:
        hook.remove()


def _represent(module: nn.Module, parts: Mapping[str, Tensor], inputs: Tensor, seen: list[Tensor]) -> Tensor:
    """Return the representations by a model of other numbers."""
    module.train(mode=False)
    with torch.no_grad():
        functional_call(module, dict(parts), (inputs,))
    return seen.pop()
