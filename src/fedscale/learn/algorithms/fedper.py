"""Personal layers.

M. G. Arivazhagan et al., "Federated Learning with Personalization Layers", arXiv:1912.00818, 2019 (FedPer);
L. Collins et al., "Exploiting Shared Representations for Personalized Federated Learning", ICML 2021 (FedRep).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fedscale import seeds
from fedscale.errors import JobError
from fedscale.learn.algorithms.base import Algorithm
from fedscale.learn.conf import TestConf, TrainConf
from fedscale.learn.model import Model
from fedscale.learn.shelf import difference
from fedscale.learn.stage import Mean, Sizes, Visit
from fedscale.learn.updates import TrainResult
from fedscale.section import Positive

if TYPE_CHECKING:
    from fedscale.learn.objectives import Objective
    from fedscale.learn.samples import ClientSamples


class FedPer(Algorithm):
    """Clients share the body φ of a model and keep its head h_i, the personal layers (Algorithms 1 and 2 of FedPer).

    A client trains (φ, h_i) together and sends the change of φ; h_i is its own, the initial model's at first. Of the
    model, only φ travels, and is charged. Tests measure (φ, h_i).

    Args:
        model: whose layers these are.
        personal: patterns of names of parameters and buffers, such as ``fc*``; by default all of the last layer that
            has parameters.

    Raises:
        JobError: nothing fits a pattern, or everything is personal.
    """

    personal = True
    name = "algorithm 'fedper'"

    def __init__(self, model: Model, personal: tuple[str, ...] | None = None) -> None:
        self.stays = self._personal = personal_numbers(model, personal, self.name)

    def sizes(self, parameters: int, length: int) -> Sizes:
        """Return h_i."""
        own = int(self._personal.sum())
        return Sizes(kept=own, private=own)

    def train(self, data: ClientSamples, model: Model, objective: Objective, conf: TrainConf) -> TrainResult:
        """Train φ and h_i."""
        model.load(self._own_model(data.visits[0]))
        result = self._fit(data, model, objective, conf)
        result.kept = model.vector[self._personal]
        result.delta[self._personal] = 0
        return result

    def _fit(self, data: ClientSamples, model: Model, objective: Objective, conf: TrainConf) -> TrainResult:
        return super().train(data, model, objective, conf)

    def _own_model(self, visit: Visit) -> Tensor:
        """Return (φ, h_i)."""
        vector = visit.start.clone()
        if not visit.first:
            vector[self._personal] = visit.kept
        return vector

    def test(self, data: ClientSamples, model: Model, conf: TestConf) -> tuple[int, dict[str, float]]:
        """Measure (φ, h_i)."""
        model.load(self._own_model(data.visits[0]))
        return super().test(data, model, conf)

    def combine(self, mean: Mean) -> Tensor:
        """Leave the server's h alone, whatever later stages add, such as noise."""
        return mean.update.masked_fill(self._personal, 0)


class FedRep(FedPer):
    """As FedPer, but the head is trained first, with the body as it came, and then the body (Algorithm 1 of FedRep).

    The body takes the steps of local training; the head passes over the client's samples ``head_epochs`` times before.

    Args:
        model: whose layers these are.
        personal: see `FedPer`.
        head_epochs: τ, 1 or more, in epochs as in the paper's experiments.
    """

    name = "algorithm 'fedrep'"

    def __init__(self, model: Model, personal: tuple[str, ...] | None = None, head_epochs: Positive = 1) -> None:
        super().__init__(model, personal)
        self._epochs = head_epochs
        self._head = [bool(part.any()) for part in model.views(self._personal)]

    def _fit(self, data: ClientSamples, model: Model, objective: Objective, conf: TrainConf) -> TrainResult:
        """Train h_i, then φ."""
        seed = seeds.derive(conf.seed, "head")  # a stream of its own
        first = replace(conf, steps=None, epochs=self._epochs, seed=seed)
        model.fit(data.minibatches(first), Only(objective, self._head), first)
        body = Only(objective, [not head for head in self._head])
        loss = model.fit(data.minibatches(conf), body, conf)
        return TrainResult(delta=difference(model.vector, model.origin), samples=len(data), loss=loss)

    def forwards(self, processed: int, samples: int, factor: float) -> float:
        """Add the epochs of the head."""
        return (processed + self._epochs * samples) * factor


@dataclass(frozen=True)
class Only:
    """Another objective, for some of the parameters; the rest stay as they are.

    Attributes:
        inner: the other one.
        chosen: whether each parameter is trained, in the model's order.
    """

    inner: Objective
    chosen: Sequence[bool]

    def adjust(self, gradients: list[Tensor], weights: list[Tensor], start: list[Tensor]) -> list[Tensor]:
        """Set the gradients of the rest to zero."""
        adjusted = self.inner.adjust(gradients, weights, start)
        pairs = zip(adjusted, self.chosen, strict=True)
        return [gradient if chosen else torch.zeros_like(gradient) for gradient, chosen in pairs]


def personal_numbers(model: Model, patterns: Sequence[str] | None, owner: str) -> Tensor:
    """Return which numbers of the model's vector are personal, bool (length,).

    Args:
        model: whose names the patterns speak of.
        patterns: see `FedPer`.
        owner: whose option they are, for errors.

    Raises:
        JobError: see `FedPer`.
    """
    places = model.places()
    trained = [name for name, place in places.items() if place.start < model.parameters]
    if not patterns:
        patterns = (f"{trained[-1].rpartition('.')[0]}.*" if "." in trained[-1] else trained[-1],)
    personal = torch.zeros(len(model.vector), dtype=torch.bool)
    for pattern in patterns:
        fitting = [place for name, place in places.items() if fnmatchcase(name, pattern)]
        if not fitting:
            raise JobError(f"{owner}: nothing fits personal {pattern!r}; the model has {', '.join(places)}")
        for place in fitting:
            personal[place] = True
    if personal[: model.parameters].all():
        raise JobError(f"{owner}: every parameter is personal; name some of {', '.join(trained)}")
    return personal
