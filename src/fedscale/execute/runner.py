"""What a worker does, in whichever process it lives: train and test clients, one block at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import cast

import torch
from torch import Tensor

from fedscale import seeds
from fedscale.core.client import Client, ClientSamples, TestConf, TrainConf
from fedscale.data.federated import FederatedDataset
from fedscale.data.split import held_out_rows, training_rows
from fedscale.errors import DataError
from fedscale.execute.admission import Admission, Holding, Keep, Memory, failed
from fedscale.execute.base import ClientSums, Report
from fedscale.execute.sums import Form, admitted_sums, flat_sums, pooled_sums, reports_together, together
from fedscale.job import LocalConf
from fedscale.learn.algorithms.base import tests_by_itself
from fedscale.learn.attacked import PoisonedSamples, success
from fedscale.learn.attacks.base import Attack
from fedscale.learn.devices import Meter, Usage, out_of_memory, seed_layers
from fedscale.learn.model import Learner, Model
from fedscale.learn.objectives import Corrected, Objective
from fedscale.learn.route import ClientRoute
from fedscale.learn.samples import step_count
from fedscale.learn.secure.quantise import Quantiser
from fedscale.learn.updates import WEIGHTINGS, WeightedSum
from fedscale.learn.vectorised import Assignment, Vectorised
from fedscale.outcomes import Fate

Progress = Callable[[int], None]
"""Is told at which task or client the runner is."""


@dataclass(frozen=True)
class Holdout:
    """The part of each training client's samples that is kept for testing; see `fedscale.data.split`."""

    share: float
    seed: int


class Runner:
    """Trains and tests clients with one model, one client program and one dataset.

    Args:
        dataset: of all clients.
        model: at any state.
        client: the program.
        holdout: what of each client is not trained on.
        route: what updates pass through.
        attack: what malicious clients do.
        local: training on a client; an algorithm that tests in its own way is told of it in tests.
        weighting: how updates count; see `WEIGHTINGS`.
        test_on: which samples of a client to test on: ``all``, ``training`` (those not held out) or ``held_out``.
        stack: clients that are trained at once, with the program's objective in place of its ``train``; 0 for one after
            another.
        sample: a client to try the engine on.
        measured: whether the bytes of each update must be known.
        own_state: numbers that the client's class keeps between tasks.
        max_norm: of updates that are admitted.
        quantiser: makes whole numbers of updates, where their sum is to be exact.
        meter: of the device, if it has one.
        reported: the form of what every client reports, if tasks test and train nothing.

    Attributes:
        exact: whether sums are.
        alone: whether the device is this runner's alone. Then fewer clients are trained at once when memory is not
            enough, and a single one fails. Otherwise the error is raised, since others may make room.
    """

    def __init__(
        self,
        dataset: FederatedDataset,
        model: Learner,
        client: Client,
        holdout: Holdout,
        route: ClientRoute,
        attack: Attack | None = None,
        *,
        local: LocalConf | None = None,
        weighting: str,
        test_on: str = "all",
        stack: int = 0,
        sample: int = 0,
        own_state: int = 0,
        measured: bool = False,
        max_norm: float | None = None,
        quantiser: Quantiser | None = None,
        meter: Meter | None = None,
        reported: Form | None = None,
    ) -> None:
        self.alone = True
        self.exact = quantiser is not None
        self._meter = meter
        self._dataset = dataset
        self._model = model
        self._given = cast(Model, model)  # what hooks are promised; with another library it is that library's
        self._client = client
        self._objective = client.objective
        self._holdout = holdout
        self._route = route
        self._attack = attack
        self._local = local if tests_by_itself(route.algorithm) else None
        self._holding = Holding(route.layout.kept, own_state)
        self._admission = Admission(
            client, route, WEIGHTINGS[weighting], self._holding, max_norm, quantiser, measured=measured
        )
        self._engines: dict[float, Vectorised] = {}
        self._test_on = test_on
        self._reported = reported
        self._stack = stack
        if isinstance(model, Model):
            narrow = {width: one.model for width, one in route.algorithm.narrow.items()}
            self._prepare({1.0: model, **narrow}, self._training_samples(sample))

    def _prepare(self, models: Mapping[float, Model], sample: ClientSamples) -> None:
        """Make ready to train models of each width, on a trial with some samples."""
        if self._stack:
            self._engines = {
                width: Vectorised(model, self._client.objective, sample) for width, model in models.items()
            }
            return
        for batch in islice(sample.in_order(2), 1):
            for model in models.values():
                model.let_step(*batch)
        if self._route.algorithm.private is not None:
            self._route.algorithm.private.prepare(models[1.0], sample)

    def train(
        self,
        vector: Tensor,
        tasks: Sequence[TrainConf],
        progress: Progress,
        keep: Keep | None = None,
        memory: Memory | None = None,
    ) -> tuple[list[Report], WeightedSum]:
        """Train a block of tasks from ``vector``; return their reports and the weighted sum of admitted updates."""
        self._admission.keep, self._admission.memory = keep, memory
        self._dataset.prefetch([conf.client for conf in tasks])
        vector = vector.to(self._model.vector.device)
        total = WeightedSum(len(vector), vector.device, exact=self.exact)
        if self._reported is not None:
            reports = reports_together(self._test_alone(vector, conf, self._reported, progress) for conf in tasks)
        elif not self._engines or not tasks:
            reports = [self._train_alone(vector, conf, total, progress) for conf in tasks]
        else:
            # Poisoned batches cannot be read for a block of clients at once.
            honest = [conf for conf in tasks if not conf.malicious]
            reports = [self._train_alone(vector, conf, total, progress) for conf in tasks if conf.malicious]
            for width, engine in self._engines.items():
                alike = [conf for conf in honest if conf.width == width]
                reports += self._train_in_stacks(engine, vector, alike, total, progress)
        return reports, total.on_cpu()

    def upload_sizes(
        self, vector: Tensor, tasks: Sequence[TrainConf], progress: Progress, memory: Memory | None = None
    ) -> dict[int, int]:
        """Train a block of tasks and return the bytes that each sends, by task; 0 for one that fails."""
        reports, _ = self.train(vector, tasks, progress, memory=memory)
        return {report.task: report.size for report in reports}

    def test(
        self,
        vector: Tensor,
        clients: Sequence[int],
        version: int,
        progress: Progress,
        memory: Memory | None = None,
    ) -> list[ClientSums]:
        """Test a block of clients on the model ``vector``."""
        self._admission.memory = memory
        self._dataset.prefetch(clients)
        vector = vector.to(self._model.vector.device)
        self._model.load(vector[: self._route.layout.length])
        results = []
        for client in clients:
            progress(client)
            samples = self._test_samples(client)
            if self._local is not None:
                self._prepare_own_test(samples, vector, client, version, self._local)
            results.append(self._sums(samples, TestConf(client, version)))
        return together(results)

    def report(self, vector: Tensor, client: int) -> ClientSums:
        """Return what a task of ``client`` reports if tasks test."""
        self._model.load(vector[: self._route.layout.length])
        return self._sums(self._test_samples(client), TestConf(client, 0))

    def _sums(self, samples: ClientSamples, conf: TestConf) -> ClientSums:
        result = self._client.test(samples, self._given, conf)
        sums = flat_sums(result.sums)
        if self._attack is not None and isinstance(self._model, Model):
            sums |= success(self._model, self._attack, samples.in_order(conf.batch_size))
        return ClientSums(conf.client, int(result.count), sums, pooled_sums(result.sums))

    def _train_alone(self, vector: Tensor, conf: TrainConf, total: WeightedSum, progress: Progress) -> Report:
        def work() -> Report:
            samples = self._task_samples(conf, vector)
            model = self._loaded(vector, conf.width)
            self._client.objective = self._corrected(samples)
            # Layers that draw (dropout) use torch's own generator; the stream of the task makes them repeatable.
            seed_layers(vector.device, seeds.derive(conf.seed, "layers", conf.task))
            result = self._client.train(samples, model, conf)
            with torch.no_grad():
                return self._admission.one(result, samples, conf, total)

        return self._guarded(work, vector, conf, progress)

    def _test_alone(self, vector: Tensor, conf: TrainConf, form: Form, progress: Progress) -> Report:
        def work() -> Report:
            seed_layers(vector.device, seeds.derive(conf.seed, "layers", conf.task))
            return admitted_sums(conf.task, self.report(vector, conf.client), form)

        return self._guarded(work, vector, conf, progress)

    def _guarded(self, work: Callable[[], Report], vector: Tensor, conf: TrainConf, progress: Progress) -> Report:
        """Do the work of one task; an error of its own is its fate, and not that of the run."""
        progress(conf.task)
        try:
            return work()
        except DataError:
            raise
        except (Exception, SystemExit) as error:
            if not out_of_memory(error):
                return failed(conf.task, error)
            if not self.alone:
                raise
        self._release()  # only now, since the error kept alive what it came from
        return _too_large(conf.task, vector.device)

    def _loaded(self, vector: Tensor, width: float) -> Model:
        """Return the model of this width, as the server sends it."""
        vector = vector[: self._route.layout.length]
        narrow = self._route.algorithm.narrow.get(width)
        if narrow is None:
            self._model.load(vector)
            return self._given
        narrow.model.load(narrow.cut(vector))
        return narrow.model

    def _train_in_stacks(
        self, engine: Vectorised, vector: Tensor, tasks: Sequence[TrainConf], total: WeightedSum, progress: Progress
    ) -> list[Report]:
        reports: list[Report] = []
        while len(reports) < len(tasks):
            stack = tasks[len(reports) : len(reports) + self._stack]
            reports += self._train_together(engine, vector, stack, total, progress)
        return reports

    def _train_together(
        self, engine: Vectorised, vector: Tensor, tasks: Sequence[TrainConf], total: WeightedSum, progress: Progress
    ) -> list[Report]:
        progress(tasks[0].task)
        try:
            block = [self._assignment(conf, vector) for conf in tasks]
            narrow = self._route.algorithm.narrow.get(tasks[0].width)
            start = vector[: self._route.layout.length]
            deltas = engine.train(narrow.cut(start) if narrow else start, block, self._route.pull)
        except DataError:
            raise
        except Exception as error:
            exhausted = out_of_memory(error)
            if exhausted and not self.alone:
                raise
            if len(tasks) == 1 and not exhausted:
                return [failed(tasks[0].task, error)]
        else:
            with torch.no_grad():
                return self._admission.block(deltas, block, total)
        # Only now, since the error kept alive what it came from.
        if not exhausted:  # something is wrong with one of them: find out with whom
            return [
                report for conf in tasks for report in self._train_together(engine, vector, [conf], total, progress)
            ]
        engine.release()
        self._release()
        if len(tasks) == 1:
            return [_too_large(tasks[0].task, vector.device)]
        self._stack = len(tasks) // 2
        return self._train_in_stacks(engine, vector, tasks, total, progress)

    def usage(self) -> Usage | None:
        """Return what is taken of the device's memory, if it has a meter."""
        return None if self._meter is None else self._meter.usage()

    def _release(self) -> None:
        if self._meter is not None:
            self._meter.release()

    def _assignment(self, conf: TrainConf, vector: Tensor) -> Assignment:
        samples = self._task_samples(conf, vector)
        return Assignment(samples, conf, self._route.correction(samples.visits))

    def _corrected(self, samples: ClientSamples) -> Objective:
        """Return the job's objective with what the algorithm adds to it for a task."""
        correction = self._route.correction(samples.visits)
        if correction is None:
            return self._objective
        assert isinstance(self._model, Model)
        return Corrected(self._objective, self._model.views(correction), self._route.pull)

    def _task_samples(self, conf: TrainConf, vector: Tensor) -> ClientSamples:
        """Return the samples of a task, with what the stages know of it where they do anything."""
        samples = self._training_samples(conf.client)
        if self._route.trivial:
            return samples
        kept, own = self._holding.apart(samples.state)
        visits = self._route.visits(conf, step_count(len(samples), conf), len(samples), vector, kept)
        if conf.malicious and self._attack is not None:
            return PoisonedSamples(samples.data, self._model.task, own, visits, self._attack, conf)
        return ClientSamples(samples.data, self._model.task, own, visits)

    def _training_samples(self, client: int) -> ClientSamples:
        data = self._dataset.client(client)
        if self._holdout.share:
            data = data.take(training_rows(len(data), self._holdout.share, self._holdout.seed, client))
        return ClientSamples(data, self._model.task, self._state(client))

    def _test_samples(self, client: int) -> ClientSamples:
        data = self._dataset.client(client)
        if self._test_on != "all" and self._holdout.share:
            rows = held_out_rows if self._test_on == "held_out" else training_rows
            data = data.take(rows(len(data), self._holdout.share, self._holdout.seed, client))
        return ClientSamples(data, self._model.task, self._holding.apart(self._state(client))[1])

    def _prepare_own_test(
        self, samples: ClientSamples, vector: Tensor, client: int, version: int, local: LocalConf
    ) -> None:
        """Say what the algorithm's own test may know; it may have changed the model for the client before."""
        self._model.load(vector[: self._route.layout.length])
        training, device = self._training_samples(client), str(vector.device)
        conf = TrainConf.of(
            local, -1, client, version, seeds.derive(self._holdout.seed, "test", version, client), device
        )
        kept, _ = self._holding.apart(training.state)
        samples.training = ClientSamples(training.data, self._model.task)
        samples.visits = self._route.visits(conf, step_count(len(training), conf), len(training), vector, kept)
        seed_layers(vector.device, seeds.derive(conf.seed, "layers", conf.task))

    def _state(self, client: int) -> Tensor | None:
        memory = self._admission.memory
        return None if memory is None else memory.places.read(client)


def _too_large(task: int, device: torch.device) -> Report:
    why = f"it does not fit into the memory of the device ({device.type}), even alone: try a smaller local.batch_size"
    return Report(task, fate=Fate.FAILED, why=why)
