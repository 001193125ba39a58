"""The executor without workers: everything in this process."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from fedscale.execute.base import TEST_BLOCK, ClientSums, IntArray, Testing, Trained, blocks
from fedscale.execute.plan import Fold, Planner
from fedscale.execute.results import gather, keeper, rows
from fedscale.execute.runner import Runner
from fedscale.learn.conf import TrainConf
from fedscale.learn.spool import Spool


def _unwatched(item: int) -> None:
    """Nobody watches the progress within a process."""


class InProcess:
    """Runs block after block, in order. The caller sees to it that torch computes on `one_thread`, as workers do."""

    def __init__(self, runner: Runner, planner: Planner, spool: Spool | None = None) -> None:
        self._runner = runner
        self._planner = planner
        self._spool = spool

    def train(self, vector: Tensor, tasks: Sequence[TrainConf]) -> Trained:
        """Train and fold; see `Executor.train`."""
        reports, fold = [], Fold(len(vector))
        keep = None if self._spool is None else keeper(self._spool, rows(tasks))
        for block in self._planner.blocks(tasks):
            done, part = self._runner.train(vector, block, _unwatched, keep)
            reports += done
            fold.add(part.total, part.weight)
        return gather(reports, fold, self._spool)

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
        """Let go of the kept updates."""
        if self._spool is not None:
            self._spool.close()

    def _test(self, vector: Tensor, clients: IntArray, version: int) -> list[ClientSums]:
        parts = [
            self._runner.test(vector, block, version, _unwatched) for block in blocks(clients.tolist(), TEST_BLOCK)
        ]
        return [result for part in parts for result in part]
