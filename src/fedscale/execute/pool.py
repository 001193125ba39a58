"""The executor with worker processes: one thread each, shared memory for vectors, retries when a worker dies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from typing import Final

from torch import Tensor

from fedscale.errors import WorkerError
from fedscale.execute.base import TEST_BLOCK, ClientSums, IntArray, Meanwhile, Report, Testing, Trained, blocks, nothing
from fedscale.execute.dispatch import WINDOW, Answer, Dispatcher, Request, Sweep
from fedscale.execute.handle import Handle
from fedscale.execute.memories import Memories
from fedscale.execute.memory import as_vector, nameless
from fedscale.execute.messages import read_report, read_sums, test_request, train_request
from fedscale.execute.packing import Seat, seats
from fedscale.execute.plan import Fold, Planner
from fedscale.execute.results import gather, rows
from fedscale.execute.spec import RunnerSpec
from fedscale.learn.conf import TrainConf
from fedscale.learn.devices import Usage, meter_of
from fedscale.learn.spool import Spool

WAITING_BYTES: Final = 256 << 20
"""Memory that sums may take which wait for their turn to be folded."""


class Pool:
    """``workers`` processes, each with its own runner; on devices with a meter as many of them as memory allows.

    Args:
        spec: what a worker needs to build its runner.
        workers: number of processes, at most.
        length: of the model's vector.
        planner: cuts cohorts into blocks.
        memories: what clients keep between tasks, if they do.
    """

    def __init__(
        self, spec: RunnerSpec, workers: int, length: int, planner: Planner, memories: Memories | None = None
    ) -> None:
        self._file = nameless(4 * length)
        self._model = as_vector(self._file)
        self._published: Tensor | None = None
        self._stamp = 0
        self._planner = planner
        self._exact = spec.stages.exact
        self._ahead = ahead(workers, length)
        self._spool = Spool(spec.kept, length) if spec.kept else None
        self._memories = memories
        states = None if memories is None else memories.spool

        def hire(seat: Seat | None) -> Handle:
            return Handle(spec, self._file, length, self._spool, states, seat)

        self._hire = hire
        self._handles = [hire(seat) for seat in _seats(spec, workers)]
        self._dispatcher = Dispatcher(self._handles, _ready, together=spec.stack > 0, adjust=self._adjust)

    @property
    def processes(self) -> list[int]:
        """The workers' process ids."""
        return [handle.pid for handle in self._handles]

    def train(self, vector: Tensor, tasks: Sequence[TrainConf], meanwhile: Meanwhile = nothing) -> Trained:
        """Train and fold; see `Executor.train`."""
        reports: list[Report] = []
        folded = Fold(len(vector), exact=self._exact)

        def fold(answer: Answer) -> None:
            reports.extend(read_report(values) for values in answer["reports"])
            folded.add(answer["total"], answer["weight"])

        sweep = self._begin(self._train_requests("train", vector, tasks), fold)
        meanwhile()
        self._dispatcher.finish(sweep)
        trained = gather(reports, folded, self._spool, sweep.seconds)
        return trained if self._memories is None else self._memories.gather(trained, tasks)

    def upload_sizes(self, vector: Tensor, tasks: Sequence[TrainConf]) -> list[int]:
        """Train and measure; see `Executor.upload_sizes`."""
        sizes: dict[int, int] = {}
        requests = self._train_requests("upload_sizes", vector, tasks)
        self._dispatcher.finish(self._begin(requests, lambda answer: sizes.update(answer["sizes"])))
        return [sizes.get(conf.task, 0) for conf in tasks]

    def test(self, vector: Tensor, clients: IntArray, version: int) -> Testing:
        """Test; see `Executor.test`."""
        sums: list[ClientSums] = []
        stamp = self._publish(vector)
        requests = [test_request(stamp, list(block), version) for block in blocks(clients.tolist(), TEST_BLOCK)]
        if self._memories is not None:
            requests = self._memories.attach(requests)
        sweep = self._begin(requests, lambda answer: sums.extend(read_sums(values) for values in answer["sums"]))

        def result() -> list[ClientSums]:
            self._dispatcher.finish(sweep)
            return sums

        return result

    def close(self) -> None:
        """End the workers and let go of the shared memory."""
        for handle in self._handles:
            handle.close()
        self._file.close()
        for held in (self._spool, self._memories):
            if held is not None:
                held.close()

    def _train_requests(self, kind: str, vector: Tensor, tasks: Sequence[TrainConf]) -> list[Request]:
        stamp = self._publish(vector)
        planned = self._planner.blocks(tasks)
        places = rows(tasks) if self._spool is not None and kind == "train" else {}
        requests = [train_request(kind, stamp, block, self._planner.work(block), places) for block in planned]
        if self._memories is None:
            return requests
        return self._memories.attach(requests, tasks if kind == "train" else ())

    def _begin(self, requests: Sequence[Request], fold: Callable[[Answer], None]) -> Sweep:
        sweep = Sweep(requests, fold, self._ahead)
        self._dispatcher.begin(sweep)
        return sweep

    def _adjust(self, handle: Handle, answer: Answer) -> None:
        """Let workers join a device or leave it; see `Dispatcher`."""
        assert handle.seat is not None
        if "usage" in answer:
            for _ in range(handle.seat.measured(Usage(**answer["usage"]))):
                joining = self._hire(handle.seat)
                self._handles.append(joining)
                self._dispatcher.join(joining)
            return
        others = [other for other in self._handles if other.seat is handle.seat and other is not handle]
        leaving = [handle, *reversed(others)][: handle.seat.exhausted(answer["exhausted"])]
        for other in leaving:
            self._dispatcher.leave(other)
            self._handles.remove(other)
            other.kill()
            other.close()
        if handle not in leaving:
            handle.restart()

    def _publish(self, vector: Tensor) -> int:
        """Share a model with the workers, once; return the stamp by which requests refer to it."""
        if vector is not self._published:
            self._dispatcher.finish_all()  # they need the model that is about to be overwritten
            self._model.copy_(vector)
            self._published = vector
            self._stamp += 1
        return self._stamp


def _seats(spec: RunnerSpec, workers: int) -> list[Seat] | list[None]:
    meter = meter_of(spec.device, spec.backend)
    return [None] * workers if meter is None else seats(meter, workers)


def ahead(workers: int, length: int) -> int:
    """Return how many blocks may be ahead of the fold: as many as keep all workers busy, and memory bounded."""
    return max(workers + 1, min(WINDOW * workers, WAITING_BYTES // (4 * length)))


def _ready(busy: Sequence[Handle]) -> list[Handle]:
    """Wait for workers that have answered or are gone; end those that hang."""
    if not busy:
        raise WorkerError("no worker is left")
    heard = wait([handle.connection for handle in busy], timeout=1.0)
    ready = [handle for handle in busy if handle.connection in heard and handle.has_answered()]
    hung = [handle for handle in busy if handle.connection not in heard and handle.hung()]
    for handle in hung:
        handle.kill()
    return [*ready, *hung]
