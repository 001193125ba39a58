"""The executor with worker processes: one thread each, shared memory for vectors, retries when a worker dies.

Blocks are handed out in order and folded in order, so the result does not depend on how many workers there are, which
of them did what, or how often one had to be replaced.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import wait
from typing import Any, Final

from torch import Tensor

from fedscale import limits
from fedscale.errors import WorkerError
from fedscale.execute.base import TEST_BLOCK, TRAIN_BLOCK, ClientSums, IntArray, Report, Trained, blocks
from fedscale.execute.handle import Handle
from fedscale.execute.memory import as_vector, nameless
from fedscale.execute.messages import read_report, read_sums, test_request, train_request
from fedscale.execute.spec import RunnerSpec
from fedscale.learn.conf import TrainConf
from fedscale.learn.updates import WeightedSum
from fedscale.outcomes import Fate

WINDOW: Final = 4
"""Blocks per worker that may be ahead of the fold; bounds the memory that waiting sums take."""

Request = dict[str, Any]
Answer = dict[str, Any]


class Pool:
    """``workers`` processes, each with its own runner.

    Args:
        spec: what a worker needs to build its runner.
        workers: number of processes.
        length: of the model's vector.
    """

    def __init__(self, spec: RunnerSpec, workers: int, length: int) -> None:
        self._file = nameless(4 * length)
        self._model = as_vector(self._file)
        self._stamp = 0
        self._deaths: Counter[int] = Counter()
        self._handles = [Handle(spec, self._file, length) for _ in range(workers)]

    @property
    def processes(self) -> list[int]:
        """The workers' process ids."""
        return [handle.pid for handle in self._handles]

    def train(self, vector: Tensor, tasks: Sequence[TrainConf]) -> Trained:
        """Train and fold; see `Executor.train`."""
        reports: list[Report] = []
        total = WeightedSum(len(vector))

        def fold(answer: Answer, output: Tensor) -> None:
            reports.extend(read_report(values) for values in answer["reports"])
            total.merge(output, answer["weight"])

        self._map(vector, self._train_requests("train", tasks), fold)
        return Trained(sorted(reports, key=lambda report: report.task), total.total, total.weight)

    def upload_sizes(self, vector: Tensor, tasks: Sequence[TrainConf]) -> list[int]:
        """Train and measure; see `Executor.upload_sizes`."""
        sizes: dict[int, int] = {}
        requests = self._train_requests("upload_sizes", tasks)
        self._map(vector, requests, lambda answer, _: sizes.update(zip(answer["items"], answer["sizes"], strict=True)))
        return [sizes.get(conf.task, 0) for conf in tasks]

    def test(self, vector: Tensor, clients: IntArray, version: int) -> list[ClientSums]:
        """Test; see `Executor.test`."""
        sums: list[ClientSums] = []
        requests = [
            test_request(self._stamp + 1, list(block), version) for block in blocks(clients.tolist(), TEST_BLOCK)
        ]
        self._map(vector, requests, lambda answer, _: sums.extend(read_sums(values) for values in answer["sums"]))
        return sums

    def close(self) -> None:
        """End the workers and let go of the shared memory."""
        for handle in self._handles:
            handle.close()
        self._file.close()

    def _train_requests(self, kind: str, tasks: Sequence[TrainConf]) -> list[Request]:
        return [train_request(kind, self._stamp + 1, list(block)) for block in blocks(tasks, TRAIN_BLOCK)]

    def _map(self, vector: Tensor, requests: list[Request], fold: Callable[[Answer, Tensor], None]) -> None:
        """Have every request answered by some worker, and fold the answers in the order of the requests."""
        self._model.copy_(vector)
        self._stamp += 1
        self._deaths.clear()
        Sweep(self._handles, requests, fold, self._give_up).run()

    def _give_up(self, handle: Handle, request: Request) -> Request:
        """Replace a dead worker; return what of its request is still to be done."""
        item = handle.item
        handle.restart()
        self._deaths[item] += 1
        if item not in request["items"]:  # it died between items, which is nobody's fault, but must not go on for ever
            if self._deaths[item] < limits.TASK_DEATHS * len(self._handles):
                return request
            raise WorkerError("worker processes end between tasks, again and again: see their messages above")
        if self._deaths[item] < limits.TASK_DEATHS:
            return request
        if "tasks" not in request:
            raise WorkerError(
                f"testing client {item} ended {limits.TASK_DEATHS} workers: out of memory, or a crash in its code"
            )
        kept = [conf for conf in request["tasks"] if conf["task"] != item]
        return {
            **request,
            "items": [conf["task"] for conf in kept],
            "tasks": kept,
            "given_up": [*request.get("given_up", []), item],
        }


class Sweep:
    """One pass over a list of requests: who works on what, and what waits for its turn to be folded."""

    def __init__(
        self,
        handles: list[Handle],
        requests: list[Request],
        fold: Callable[[Answer, Tensor], None],
        give_up: Callable[[Handle, Request], Request],
    ) -> None:
        self._requests = dict(enumerate(requests))
        self._fold = fold
        self._give_up = give_up
        self._idle = list(handles)
        self._busy: dict[Handle, int] = {}
        self._todo = list(range(len(requests)))
        self._next = 0
        self._ahead = WINDOW * len(handles)
        self._waiting: dict[int, tuple[Answer, Tensor]] = {}

    def run(self) -> None:
        """Work until every request is answered and folded."""
        total = len(self._requests)
        while self._next < total:
            self._hand_out()
            for handle in self._answered():
                number = self._busy.pop(handle)
                answer = handle.answer()
                if answer is None:
                    self._requests[number] = self._give_up(handle, self._requests[number])
                    self._todo.insert(0, number)
                else:
                    self._take(number, answer, handle.output)
                self._idle.append(handle)

    def _hand_out(self) -> None:
        while self._idle and self._todo and self._todo[0] < self._next + self._ahead:
            handle, number = self._idle.pop(0), self._todo.pop(0)
            self._busy[handle] = number
            handle.ask(self._requests[number])

    def _answered(self) -> Iterable[Handle]:
        by_connection = {handle.connection: handle for handle in self._busy}
        ready = wait(list(by_connection), timeout=1.0)
        hung = [handle for handle in self._busy if handle.connection not in ready and handle.hung()]
        for handle in hung:
            handle.kill()
        return [*(by_connection[connection] for connection in ready), *hung]  # type: ignore[index]

    def _take(self, number: int, answer: Answer, output: Tensor) -> None:
        request = self._requests[number]
        answer["items"] = request["items"]
        if "reports" in answer:
            answer["reports"] += [_given_up(task) for task in request.get("given_up", [])]
        if number != self._next:
            self._waiting[number] = answer, output.clone()
            return
        self._fold(answer, output)
        self._next += 1
        while self._next in self._waiting:
            self._fold(*self._waiting.pop(self._next))
            self._next += 1


def _given_up(task: int) -> dict[str, Any]:
    why = f"its training ended {limits.TASK_DEATHS} workers (out of memory, a crash, or no end)"
    return {"task": task, "fate": Fate.FAILED.value, "why": why}
