"""What a worker does, in whichever process it lives: train and test clients, one block at a time."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fedscale import seeds
from fedscale.core.client import Client, ClientSamples, TestConf, TrainConf
from fedscale.data.federated import FederatedDataset
from fedscale.data.split import held_out_rows, training_rows
from fedscale.execute.base import ClientSums, Report
from fedscale.learn.model import Model
from fedscale.learn.tasks import Task
from fedscale.learn.updates import WEIGHTINGS, TrainResult, WeightedSum, refusal
from fedscale.outcomes import Fate

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Holdout:
    """The part of each training client's samples that is kept for testing; see `fedscale.data.split`."""

    share: float
    seed: int


class Runner:
    """Trains and tests clients with one model, one client program and one dataset."""

    def __init__(
        self,
        dataset: FederatedDataset,
        model: Model,
        task: Task,
        client: Client,
        holdout: Holdout,
        *,
        weighting: str,
        test_held_out: bool,
    ) -> None:
        self._dataset = dataset
        self._model = model
        self._task = task
        self._client = client
        self._measured = client.must_train_to_price()
        self._holdout = holdout
        self._weight = WEIGHTINGS[weighting]
        self._test_held_out = test_held_out

    def train(self, vector: Tensor, tasks: Sequence[TrainConf], progress: Progress) -> tuple[list[Report], WeightedSum]:
        """Train a block of tasks from ``vector``; return their reports and the weighted sum of admitted updates."""
        total = WeightedSum(len(vector))
        reports = []
        for conf in tasks:
            progress(conf.task)
            result, report = self._train_one(vector, conf)
            if result is not None:
                total.add(result.delta.detach(), report.weight)
            reports.append(report)
        return reports, total

    def upload_sizes(self, vector: Tensor, tasks: Sequence[TrainConf], progress: Progress) -> list[int]:
        """Train a block of tasks and return the bytes that each sends; 0 for one that fails."""
        sizes = []
        for conf in tasks:
            progress(conf.task)
            _, report = self._train_one(vector, conf)
            sizes.append(report.size)
        return sizes

    def test(self, vector: Tensor, clients: Sequence[int], version: int, progress: Progress) -> list[ClientSums]:
        """Test a block of clients on the model ``vector``."""
        self._model.load(vector)
        results = []
        for client in clients:
            progress(client)
            result = self._client.test(self._test_samples(client), self._model, TestConf(client, version))
            sums = {str(name): _plain(value) for name, value in result.sums.items()}
            results.append(ClientSums(client, int(result.count), sums))
        return results

    def _train_one(self, vector: Tensor, conf: TrainConf) -> tuple[TrainResult | None, Report]:
        samples = self._training_samples(conf.client)
        self._model.load(vector)
        # Layers that draw (dropout) use torch's own generator; the stream of the task makes them repeatable.
        # (torch.manual_seed would do this for every kind of device, which costs more than a small client's step.)
        torch.default_generator.manual_seed(seeds.derive(conf.seed, "layers", conf.task))
        try:
            result = self._client.train(samples, self._model, conf)
            with torch.no_grad():
                return self._admit(result, conf.task, samples)
        except (Exception, SystemExit) as error:
            return None, Report(conf.task, fate=Fate.FAILED, why=_describe(error), trace=traceback.format_exc())

    def _admit(self, result: TrainResult, task: int, samples: ClientSamples) -> tuple[TrainResult | None, Report]:
        if why := refusal(result, len(self._model.vector)):
            return None, Report(task, fate=Fate.REJECTED, why=why)
        # A task whose result cannot be sent fails, whether it is trained to be priced or to be folded.
        size = memoryview(self._client.serialize_results(result)).nbytes if self._measured else 0
        metrics = {str(name): float(value) for name, value in result.metrics.items()}
        return result, Report(task, self._weight(len(samples)), float(result.loss), metrics, size=size)

    def _training_samples(self, client: int) -> ClientSamples:
        data = self._dataset.client(client)
        if self._holdout.share:
            data = data.take(training_rows(len(data), self._holdout.share, self._holdout.seed, client))
        return ClientSamples(data, self._task)

    def _test_samples(self, client: int) -> ClientSamples:
        data = self._dataset.client(client)
        if self._test_held_out:
            data = data.take(held_out_rows(len(data), self._holdout.share, self._holdout.seed, client))
        return ClientSamples(data, self._task)


def _plain(value: Any) -> Any:
    """Turn the scalar of an array library into Python's own."""
    return value.item() if hasattr(value, "item") else value


def _describe(error: BaseException) -> str:
    """Name an error in one line of UTF-8, without memory addresses, which would differ from run to run."""
    text = str(error).encode(errors="backslashreplace").decode()
    lines = re.sub(r"0x[0-9a-fA-F]+", "0x…", text).splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
