"""Whom versions are tested on, and jobs that test only: who takes part, with which weights, and what that moves."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal

import numpy as np
from torch import Tensor

from fedscale import seeds
from fedscale.data.federated import FederatedDataset
from fedscale.data.split import Split
from fedscale.errors import FedScaleError, JobError
from fedscale.evaluation import TestingConf
from fedscale.execute.admission import describe
from fedscale.execute.base import IntArray
from fedscale.execute.runner import Runner
from fedscale.execute.sums import COUNT, Form
from fedscale.job import EvaluateConf, Job, RoundsConf
from fedscale.section import Component
from fedscale.select.testing import participants_needed
from fedscale.simulation.loads import Loads

TEST_ON: Final[dict[str, Literal["all", "training", "held_out"]]] = {
    "test": "all",
    "validation": "all",
    "held_out": "held_out",
    "train": "training",
}
"""Which samples of their clients the splits are about."""

REPORTED_BYTES: Final = 8
"""Of each number that a participant reports."""


def test_clients(dataset: FederatedDataset, split: Split, held_out: IntArray, job: Job) -> IntArray:
    """Return on whom versions are tested: nobody if the job's own share for them is 0, or if tasks do it or nobody."""
    counts = test_samples(dataset, held_out, job)
    if job.dry_run or job.testing is not None:
        return _group(split, counts, job)[:0]
    clients = _group(split, counts, job)
    return _drawn(clients, _limit(job.evaluate, counts[clients]), job.seed)


def test_samples(dataset: FederatedDataset, held_out: IntArray, job: Job) -> IntArray:
    """Return how many samples every client has to be tested on."""
    counts = {"all": dataset.counts, "training": dataset.counts - held_out, "held_out": held_out}
    return counts[TEST_ON[job.evaluate.split]]


def check_only_tests(job: Job) -> None:
    """See to it that a job without training asks for nothing that needs it, or that its statistics would break.

    Raises:
        JobError: it does.
    """
    usual = Component(name="fedavg")
    if job.algorithm != usual:
        raise JobError(f"testing: algorithm {job.algorithm.name!r} says how clients train: set it to {usual.name}")
    if job.privacy.name != "none":
        raise JobError(f"testing: privacy {job.privacy.name!r} hides updates, not what tests report: set it to none")
    if job.secure_aggregation.name != "none" or job.local.private is not None:
        raise JobError(
            "testing: secure_aggregation and local.private hide updates, not what tests report: leave them out"
        )


def participants_of(split: Split, counts: IntArray, job: Job) -> IntArray:
    """Return the clients that may be asked to test; at most ``evaluate.max_clients``."""
    clients = _group(split, counts, job)
    return _drawn(clients, job.evaluate.max_clients or len(clients), job.seed)


def needed(evaluate: EvaluateConf, counts: IntArray, rounds: RoundsConf) -> int:
    """Return how many tests make a round: what ``evaluate.deviation`` needs, or else ``rounds.participants``."""
    return rounds.participants if evaluate.deviation is None else _limit(evaluate, counts)


def form_reported(runner: Runner, vector: Tensor, client: int) -> Form:
    """Return the form of what participants report, which is that of what ``client`` reports.

    Raises:
        JobError: its test fails, or reports nothing, or something called as the number of predictions is.
    """
    try:
        form = Form.of(runner.report(vector, client))
    except FedScaleError:
        raise
    except Exception as error:
        raise JobError(f"testing: a trial on client {client} failed: {describe(error)}") from error
    names = [*form.sums, *form.places]
    if not form.sums or COUNT in names:
        raise JobError(f"testing: the sums of a test are {names}: give at least one, and none called {COUNT!r}")
    return form


def test_loads(conf: TestingConf, training: Loads, reported: int) -> Loads:
    """Return what a task moves that tests: down the model, unless it is not sent, and up numbers and their count.

    Counts of which only the total is wanted go up whole, zeros too: how many are not 0 is not known before the test.
    """
    whole = training[1.0, 0]
    down = whole.bytes_down if conf.download else 0
    return {(1.0, 0): replace(whole, bytes_down=down, bytes_up=REPORTED_BYTES * (reported + 1))}


def _group(split: Split, counts: IntArray, job: Job) -> IntArray:
    groups = {
        "test": (split.test, "data.split.test"),
        "validation": (split.validation, "data.split.validation"),
        "held_out": (split.train[counts[split.train] > 0], "data.split.within_client"),
        "train": (split.train, "data.split.train"),
    }
    clients, share = groups[job.evaluate.split]
    unwanted = job.evaluate.split == "test" and job.data.split.test == 0 and job.testing is None
    if len(clients) == 0 and not unwanted:
        raise JobError(f"evaluate.split: there is nobody in {job.evaluate.split!r}: raise {share}, or use more clients")
    return clients


def _drawn(clients: IntArray, limit: int, seed: int) -> IntArray:
    if limit < len(clients):
        clients = np.sort(seeds.rng(seed, "evaluate").choice(clients, limit, replace=False))
    return clients


def _limit(evaluate: EvaluateConf, counts: IntArray) -> int:
    """Return on how many clients to test, of those that have ``counts`` samples to be tested on."""
    if evaluate.max_clients is not None:
        return evaluate.max_clients
    if evaluate.deviation is None or evaluate.confidence is None or not len(counts):
        return len(counts)
    least, most = int(counts.min()), int(counts.max())
    if least == most:
        return 1
    return participants_needed(evaluate.deviation * (most - least), evaluate.confidence, least, most, len(counts))
