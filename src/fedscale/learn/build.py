"""From a card and a name to a model, the same one in every process."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn

from fedscale import seeds
from fedscale.errors import JobError
from fedscale.learn.adapters import ADAPTERS
from fedscale.learn.initial import load_initial
from fedscale.learn.model import Model
from fedscale.learn.models import MODELS
from fedscale.learn.tasks import TASKS, outputs_of
from fedscale.section import Component

if TYPE_CHECKING:
    from fedscale.data.card import Card
    from fedscale.job import InitialConf


def build_model(
    card: Card,
    chosen: Component | None,
    seed: int,
    device: str = "cpu",
    initial: InitialConf | None = None,
    adapters: Component | None = None,
) -> Model:
    """Build the chosen model (by default the card's own) for a dataset, with adapters if any are named.

    Initial weights are drawn from the job's seed, or those of a file. Torch's own generator is left as it was.

    Raises:
        JobError: something that is named is unknown or does not fit.
    """
    if card.without:
        lacking = ", ".join(card.without)
        raise JobError(f"{card.name} has no column {lacking}: it was imported without media, which training needs")
    component = chosen or card.model
    added = None if adapters is None else ADAPTERS.build(adapters.name, adapters.options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.derive(seed, "init"))
        module = _module(card, component, 1.0)
        if initial is not None:
            load_initial(module, initial)
        if added is not None:
            torch.manual_seed(seeds.derive(seed, "adapters"))
            added.attach(module)
    model = Model(module.to(device), TASKS.build(card.task, card=card), adapters=added)
    model.narrower = partial(_narrow_model, card, component, device)
    return model


def _narrow_model(card: Card, component: Component, device: str, width: float) -> Model:
    """Build a narrow edition of a model, its weights anything.

    Raises:
        JobError: the factory makes none.
    """
    if not _narrows(component.name):
        known = ", ".join(filter(_narrows, MODELS.names()))
        raise JobError(
            f"model {component.name!r} cannot be narrowed to {width:g} of its width: its factory has no parameter "
            f"'width_share'; those that can be are {known}"
        )
    with torch.random.fork_rng(devices=[]):
        module = _module(card, component, width)
    return Model(module.to(device), TASKS.build(card.task, card=card))


def _narrows(name: str) -> bool:
    return "width_share" in inspect.signature(MODELS.get(name)).parameters


def _module(card: Card, component: Component, width: float) -> nn.Module:
    given = {"sample_shape": card.sample_shape, "classes": outputs_of(card), "card": card, "width_share": width}
    return MODELS.build(component.name, component.options, **given)
