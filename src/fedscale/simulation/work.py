"""What is asked of executors: how tasks are trained, whom versions are tested on, and what comes of a test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from fedscale.effort import ORDINARY, Effort
from fedscale.errors import RunError
from fedscale.execute.base import ClientSums, IntArray, Report
from fedscale.execute.sums import COUNT
from fedscale.job import LocalConf
from fedscale.learn.conf import TrainConf
from fedscale.outcomes import Fate, Outcome
from fedscale.pooled import pool
from fedscale.report.recorder import Tested
from fedscale.report.scores import metrics_of

REMEDY: Final = "the model diverges: try a lower learning rate"


@dataclass(frozen=True)
class Training:
    """How tasks are trained.

    Attributes:
        local: steps, batch size, rates.
        seed: the job's seed.
        attackers: clients that are malicious.
        train_to_price: whether uploads can be priced only after training.
        device: where clients are trained.
    """

    local: LocalConf
    seed: int
    train_to_price: bool
    device: str = "cpu"
    attackers: frozenset[int] = frozenset()

    def conf(self, task: int, client: int, version: int, effort: Effort = ORDINARY) -> TrainConf:
        """Return what the client's program is told about a task."""
        malicious = client in self.attackers
        return TrainConf.of(
            self.local, task, client, version, self.seed, self.device, malicious=malicious, effort=effort
        )


@dataclass(frozen=True)
class Testing:
    """Whom versions are tested on: the name of the split, and its clients; or that tasks do it, and train nothing.

    ``task`` is the name of the dataset's.
    """

    split: str
    clients: IntArray
    task: str
    in_tasks: bool = False


def of_tasks(outcomes: Sequence[Outcome], reports: Sequence[Report]) -> list[ClientSums]:
    """Return what completed tasks reported that test, with what is pooled in the first of them."""
    done = [outcome for outcome in outcomes if outcome.fate is Fate.COMPLETED]
    sums = [{name: value for name, value in outcome.metrics.items() if name != COUNT} for outcome in done]
    results = [ClientSums(one.client, int(one.metrics[COUNT]), own) for one, own in zip(done, sums, strict=True)]
    return [replace(results[0], pooled=pool(report.pooled for report in reports)), *results[1:]]


def summarise(results: Sequence[ClientSums], version: int, task: str) -> Tested:
    """Return the test of ``version`` as it stands in the log: sums per client, and what they give over all.

    Raises:
        RunError: a sum is not finite, clients report different sums, or nobody made a prediction.
    """
    names = {tuple(sorted(result.sums)) for result in results}
    if len(names) > 1 or not any(result.count for result in results):
        why = f"clients report different sums: {sorted(names)}" if len(names) > 1 else "nobody made a prediction"
        raise RunError(f"version {version}: the test says nothing, since {why}")
    sums = {name: [result.sums[name] for result in results] for name in results[0].sums}
    if not all(math.isfinite(value) for values in sums.values() for value in values):
        raise RunError(f"version {version}: the loss on test clients is not finite; {REMEDY}")
    count = [result.count for result in results]
    totals = pool(result.pooled for result in results)
    metrics = metrics_of({"count": count, "sums": sums, "totals": totals}, task)
    return Tested([result.client for result in results], count, sums, metrics, totals)
