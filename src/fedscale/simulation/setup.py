"""From a job to the parts of a run. Each part is given what concerns it; nobody receives the whole job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from torch import Tensor

from fedscale.core.aggregator import Aggregator
from fedscale.core.assignments import ASSIGNMENTS, whole
from fedscale.core.client import Client
from fedscale.core.client_manager import ClientManager
from fedscale.core.plugins import Plugins, load_plugins
from fedscale.core.staleness import STALENESS
from fedscale.data.catalogue import open_data
from fedscale.data.federated import ClientData, FederatedDataset
from fedscale.data.split import Split, held_out_counts, split_clients
from fedscale.errors import JobError, nearest
from fedscale.evaluation import TestingConf
from fedscale.execute.admission import Holding
from fedscale.execute.base import IntArray
from fedscale.execute.spec import RunnerSpec, build_runner, class_reference
from fedscale.execute.sums import Form
from fedscale.files import digest
from fedscale.job import AsyncConf, Job, LocalConf, RoundsConf
from fedscale.learn.algorithms.base import own_training
from fedscale.learn.attacks.members import malicious
from fedscale.learn.compose import (
    StagesConf,
    build_attack,
    build_rule,
    build_secure,
    client_route,
    server_route,
)
from fedscale.learn.engines import EngineChoice, choose_engine
from fedscale.learn.model import Learner, Model
from fedscale.learn.objectives import OBJECTIVES, Corrected
from fedscale.learn.route import ClientRoute
from fedscale.learn.samples import ClientSamples
from fedscale.learn.secure.bonawitz import Bonawitz
from fedscale.learn.updates import WEIGHTINGS
from fedscale.select import SELECTORS
from fedscale.select.base import NoOutlook, Outlook, Selector
from fedscale.select.uniform import Uniform
from fedscale.simulation.adapted import initial_models, learner, work_share
from fedscale.simulation.efforts import check_widths
from fedscale.simulation.loads import Loads, build_loads
from fedscale.simulation.outlook import TraceOutlook
from fedscale.simulation.pace import build_pace, check_pacing
from fedscale.simulation.policies import policy
from fedscale.simulation.pricing import Pricer
from fedscale.simulation.testing import (
    TEST_ON,
    check_only_tests,
    form_reported,
    needed,
    participants_of,
    test_clients,
    test_loads,
    test_samples,
)
from fedscale.simulation.versions import Buffer
from fedscale.traces.population import Population, build_population


@dataclass(frozen=True)
class Parts:
    """The parts of a run that do not depend on where it is written.

    Attributes:
        dataset: opened.
        split: of its clients.
        participants: clients that may be selected.
        samples: of every client that a task is about: those that are not held out, if it trains.
        test_clients: on whom versions are tested.
        population: devices and slots of every client.
        model: at its initial weights, on the CPU.
        initial: the initial models of all clusters; mostly there is one, and it is that model's vector.
        engine: that trains clients.
        plugins: the classes to run with.
        route: what updates pass on clients.
        holding: what each client keeps between tasks.
        loads: what tasks move and compute.
        attackers: training clients that are malicious.
        work: what training computes, as a share of training without adapters.
        secure: hides single updates from the server, if the job says so.
        local: what tasks do.
        rounds: when a round starts, ends and counts.
        reported: the form of what tasks report that test and train nothing.
    """

    dataset: FederatedDataset
    split: Split
    participants: IntArray
    samples: IntArray
    test_clients: IntArray
    population: Population
    model: Learner
    initial: Tensor
    engine: EngineChoice
    plugins: Plugins
    route: ClientRoute
    holding: Holding
    loads: Loads
    attackers: frozenset[int]
    work: float
    local: LocalConf
    rounds: RoundsConf
    secure: Bonawitz | None = None
    reported: Form | None = None

    @property
    def tested(self) -> bool:
        """Whether tasks test, and train nothing."""
        return self.reported is not None

    @property
    def measured(self) -> bool:
        """Whether the bytes of an upload are known only after training."""
        return any(load.bytes_up is None for load in self.loads.values())

    @property
    def length(self) -> int:
        """Numbers of what travels each way: the vector of all models, and what the stages have behind it."""
        return len(self.initial) + self.route.layout.extra


def prepare(job: Job, classes: Mapping[str, type[Any]]) -> Parts:
    """Load the data and build everything that the job names; whatever is wrong with the job is found here.

    Args:
        job: the experiment.
        classes: ``client``, ``client_manager``, ``aggregator`` given in Python; they come before those of plugin files.
    """
    plugins = _plugins(job, classes)
    if job.asynchronous is not None:
        buffer(job.asynchronous, 0)
    _check_single(job, plugins.aggregator)
    selector(job, NoOutlook(0))
    dataset = open_data(job.data, job.seed)
    split = split_clients(dataset.counts, job.data, job.seed)
    held_out = held_out_counts(dataset.counts, split.within_client)
    model, sample = learner(job, dataset.card), dataset.client(int(split.train[0]))
    samples = dataset.counts - held_out
    conf = stages_conf(job, samples[split.train], plugins)
    route = client_route(conf, model, build_attack(job.attack, dataset.card))
    route.algorithm.check(job.local)
    server_route(conf, job.server, model, job.seed)
    check_widths(job, plugins.client_manager, route)
    secure = build_secure(conf, model)
    if secure is not None:
        _check_secure(job, plugins)
    own = 0 if job.dry_run else _state_length(plugins.client, model)
    tested_on = test_clients(dataset, split, held_out, job)
    _check_models(job, route, tested=len(tested_on) > 0)
    loads = build_loads(job, model, plugins.client, route, sample, secure)
    check_pacing(job, plugins.client, loads)
    parts = Parts(
        dataset=dataset,
        split=split,
        participants=split.train,
        samples=samples,
        test_clients=tested_on,
        population=build_population(len(dataset), job.devices, job.availability, job.seed),
        model=model,
        initial=initial_models(job, dataset.card, model, route.layout.clusters, alike=route.algorithm.alike),
        engine=choose(job, model, sample, plugins.client, route),
        plugins=plugins,
        route=route,
        holding=Holding(0 if job.dry_run else route.layout.kept, own),
        loads=loads,
        secure=secure,
        attackers=frozenset(malicious(split.train, job.attack.fraction, job.seed).tolist()),
        work=work_share(job, dataset.card, model, sample),
        local=job.local,
        rounds=job.rounds,
    )
    return parts if job.testing is None else _only_tested(job, job.testing, parts)


def _only_tested(job: Job, conf: TestingConf, parts: Parts) -> Parts:
    """Return the parts of a run whose tasks test: everything but the training of ``parts``."""
    check_only_tests(job)
    counts = test_samples(parts.dataset, parts.dataset.counts - parts.samples, job)
    participants = participants_of(parts.split, counts, job)
    rounds = job.rounds.model_copy(update={"participants": needed(job.evaluate, counts[participants], job.rounds)})
    parts = replace(
        parts,
        participants=participants,
        samples=counts,
        holding=Holding(),
        local=job.local.model_copy(update={"steps": None, "epochs": 1}),  # every sample once
        rounds=rounds,
    )
    runner = build_runner(runner_spec(job, parts).model_copy(update={"device": "cpu"}), parts.plugins.client)
    form = form_reported(runner, parts.initial, int(participants[0]))
    return replace(parts, reported=form, loads=test_loads(conf, parts.loads, form.numbers))


def _check_models(job: Job, route: ClientRoute, *, tested: bool) -> None:
    """See to it that an algorithm's models can be measured, and moved by asynchronous rounds."""
    name = job.algorithm.name
    if route.algorithm.personal and tested and job.evaluate.split != "held_out":
        raise JobError(
            f"algorithm {name!r} makes models for training clients: set evaluate.split to held_out and "
            "data.split.within_client above 0, so that these are measured"
        )
    drawn = job.asynchronous is not None and job.asynchronous.apply == "models"
    if drawn and route.layout.clusters > 1:
        raise JobError(
            f"asynchronous.apply: models would draw all models of algorithm {name!r} towards each client's: take deltas"
        )


def stages_conf(job: Job, samples: IntArray, plugins: Plugins) -> StagesConf:
    """Return what a job says of the way of updates; ``samples`` are those of the clients that may take part."""
    weight = WEIGHTINGS[job.rounds.weighting]
    return StagesConf(
        algorithm=job.algorithm,
        privacy=job.privacy,
        compression=job.compression,
        levels=() if job.pacing is None else job.pacing.compression,
        attack=job.attack,
        aggregation=job.aggregation,
        local=job.local,
        clients=len(samples),
        participants=job.rounds.participants,
        rounds=job.rounds.count,
        weighting=job.rounds.weighting,
        synchronous=job.asynchronous is None and job.rounds.stale is None,
        blind=_blind(job),
        sampled=_sampled(job, plugins.client_manager),
        secure_aggregation=job.secure_aggregation,
        selected=policy(job.rounds, job.evaluate).wanted,
        most_weight=weight(int(samples.max(initial=1))),
    )


def _blind(job: Job) -> bool:
    """Say whether what clients returned makes no difference to who is selected; see `Memoryless`."""
    return bool(getattr(selector(job, NoOutlook(0)), "blind", False))


def _sampled(job: Job, manager: type[ClientManager]) -> bool:
    """Say whether the updates of every version are those of a uniform sample of fixed size of all clients.

    They are not where some are offline or slow: the first N finishers are no such sample, nor those in time.
    """
    rounds = policy(job.rounds, job.evaluate)
    exact = rounds.wanted == rounds.participants and rounds.deadline is None
    always = job.availability.source == "none"
    return exact and always and SELECTORS.get(job.selector.name) is Uniform and manager is ClientManager


def _plugins(job: Job, classes: Mapping[str, type[Any]]) -> Plugins:
    known = vars(load_plugins(job.plugins))
    for name in classes:
        if name not in known:
            raise JobError(f"no class can be given for {name!r}: {nearest(name, known)}")
    return Plugins(**{**known, **classes})


def _state_length(client: type[Client], model: Learner) -> int:
    length = client.state_length(cast(Model, model))  # what hooks are promised; see `Runner`
    if not isinstance(length, int) or length < 0:
        raise JobError(f"{client.__name__}.state_length returned {length!r}: it is a whole number, 0 or more")
    return length


def _check_secure(job: Job, plugins: Plugins) -> None:
    client, aggregator = plugins.client, plugins.aggregator
    for undone, why in (
        (
            job.rounds.max_norm is not None,
            "no server can measure an update that it does not see: leave out rounds.max_norm",
        ),
        (aggregator.needs_updates, f"{aggregator.__name__} needs every single update, which is hidden"),
        (
            client.must_train_to_price(),
            f"{client.__name__} has its own serialize_results: masked vectors are all alike",
        ),
    ):
        if undone:
            raise JobError(f"secure_aggregation {job.secure_aggregation.name!r}: {why}")


def _check_single(job: Job, aggregator: type[Aggregator]) -> None:
    """See to it that every single update is wanted only where each can be had."""
    by_rule = build_rule(job.aggregation).needs_updates
    drawn = job.asynchronous is not None and job.asynchronous.apply == "models"
    if (drawn or job.rounds.stale) and (aggregator.needs_updates or by_rule):
        where = "asynchronous.apply: models" if drawn else "rounds.stale"
        name = f"aggregation {job.aggregation.name!r}" if by_rule else aggregator.__name__
        raise JobError(f"{where}: {name} needs every single update: leave one of them out")


def choose(job: Job, model: Learner, sample: ClientData, client: type[Client], route: ClientRoute) -> EngineChoice:
    """Choose the engine that trains the job's clients; ``sample`` are the data of any of them."""
    objective = OBJECTIVES.build(job.local.objective.name, job.local.objective.options)
    model.check_objective(objective)
    if job.dry_run or job.testing is not None:
        return EngineChoice("plain", 0, f"nothing is trained in {'a dry run' if job.dry_run else 'tests'}")
    own_train = None if client.train is Client.train else client.__name__
    if own_train is not None and route.algorithm.private is not None:
        raise JobError(f"local.private: {own_train} trains in a way of its own: leave one of them out")
    own_train = own_train or own_training(route.algorithm)
    if route.corrects and isinstance(model, Model):
        objective = Corrected(objective, [])
    return choose_engine(job.engine, model, objective, ClientSamples(sample, model.task), own_train, job.device)


def buffer(conf: AsyncConf, single: int) -> Buffer:
    """Build what combines results of different versions, with each of so many ``single`` ones if there are any."""
    discount = STALENESS.build(conf.staleness.name, conf.staleness.options)
    mixing = conf.mixing if conf.apply == "models" else None
    return Buffer(discount, damping=conf.damping, mixing=mixing, single=single)


def pricer(job: Job, parts: Parts) -> Pricer:
    """Build what prices the tasks of the job."""
    factor = job.cost.compute_factor * parts.work if job.testing is None else job.testing.forwards
    work = partial(parts.route.algorithm.forwards, factor=factor)
    return Pricer(parts.population, parts.samples, parts.local, work, parts.loads)


def selector(job: Job, outlook: Outlook) -> Selector:
    """Build the selector; it is given what its factory has parameters for."""
    given = {"outlook": outlook, "round_deadline": job.rounds.deadline}
    return SELECTORS.build(job.selector.name, job.selector.options, **given)


def manager(job: Job, parts: Parts) -> ClientManager:
    """Build the client manager over those who may take part."""
    clients, prices = parts.participants, pricer(job, parts)
    paced = TraceOutlook(parts.population, prices, build_pace(job, clients, prices))
    algorithm, chosen, outlook = parts.route.algorithm, selector(job, paced), TraceOutlook(parts.population, prices)
    given: dict[str, Any] = {"widths": algorithm.widths, "clients": clients, "outlook": outlook, "seed": job.seed}
    assign = ASSIGNMENTS.build(algorithm.assign, **given) if algorithm.narrow else whole
    return parts.plugins.client_manager(parts.population, clients, chosen, job.seed, algorithm.widths, assign, outlook)


def aggregator(job: Job, parts: Parts) -> Aggregator:
    """Build the aggregator at the initial model."""
    conf = stages_conf(job, parts.samples[parts.split.train], parts.plugins)
    server = server_route(conf, job.server, parts.model, job.seed)
    return parts.plugins.aggregator(parts.initial.clone(), parts.model.parameters, server)


def runner_spec(job: Job, parts: Parts) -> RunnerSpec:
    """Return what those must know who train and test the job's clients."""
    return RunnerSpec(
        dataset=parts.dataset.path,
        partition=job.data.partition,
        model=job.model,
        objective=job.local.objective,
        client=class_reference(parts.plugins.client),
        plugins=job.plugins,
        seed=job.seed,
        within_client=parts.split.within_client,
        weighting=job.rounds.weighting,
        test_on=TEST_ON[job.evaluate.split],
        stack=parts.engine.stack,
        sample=int(parts.split.train[0]),
        backend=job.backend,
        device=job.device,
        kept=single(job, parts),
        states=(job.rounds.participants, parts.holding.length),
        own_state=parts.holding.own,
        stages=stages_conf(job, parts.samples[parts.split.train], parts.plugins),
        measured=parts.measured,
        max_norm=job.rounds.max_norm,
        local=job.local,
        initial=None if job.initial is None else (job.initial, digest(job.initial.weights)),
        adapters=job.adapters,
        reported=parts.reported,
    )


def single(job: Job, parts: Parts) -> int:
    """Return how many updates are kept one by one, if every single one of a version is wanted, else 0."""
    if parts.tested:  # tasks make no updates
        return 0
    masked = parts.secure is not None and parts.secure.masks
    wanted = masked or parts.plugins.aggregator.needs_updates or build_rule(job.aggregation).needs_updates
    return job.rounds.participants if wanted or job.rounds.stale else 0
