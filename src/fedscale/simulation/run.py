"""A run: its directory, and the functions that start it, resume it and read its results."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import save

from fedscale.errors import RunError
from fedscale.execute.base import Executor
from fedscale.execute.threads import one_thread
from fedscale.files import write_bytes, write_text, writing
from fedscale.job import Job
from fedscale.learn.model import Model, clustered_tensors
from fedscale.learn.states import States, open_states
from fedscale.report.checkpoint import State, load_newest
from fedscale.report.log import LogWriter
from fedscale.report.recorder import Recorder
from fedscale.rounds.buffered import BufferedRounds
from fedscale.rounds.ledger import Ledger
from fedscale.rounds.stale import StaleRounds
from fedscale.rounds.sync import Select, SyncRounds
from fedscale.section import Component
from fedscale.simulation import setup
from fedscale.simulation.asynchronous import AsyncSimulation
from fedscale.simulation.driver import Saving, Simulation
from fedscale.simulation.garbage import settled
from fedscale.simulation.head import check_data, check_job, write_head
from fedscale.simulation.pace import build_pace
from fedscale.simulation.policies import buffer_policy, policy
from fedscale.simulation.progress import Observer, Silent
from fedscale.simulation.secure import SecureSimulation
from fedscale.simulation.sites import Site, open_site
from fedscale.simulation.sites import executor as executor_of
from fedscale.simulation.stale import StaleBuffer, StaleSimulation
from fedscale.simulation.timings import Timings
from fedscale.simulation.work import Testing, Training

if TYPE_CHECKING:
    from fedscale.report.metrics import Metrics


LOCK = ".lock"


class Run:
    """A run directory: ``job.yaml``, ``log.jsonl``, ``timings.jsonl``, ``checkpoints/``, ``model.safetensors``.

    If clients keep states between tasks, these are in ``states/``; adapters are in ``adapters.safetensors`` too.
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)

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
        workers: processes to train with; by default one per core that this process may use, or that a cluster has.
        observer: is told of progress, and may ask to stop.
        classes: your own ``client``, ``client_manager`` or ``aggregator`` class.

    Raises:
        JobError: the job cannot be run as it is.
        RunError: the run cannot go on; what was reached is in the directory.
    """
    directory = Path(out) if out is not None else default_directory(job)
    _require_empty(directory)
    observer = observer or Silent()
    parts = setup.prepare(job, classes)
    if job.adapters is not None and job.initial is None:
        observer.notice(
            "adapters: the frozen base has random weights, drawn by the seed; name others in initial.weights"
        )
    with open_site(job, parts, workers, observer) as site:
        with writing(directory):
            directory.mkdir(parents=True, exist_ok=True)
        with _locked(directory), one_thread():
            _require_empty(directory)  # another process may have been quicker
            write_text(directory / "job.yaml", job.to_yaml())
            return _go(Run(directory), job, parts, None, site, observer)


def resume(
    directory: Path | str,
    *,
    workers: int | None = None,
    executor: Component | str | None = None,
    observer: Observer | None = None,
    **classes: type[Any],
) -> Run:
    """Go on with an interrupted run from its newest sound checkpoint, to the same end as if it had never stopped.

    Give the same ``classes`` as at the start; ``executor`` may be another than the job's. A finished run is returned as
    it is.

    Raises:
        RunError: there is no run in ``directory``, or another process is at work on it.
        CheckpointError: the job, a file that it names, or its data were changed since the run began.
        LogError: the log was altered.
    """
    run = Run(Path(directory))
    if not (run.directory / "job.yaml").exists():
        raise RunError(f"{directory}: no run is here (job.yaml is missing)")
    if run.finished:
        return run
    observer = observer or Silent()
    job = run.job if executor is None else run.job.on(executor)
    with _locked(run.directory), one_thread():
        _tidy(run.directory)
        check_job(run.log, job, observer)
        parts = setup.prepare(job, classes)
        check_data(run.log, parts)
        state = _newest_state(run, observer)
        with open_site(job, parts, workers, observer) as site:
            return _go(run, job, parts, state, site, observer)


def default_directory(job: Job) -> Path:
    """Return ``runs/<job name>-<date>-<time>``, with a number behind it if that exists."""
    base = Path("runs") / f"{job.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    candidates = [base, *(base.with_name(f"{base.name}-{number}") for number in range(2, 100))]
    return next(path for path in candidates if not path.exists())


def _require_empty(directory: Path) -> None:
    if directory.exists() and not directory.is_dir():
        raise RunError(f"{directory} is a file: choose another place")
    if directory.exists() and any(path.name != LOCK for path in directory.iterdir()):
        raise RunError(f"{directory} is not empty: choose another place, or resume the run in it")


def _tidy(directory: Path) -> None:
    """Remove what a process left that was killed while it wrote a file."""
    for part in directory.rglob(".*.part"):
        part.unlink()


def _newest_state(run: Run, observer: Observer) -> State | None:
    """Return the newest sound state of the run and say where it goes on, or ``None`` if it starts over."""
    state = load_newest(run.directory / "checkpoints", observer.notice)
    if state is None:
        observer.notice("No sound checkpoint: starting from the beginning.")
    else:
        observer.notice(f"Going on after attempt {state['coordinator']['attempt']}.")
    return state


def _go(run: Run, job: Job, parts: setup.Parts, state: State | None, site: Site, observer: Observer) -> Run:
    with ExitStack() as stack:
        states = open_states(run.directory / "states", parts.holding.length, state)
        if states is not None:
            stack.enter_context(closing(states))
        executor = stack.enter_context(closing(executor_of(job, parts, site, states)))
        log = stack.enter_context(closing(LogWriter(run.log, **state["log"]) if state else LogWriter(run.log)))
        recorder = Recorder(log, Ledger())
        stack.callback(recorder.write)
        simulation = _assemble(run, job, parts, executor, recorder, observer, site.workers, states)
        if state is None:
            write_head(log, job, parts)
        else:
            simulation.restore(state)
        stack.enter_context(settled())
        if simulation.finished or simulation.run():
            _write_model(run, parts, simulation)
    return run


def _assemble(
    run: Run,
    job: Job,
    parts: setup.Parts,
    executor: Executor,
    recorder: Recorder,
    observer: Observer,
    workers: int,
    states: States | None,
) -> Simulation:
    simulation = _kind(job, parts, lambda wanted, now: simulation.select(wanted, now))(
        setup.manager(job, parts),
        setup.aggregator(job, parts),
        parts.population,
        setup.pricer(job, parts),
        executor,
        recorder,
        Timings(run.directory / "timings.jsonl", workers),
        observer,
        training=Training(parts.local, job.seed, parts.measured, job.device, parts.attackers),
        testing=Testing(job.evaluate.split, parts.test_clients, parts.dataset.card.task, in_tasks=parts.tested),
        saving=Saving(run.directory / "checkpoints", job.checkpoint_every),
        states=states,
        pace=build_pace(job, parts.split.train, setup.pricer(job, parts)),
    )
    return simulation


def _kind(job: Job, parts: setup.Parts, select: Select) -> Callable[..., Simulation]:
    """Return what makes a run of the job's kind of rounds, of the parts that all have."""
    if job.rounds.stale is not None:
        stale = StaleRounds(policy(job.rounds, job.evaluate), select, job.rounds.stale.max_staleness)
        return partial(StaleSimulation, stale, StaleBuffer(job.rounds.stale.beta))
    if job.asynchronous is None:
        synchronous = SyncRounds(policy(parts.rounds, job.evaluate), select)
        return partial(Simulation if parts.secure is None else partial(SecureSimulation, parts.secure), synchronous)
    rounds = BufferedRounds(buffer_policy(job.asynchronous, job.rounds, job.evaluate), select)
    return partial(AsyncSimulation, rounds, setup.buffer(job.asynchronous, setup.single(job, parts)))


def _write_model(run: Run, parts: setup.Parts, simulation: Simulation) -> None:
    model, clusters = parts.model, parts.route.layout.clusters
    tensors = clustered_tensors(model.named_tensors, simulation.vector, clusters)
    if isinstance(model, Model) and model.adapters is not None:
        trained = clustered_tensors(model.adapter_tensors, simulation.vector, clusters)
        write_bytes(run.directory / "adapters.safetensors", save(trained))
    write_bytes(run.directory / "model.safetensors", save(tensors))


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep other processes from working in the same run directory."""
    with writing(directory / LOCK):
        file = (directory / LOCK).open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunError(f"{directory}: another process is at work on this run") from None
        yield
