"""A run: its directory, and the functions that start it, resume it and read its results."""

from __future__ import annotations

import fcntl
import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save

import fedscale
from fedscale.core import plugins
from fedscale.data.baselines import baselines
from fedscale.data.federated import FederatedDataset
from fedscale.errors import CheckpointError, RunError
from fedscale.execute.threads import one_thread
from fedscale.files import write_bytes, write_text
from fedscale.job import Job
from fedscale.report.checkpoint import State, load_newest
from fedscale.report.log import FORMAT, LogWriter
from fedscale.report.recorder import Recorder
from fedscale.rounds.ledger import Ledger
from fedscale.rounds.sync import SyncRounds
from fedscale.simulation import setup
from fedscale.simulation.driver import Saving, Simulation, Testing, Training
from fedscale.simulation.progress import Observer, Silent
from fedscale.simulation.timings import Timings

if TYPE_CHECKING:
    from fedscale.report.metrics import Metrics


class Run:
    """A run directory: ``job.yaml``, ``log.jsonl``, ``timings.jsonl``, ``checkpoints/``, ``model.safetensors``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def log(self) -> Path:
        """The log, from which everything else is derived."""
        return self.directory / "log.jsonl"

    @property
    def finished(self) -> bool:
        """Whether the run came to its end (the final model is written last)."""
        return (self.directory / "model.safetensors").exists()

    @property
    def job(self) -> Job:
        """The job, as it was when the run began."""
        return Job.load(self.directory / "job.yaml")

    @cached_property
    def metrics(self) -> Metrics:
        """Tables derived from the log; see `fedscale.report.metrics.Metrics`."""
        from fedscale.report.metrics import Metrics

        return Metrics.from_log(self.log)

    def report(self, out: Path | None = None) -> Path:
        """Write the HTML report (by default into the run directory) and return its path."""
        from fedscale.report.page import write_report

        out = out or self.directory / "report.html"
        write_report([self.directory], out)
        return out

    def __repr__(self) -> str:
        return f"Run({str(self.directory)!r}, {'finished' if self.finished else 'unfinished'})"


def simulate(
    job: Job,
    out: Path | str | None = None,
    *,
    workers: int | None = None,
    observer: Observer | None = None,
    **classes: type[Any],
) -> Run:
    """Run a job in virtual time and return the finished (or interrupted) run.

    Args:
        job: the experiment.
        out: a directory that does not exist yet or is empty; by default ``runs/<job name>-<date>-<time>``.
        workers: processes to train with; by default one per core that this process may use.
        observer: is told of progress, and may ask to stop.
        classes: your own ``client``, ``client_manager`` or ``aggregator`` class.

    Raises:
        JobError: the job cannot be run as it is.
        RunError: the run cannot go on; what was reached is in the directory.
    """
    directory = Path(out) if out is not None else default_directory(job)
    if directory.exists() and any(directory.iterdir()):
        raise RunError(f"{directory} is not empty: choose another place, or resume the run in it")
    parts = setup.prepare(job, classes)
    directory.mkdir(parents=True, exist_ok=True)
    write_text(directory / "job.yaml", job.to_yaml())
    with _locked(directory), one_thread():
        return _go(Run(directory), job, parts, None, workers, observer or Silent())


def resume(
    directory: Path | str, *, workers: int | None = None, observer: Observer | None = None, **classes: type[Any]
) -> Run:
    """Go on with an interrupted run from its newest sound checkpoint, to the same end as if it had never stopped.

    Give the same ``classes`` as at the start. A finished run is returned as it is.

    Raises:
        RunError: there is no run in ``directory``, or another process is at work on it.
        CheckpointError: the checkpoint belongs to another job.
    """
    run = Run(Path(directory))
    if not (run.directory / "job.yaml").exists():
        raise RunError(f"{directory}: no run is here (job.yaml is missing)")
    if run.finished:
        return run
    observer = observer or Silent()
    job = run.job
    with _locked(run.directory), one_thread():
        state = load_newest(run.directory / "checkpoints", observer.notice)
        if state is not None and state["job"] != job.digest:
            raise CheckpointError(
                f"{directory}: job.yaml was changed since the run began; restore it, or start a new run"
            )
        return _go(run, job, setup.prepare(job, classes), state, workers, observer)


def default_directory(job: Job) -> Path:
    """Return ``runs/<job name>-<date>-<time>``, with a number behind it if that exists."""
    base = Path("runs") / f"{job.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    candidates = [base, *(base.with_name(f"{base.name}-{number}") for number in range(2, 100))]
    return next(path for path in candidates if not path.exists())


def default_workers() -> int:
    """Return how many cores this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return usable or 1


def _go(run: Run, job: Job, parts: setup.Parts, state: State | None, workers: int | None, observer: Observer) -> Run:
    workers = _workers(workers, parts, observer)
    log = LogWriter(run.log, **state["log"]) if state else LogWriter(run.log)
    executor = setup.executor(job, parts, workers)
    try:
        simulation = _assemble(run, job, parts, executor, log, observer, workers)
        if state is None:
            _write_head(log, job, parts)
        else:
            simulation.restore(state)
        if simulation.finished or simulation.run():
            _write_model(run, parts, simulation)
        return run
    finally:
        executor.close()
        log.close()


def _workers(workers: int | None, parts: setup.Parts, observer: Observer) -> int:
    if workers is not None:
        if workers < 1:
            raise RunError(f"workers = {workers}: at least one is needed")
        return workers
    if not setup.can_travel(parts.plugins.client):
        observer.notice(f"{parts.plugins.client.__name__} is not in a file of its own: training in this process only")
        return 1
    return default_workers()


def _assemble(
    run: Run, job: Job, parts: setup.Parts, executor: Any, log: LogWriter, observer: Observer, workers: int
) -> Simulation:
    coordinator = SyncRounds(setup.policy(job.rounds, job.evaluate), lambda wanted, now: simulation.select(wanted, now))
    simulation = Simulation(
        coordinator,
        setup.manager(job, parts),
        setup.aggregator(job, parts),
        parts.population,
        setup.pricer(job, parts),
        executor,
        Recorder(log, Ledger()),
        Timings(run.directory / "timings.jsonl", workers),
        observer,
        training=Training(job.local, job.seed, parts.plugins.client.must_train_to_price()),
        testing=Testing(job.evaluate.split, parts.test_clients),
        saving=Saving(run.directory / "checkpoints", job.checkpoint_every, job.digest),
    )
    return simulation


def _write_head(log: LogWriter, job: Job, parts: setup.Parts) -> None:
    """Write the log's first two lines: the job, and what it was run on."""
    log.append(
        {
            "kind": "job",
            "format": FORMAT,
            "digest": job.digest,
            "job": job.model_dump(mode="json"),
            "versions": {
                "fedscale": fedscale.__version__,
                "python": platform.python_version(),
                "numpy": np.__version__,
                "torch": torch.__version__,
            },
            "plugins": {path.name: plugins.digest(path) for path in job.plugins},
        }
    )
    down, up = setup.payload(job, parts.model)
    dataset, card = parts.dataset, parts.dataset.card
    log.append(
        {
            "kind": "population",
            "dataset": card.name,
            "fingerprint": dataset.fingerprint,
            "task": card.task,
            "metric": card.metric,
            "model": (job.model or card.model).name,
            "parameters": parts.model.parameters,
            "bytes_down": down,
            "bytes_up": None if parts.plugins.client.must_train_to_price() else up,
            **_group_sizes(dataset, parts),
            "devices": job.devices.source,
            "availability": job.availability.source,
            "baselines": baselines(dataset, parts.split.train, parts.test_clients) if len(parts.test_clients) else {},
        }
    )


def _group_sizes(dataset: FederatedDataset, parts: setup.Parts) -> dict[str, Mapping[str, int]]:
    split = parts.split
    held_out = dataset.counts - parts.samples
    groups: dict[str, tuple[Any, Any]] = {
        "train": (split.train, parts.samples),
        "validation": (split.validation, dataset.counts),
        "test": (split.test, dataset.counts),
        "held_out": (split.train[held_out[split.train] > 0], held_out),
    }
    return {
        "clients": {name: len(clients) for name, (clients, _) in groups.items()},
        "samples": {name: int(counts[clients].sum()) for name, (clients, counts) in groups.items()},
    }


def _write_model(run: Run, parts: setup.Parts, simulation: Simulation) -> None:
    tensors = parts.model.named_tensors(simulation.vector)
    write_bytes(run.directory / "model.safetensors", save(tensors))


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep other processes from working in the same run directory."""
    with (directory / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunError(f"{directory}: another process is at work on this run") from None
        yield
