"""Where a run trains and tests: in processes of this machine, or on a Ray cluster. It changes no result."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Final, Protocol

from pydantic import Field

from fedscale.data.store import open_store
from fedscale.errors import JobError, RunError
from fedscale.execute.base import Executor
from fedscale.execute.cluster import RayCluster
from fedscale.execute.distributed import Distributed
from fedscale.execute.dry import DryRun
from fedscale.execute.inprocess import InProcess
from fedscale.execute.memories import Memories
from fedscale.execute.plan import Planner
from fedscale.execute.pool import Pool
from fedscale.execute.remote import hello
from fedscale.execute.spec import RunnerSpec, build_runner
from fedscale.job import Job
from fedscale.learn.spool import Spool
from fedscale.learn.states import States
from fedscale.simulation.progress import Observer
from fedscale.simulation.setup import Parts, runner_spec
from fedscale.simulation.workers import can_travel, choose_workers
from fedscale.tables import Table


class Site(Protocol):
    """A place with workers."""

    @property
    def workers(self) -> int:
        """How many there are at the start."""
        ...

    def executor(self, spec: RunnerSpec, planner: Planner, states: States | None) -> Executor:
        """Build the executor; it is closed before the site and the ``states`` of clients."""
        ...

    def close(self) -> None:
        """Let go of the place."""
        ...


class Processes:
    """Processes of this machine: the present one alone for one worker, else a pool."""

    def __init__(self, workers: int | None, parts: Parts, observer: Observer) -> None:
        self._parts = parts
        self.workers = choose_workers(workers, parts, observer)

    def executor(self, spec: RunnerSpec, planner: Planner, states: States | None) -> Executor:
        """Build the executor."""
        memories = None if states is None else Memories(states, spec)
        if self.workers == 1:
            spool = Spool(spec.kept, self._parts.length) if spec.kept else None
            return InProcess(build_runner(spec, self._parts.plugins.client), planner, spool, memories)
        return Pool(spec, self.workers, self._parts.length, planner, memories)

    def close(self) -> None:
        """Nothing is held beside the executor."""


class Ray:
    """A Ray cluster, see docs/cluster.md.

    Args:
        workers: that were asked for; by default one per core, or per share of a GPU if the device is ``cuda``.
        parts: of the run.
        device: that workers compute on.
        address: ``auto``, ``host:port`` or ``ray://host:port``; by default ``$RAY_ADDRESS``, else this machine.
        gpu_share: of a GPU that a worker takes if the device is ``cuda``.
    """

    def __init__(
        self,
        workers: int | None,
        parts: Parts,
        device: str,
        address: str | None = None,
        gpu_share: Annotated[float, Field(gt=0, le=1)] = 1.0,
    ) -> None:
        client = parts.plugins.client
        if not can_travel(client):
            raise JobError(
                f"{client.__name__} is defined in a notebook or a script, where workers of a cluster cannot find it; "
                "name it as a plugin, or run without a cluster"
            )
        if workers is not None and workers < 1:
            raise RunError(f"workers = {workers}: at least one is needed")
        self._parts = parts
        self._cluster = RayCluster(address, workers, device, gpu_share)
        self.workers = self._cluster.capacity()

    def executor(self, spec: RunnerSpec, planner: Planner, states: States | None) -> Executor:
        """Build the executor, which hires the workers."""
        memories = None if states is None else Memories(states, spec)
        length = self._parts.length
        greeting = hello(spec, open_store(spec.dataset).fingerprint, length)
        return Distributed(
            self._cluster,
            greeting,
            length,
            planner,
            together=spec.stack > 0,
            kept=spec.kept,
            memories=memories,
            exact=spec.stages.exact,
        )

    def close(self) -> None:
        """End the connection."""
        self._cluster.close()


EXECUTORS: Final[Table[Site]] = Table("executor", {"pool": Processes, "ray": Ray})


def open_site(job: Job, parts: Parts, workers: int | None, observer: Observer) -> closing[Site]:
    """Open the place that a job names; a dry run needs none, and stays here.

    Raises:
        JobError: it is unknown, or cannot run the job's client.
        RunError: it cannot be reached, or has no room.
    """
    if job.dry_run:
        return closing(Processes(workers, parts, observer))
    chosen, given = job.executor, {"workers": workers, "parts": parts, "observer": observer, "device": job.device}
    return closing(EXECUTORS.build(chosen.name, chosen.options, **given))


def executor(job: Job, parts: Parts, site: Site, states: States | None) -> Executor:
    """Build the executor of a job: none that trains for a dry run."""
    if job.dry_run:
        return DryRun()
    return site.executor(
        runner_spec(job, parts), Planner(parts.samples, parts.engine.block, parts.engine.stack), states
    )
