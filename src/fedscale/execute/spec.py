"""What a worker must know to become a `Runner`, as plain values that travel between processes."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Literal

from fedscale.core.client import Client
from fedscale.core.plugins import load_plugins
from fedscale.data.partitions import partitioned
from fedscale.data.store import open_store
from fedscale.execute.runner import Holdout, Runner
from fedscale.execute.sums import Form
from fedscale.job import InitialConf, LocalConf
from fedscale.learn.backends import build_learner
from fedscale.learn.compose import StagesConf, build_attack, build_secure, client_route
from fedscale.learn.devices import meter_of
from fedscale.learn.initial import check_content
from fedscale.learn.objectives import OBJECTIVES
from fedscale.section import Component, Section


class RunnerSpec(Section):
    """The part of a job that a worker needs.

    Attributes:
        dataset: the store to map into memory.
        partition: who has which of its samples.
        model: by name.
        objective: by name.
        client: the client's class as ``module:name``, looked up after the plugins are loaded.
        plugins: users' files.
        seed: the job's seed.
        within_client: share held out within training clients.
        weighting: how updates are weighted.
        test_on: which samples of a client tests run on: ``all``, ``training`` or ``held_out``.
        stack: clients that are trained at once; 0 for one after another.
        sample: a client to try that engine on.
        backend: the library that computes.
        device: where to compute.
        kept: updates of a round that are kept, for rules that need every one.
        states: new states that a round can have, and how many numbers a client keeps.
        own_state: how many of them the client's class keeps.
        stages: what updates pass.
        measured: whether the bytes of each update must be known, whatever the client's class.
        max_norm: of updates that are admitted.
        local: training on a client, for algorithms that train in tests.
        initial: the file of the initial weights, and its digest when the run began.
        adapters: that the model is given.
        reported: the form of what every client reports, if tasks test and train nothing.
    """

    dataset: Path
    partition: Component = Component(name="natural")
    model: Component | None
    objective: Component
    client: str
    plugins: tuple[Path, ...]
    seed: int
    within_client: float
    weighting: str
    test_on: Literal["all", "training", "held_out"] = "all"
    stack: int = 0
    sample: int = 0
    backend: str = "torch"
    device: str = "cpu"
    kept: int = 0
    states: tuple[int, int] = (0, 0)
    own_state: int = 0
    stages: StagesConf = StagesConf()
    measured: bool = False
    max_norm: float | None = None
    local: LocalConf = LocalConf()
    initial: tuple[InitialConf, str] | None = None
    adapters: Component | None = None
    reported: Form | None = None


def class_reference(client: type[Client]) -> str:
    """Return ``module:name`` of a class."""
    return f"{client.__module__}:{client.__qualname__}"


def build_runner(spec: RunnerSpec, client: type[Client] | None = None) -> Runner:
    """Build a runner in this process; ``client`` overrides the class that the spec names."""
    load_plugins(spec.plugins)
    dataset = partitioned(open_store(spec.dataset), spec.partition, spec.seed)
    meter = meter_of(spec.device, spec.backend)
    initial = None if spec.initial is None else spec.initial[0]
    if spec.initial is not None:
        check_content(*spec.initial)
    model = build_learner(spec.backend, dataset.card, spec.model, spec.seed, spec.device, initial, spec.adapters)
    program, attack = client or _look_up(spec.client), build_attack(spec.stages.attack, dataset.card)
    route = client_route(spec.stages, model, attack)
    secure = build_secure(spec.stages, model)
    built = program(OBJECTIVES.build(spec.objective.name, spec.objective.options))
    built.algorithm = route.algorithm
    return Runner(
        dataset,
        model,
        built,
        Holdout(spec.within_client, spec.seed),
        route,
        attack,
        local=spec.local,
        weighting=spec.weighting,
        test_on=spec.test_on,
        stack=spec.stack,
        sample=spec.sample,
        own_state=spec.own_state,
        measured=spec.measured or built.must_train_to_price(),
        max_norm=spec.max_norm,
        quantiser=None if secure is None else secure.quantiser,
        meter=meter,
        reported=spec.reported,
    )


def _look_up(reference: str) -> type[Client]:
    module, _, name = reference.partition(":")
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, type)
    assert issubclass(found, Client)
    return found
