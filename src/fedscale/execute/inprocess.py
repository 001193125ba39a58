"""The executor without workers: everything in this process."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from fedscale.execute.admission import Memory
from fedscale.execute.base import TEST_BLOCK, ClientSums, IntArray, Meanwhile, Testing, Trained, blocks, nothing
from fedscale.execute.memories import Memories
from fedscale.execute.plan import Fold, Planner
from fedscale.execute.results import gather, keeper, rows
from fedscale.execute.runner import Runner
from fedscale.learn.conf import TrainConf
from fedscale.learn.spool import Spool


def _unwatched(item: int) -> None:
    """Nobody watches the progress within a process."""


class InProcess:
    """Runs block after block, in order. The caller sees to it that torch computes on `one_thread`, as workers do."""

    def __init__(
        self, runner: Runner, planner: Planner, spool: Spool | None = None, memories: Memories | None = None
    ) -> None:
        self._runner = runner
        self._planner = planner
        self._spool = spool
        self._memories = memories

    def train(self, vector: Tensor, tasks: Sequence[TrainConf], meanwhile: Meanwhile = nothing) -> Trained:
        """Train and fold; see `Executor.train`."""
        meanwhile()
        reports, fold = [], Fold(len(vector), exact=self._runner.exact)
        keep = None if self._spool is None else keeper(self._spool, rows(tasks))
        for block in self._planner.blocks(tasks):
            done, part = self._runner.train(vector, block, _unwatched, keep, self._memory(_clients(block), tasks))
            reports += done
            fold.add(part.total, part.weight)
        trained = gather(reports, fold, self._spool)
        return trained if self._memories is None else self._memories.gather(trained, tasks)

    def upload_sizes(self, vector: Tensor, tasks: Sequence[TrainConf]) -> list[int]:
        """Train and measure; see `Executor.upload_sizes`."""
        sizes: dict[int, int] = {}
        for block in self._planner.blocks(tasks):
            sizes |= self._runner.upload_sizes(vector, block, _unwatched, self._memory(_clients(block)))
        return [sizes[conf.task] for conf in tasks]

    def test(self, vector: Tensor, clients: IntArray, version: int) -> Testing:
        """Test when the result is asked for; see `Executor.test`."""
        return lambda: self._test(vector, clients, version)

    def close(self) -> None:
        """Let go of the kept updates and the new states."""
        for held in (self._spool, self._memories):
            if held is not None:
                held.close()

    def _test(self, vector: Tensor, clients: IntArray, version: int) -> list[ClientSums]:
        parts = [
            self._runner.test(vector, block, version, _unwatched, self._memory(block))
            for block in blocks(clients.tolist(), TEST_BLOCK)
        ]
        return [result for part in parts for result in part]

    def _memory(self, clients: Sequence[int], cohort: Sequence[TrainConf] = ()) -> Memory | None:
        return None if self._memories is None else self._memories.memory(clients, cohort)


def _clients(tasks: Sequence[TrainConf]) -> list[int]:
    return [conf.client for conf in tasks]
