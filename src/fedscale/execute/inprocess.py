"""The executor without workers: everything in this process."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from fedscale.execute.base import TEST_BLOCK, ClientSums, IntArray, Testing, Trained, blocks
from fedscale.execute.plan import Fold, Planner
from fedscale.execute.runner import Runner
from fedscale.learn.conf import TrainConf


def _unwatched(item: int) -> None:
    """Nobody watches the progress within a process."""


class InProcess:
    """Runs block after block, in order. The caller sees to it that torch computes on `one_thread`, as workers do."""

    def __init__(self, runner: Runner, planner: Planner) -> None:
        self._runner = runner
        self._planner = planner

    def train(self, vector: Tensor, tasks: Sequence[TrainConf]) -> Trained:
        """Train and fold; see `Executor.train`."""
        reports, fold = [], Fold(len(vector))
        for block in self._planner.blocks(tasks):
            done, part = self._runner.train(vector, block, _unwatched)
            reports += done
            fold.add(part.total, part.weight)
        total = fold.result()
        return Trained(sorted(reports, key=lambda report: report.task), total.total, total.weight)

    def upload_sizes(self, vector: Tensor, tasks: Sequence[TrainConf]) -> list[int]:
        """Train and measure; see `Executor.upload_sizes`."""
        sizes: dict[int, int] = {}
        for block in self._planner.blocks(tasks):
            sizes |= self._runner.upload_sizes(vector, block, _unwatched)
        return [sizes[conf.task] for conf in tasks]

    def test(self, vector: Tensor, clients: IntArray, version: int) -> Testing:
        """Test when the result is asked for; see `Executor.test`."""
        return lambda: self._test(vector, clients, version)

    def close(self) -> None:
        """Nothing to let go of."""

    def _test(self, vector: Tensor, clients: IntArray, version: int) -> list[ClientSums]:
        parts = [
            self._runner.test(vector, block, version, _unwatched) for block in blocks(clients.tolist(), TEST_BLOCK)
        ]
        return [result for part in parts for result in part]
