"""The executor with workers on the nodes of a cluster, which may come and go."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedscale import limits
from fedscale.errors import WorkerError
from fedscale.execute.base import TEST_BLOCK, ClientSums, IntArray, Meanwhile, Report, Testing, Trained, blocks, nothing
from fedscale.execute.cluster import RayCluster
from fedscale.execute.dispatch import WINDOW, Answer, Dispatcher, Request, Sweep
from fedscale.execute.groups import Groups
from fedscale.execute.memories import Memories
from fedscale.execute.messages import read_report, read_sums, test_request, train_request
from fedscale.execute.plan import GROUP, Fold, Planner
from fedscale.execute.remote import Hello, Remote
from fedscale.execute.results import gather, rows
from fedscale.learn.conf import TrainConf
from fedscale.learn.spool import Spool


class Distributed:
    """One worker per core or share of a GPU, each with its own runner.

    A model is put into the cluster's object store once; workers of a node read it from the same memory. Sums of blocks
    stay on the node, and one sum per group of blocks comes here.

    Args:
        cluster: to hire workers in.
        greeting: what they are told first.
        length: of the model's vector.
        planner: cuts cohorts into blocks.
        together: workers train blocks of clients together.
        kept: updates of a round that are kept, for rules that need every one.
        memories: what clients keep between tasks, if they do.
        exact: sums are; see `fedscale.learn.updates.WeightedSum`.
    """

    def __init__(
        self,
        cluster: RayCluster,
        greeting: Hello,
        length: int,
        planner: Planner,
        *,
        together: bool = False,
        kept: int = 0,
        memories: Memories | None = None,
        exact: bool = False,
    ) -> None:
        self._cluster = cluster
        self._greeting = greeting
        self._length = length
        self._spool = Spool(kept, length) if kept else None
        self._memories = memories
        self._planner = planner
        self._exact = exact
        self._published: Tensor | None = None
        self._model: Any = None
        self._stamp = 0
        self._stations: list[Remote] = []
        self._dispatcher = Dispatcher([], self._wait, together=together)
        self._last_ready = time.monotonic()
        self._grow()

    def train(self, vector: Tensor, tasks: Sequence[TrainConf], meanwhile: Meanwhile = nothing) -> Trained:
        """Train and fold; see `Executor.train`."""
        reports: list[Report] = []
        folded = Fold(len(vector), exact=self._exact)

        def fold(answers: Sequence[Answer], group: Answer) -> bool:
            total = self._fetch(group["total"])
            if total is None or not all(self._keep(answer) for answer in answers):
                return False
            reports.extend(read_report(values) for answer in answers for values in answer["reports"])
            folded.add_group(total, group["weight"])
            return True

        self._grow()
        requests = self._train_requests("train", vector, tasks)
        sweep = Groups(requests, fold, self._ahead(), self._nodes)
        self._finish(sweep, meanwhile)
        trained = gather(reports, folded, self._spool, sweep.seconds)
        return trained if self._memories is None else self._memories.gather(trained, tasks)

    def upload_sizes(self, vector: Tensor, tasks: Sequence[TrainConf]) -> list[int]:
        """Train and measure; see `Executor.upload_sizes`."""
        sizes: dict[int, int] = {}
        self._grow()
        requests = self._train_requests("upload_sizes", vector, tasks)
        self._finish(Sweep(requests, lambda answer: sizes.update(answer["sizes"]), self._ahead()))
        return [sizes.get(conf.task, 0) for conf in tasks]

    def test(self, vector: Tensor, clients: IntArray, version: int) -> Testing:
        """Test; see `Executor.test`."""
        sums: list[ClientSums] = []
        stamp = self._publish(vector)
        requests = [test_request(stamp, list(block), version) for block in blocks(clients.tolist(), TEST_BLOCK)]

        def fold(answer: Answer) -> None:
            sums.extend(read_sums(values) for values in answer["sums"])

        sweep = Sweep(self._with_model(requests, ()), fold, self._ahead())
        self._dispatcher.begin(sweep)

        def result() -> list[ClientSums]:
            self._last_ready = time.monotonic()
            self._dispatcher.finish(sweep)
            return sums

        return result

    def close(self) -> None:
        """End the workers."""
        leaving = [station.leave() for station in self._stations]  # one that has just been started has files too
        if leaving:
            self._cluster.ray.wait(leaving, num_returns=len(leaving), timeout=2)
        for station in self._stations:
            station.end()
        for held in (self._spool, self._memories):
            if held is not None:
                held.close()

    def _train_requests(self, kind: str, vector: Tensor, tasks: Sequence[TrainConf]) -> list[Request]:
        stamp = self._publish(vector)
        planned = self._planner.blocks(tasks)
        places = rows(tasks) if self._spool is not None and kind == "train" else {}
        requests = [train_request(kind, stamp, block, self._planner.work(block), places) for block in planned]
        return self._with_model(requests, tasks if kind == "train" else ())

    def _with_model(self, requests: Sequence[Request], cohort: Sequence[TrainConf]) -> list[Request]:
        """Have requests refer to the model that they need, which the object store keeps as long as one does.

        They also say where the states of their clients are, and those of a ``cohort`` which new ones are to be kept.
        """
        if self._memories is not None:
            requests = self._memories.attach(requests, cohort)
        return [{**request, "model": self._model} for request in requests]

    def _publish(self, vector: Tensor) -> int:
        """Put a model into the object store, once; return the stamp by which workers know it."""
        if vector is not self._published:
            self._model = self._cluster.ray.put(vector.numpy())
            self._published = vector
            self._stamp += 1
        return self._stamp

    def _fetch(self, reference: Any) -> Tensor | None:
        """Bring a sum here, or return ``None`` if it is lost."""
        try:
            return torch.from_numpy(np.array(self._cluster.ray.get(reference)))
        except self._cluster.lost:
            return None

    def _keep(self, answer: Answer) -> bool:
        """Bring the single updates and new states of a block here, if there are any; say ``False`` if they are lost."""
        memories = None if self._memories is None else self._memories.spool
        return all(
            self._spooled(spool, *answer[name])
            for spool, name in ((self._spool, "updates"), (memories, "states"))
            if spool is not None
        )

    def _spooled(self, spool: Spool, stack: Any, places: Any) -> bool:
        found = self._fetch(stack)
        if found is None:
            return False
        for row, values in zip(self._cluster.ray.get(places), found, strict=True):
            spool.write(row, values)
        return True

    def _grow(self) -> None:
        """Hire as many workers as the cluster has room for by now."""
        for _ in range(len(self._stations), self._cluster.capacity()):
            station = Remote(self._cluster, self._greeting)
            self._stations.append(station)
            self._dispatcher.join(station)

    def _nodes(self) -> set[str]:
        return {station.node for station in self._stations if station.ready}

    def _ahead(self) -> int:
        """Return how many blocks may be ahead of the fold: as many as keep all workers busy, and memory bounded."""
        workers = len(self._stations)
        wanted = max(WINDOW * workers, GROUP * (len(self._nodes()) + 1))
        return max(workers + GROUP, min(wanted, self._cluster.memory() // (8 * self._length)))

    def _finish(self, sweep: Sweep, meanwhile: Meanwhile = nothing) -> None:
        self._last_ready = time.monotonic()
        self._dispatcher.begin(sweep)
        meanwhile()
        self._dispatcher.finish(sweep)

    def _wait(self, busy: Sequence[Remote]) -> list[Remote]:
        """Wait for workers that have answered or are gone, and for greetings."""
        self._require_workers()
        listening = {station.heard: station for station in self._stations if station.heard is not None}
        if not listening:
            raise WorkerError("no worker is left")
        self._cluster.ray.wait(list(listening), timeout=1.0, fetch_local=False)
        heard, _ = self._cluster.ray.wait(list(listening), num_returns=len(listening), timeout=0, fetch_local=False)
        stations = [listening[reference] for reference in heard]
        for station in stations:
            if not station.ready:
                station.greeted()
        return [station for station in stations if station in busy]

    def _require_workers(self) -> None:
        """See to it that the wait for a first worker, or for another one after all are gone, has an end."""
        now = time.monotonic()
        if any(station.ready for station in self._stations):
            self._last_ready = now
        elif now - self._last_ready > limits.WORKER_START_SECONDS:
            raise WorkerError(
                f"no worker of the Ray cluster was ready for {limits.WORKER_START_SECONDS:.0f} s: it has "
                f"{len(self._cluster.ray.nodes())} nodes; others may be using their CPUs (`ray status` tells)"
            )
