"""The executor without workers: everything in this process."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from fedscale.execute.base import TEST_BLOCK, TRAIN_BLOCK, ClientSums, IntArray, Trained, blocks
from fedscale.execute.runner import Runner
from fedscale.learn.conf import TrainConf
from fedscale.learn.updates import WeightedSum


def _unwatched(item: int) -> None:
    """Nobody watches the progress within a process."""


class InProcess:
    """Runs block after block, in order. The caller sees to it that torch computes on `one_thread`, as workers do."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def train(self, vector: Tensor, tasks: Sequence[TrainConf]) -> Trained:
        """Train and fold; see `Executor.train`."""
        reports, total = [], WeightedSum(len(vector))
        for block in blocks(tasks, TRAIN_BLOCK):
            done, part = self._runner.train(vector, block, _unwatched)
            reports += done
            total.merge(part.total, part.weight)
        return Trained(reports, total.total, total.weight)

    def upload_sizes(self, vector: Tensor, tasks: Sequence[TrainConf]) -> list[int]:
        """Train and measure; see `Executor.upload_sizes`."""
        return self._runner.upload_sizes(vector, tasks, _unwatched)

    def test(self, vector: Tensor, clients: IntArray, version: int) -> list[ClientSums]:
        """Test; see `Executor.test`."""
        parts = [
            self._runner.test(vector, block, version, _unwatched) for block in blocks(clients.tolist(), TEST_BLOCK)
        ]
        return [result for part in parts for result in part]

    def close(self) -> None:
        """Nothing to let go of."""
