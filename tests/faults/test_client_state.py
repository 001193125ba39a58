"""Clients that keep a state between tasks, in one process and in several, across stops, kills and refusals."""

import errno
import os
import shutil
import time

import psutil
import pytest
import rough
from stateful import COUNTS, ILL, SIZED, check_counts, job

from fedscale import Job, resume, simulate
from fedscale.core.client import Client
from fedscale.errors import CheckpointError, DataError, JobError, WriteError
from fedscale.report.checkpoint import load_checkpoint
from fedscale.report.log import read_log


@pytest.fixture(params=["", SIZED + ILL], ids=["sound", "trained to be priced and often refused"])
def plugin(request, tmp_path):
    path = tmp_path / "counts.py"
    path.write_text(COUNTS + request.param)
    return path


@pytest.fixture(autouse=True)
def _small_files(monkeypatch):
    monkeypatch.setattr("fedscale.limits.STATES_SPARE_BYTES", 100)


def test_a_state_comes_back_the_same_from_any_number_of_workers_and_after_stops(plugin, tmp_path, stop_after):
    whole = simulate(job(plugin), tmp_path / "whole", workers=1)
    done = check_counts(whole.log)
    assert max(done.values()) > 1
    assert 0 < len(done) <= 24
    out = tmp_path / "parts"
    simulate(job(plugin), out, workers=1, observer=stop_after(1))
    resume(out, workers=2, observer=stop_after(3))
    assert resume(out, workers=1).log.read_bytes() == whole.log.read_bytes()


@pytest.fixture(scope="module")
def rough_states(tmp_path_factory):
    """A job with abandoned attempts and clients that come and go, and a run of it that nothing befell."""
    folder = tmp_path_factory.mktemp("rough")
    (folder / "counts.py").write_text(COUNTS)
    path = rough.write_job(
        folder,
        data={
            "name": "synthetic",
            "clients": 80,
            "samples": 30,
            "size_skew": 1.0,
            "split": {"within_client": 0.2, "train": 1.0, "validation": 0.0, "test": 0.0},
        },
        evaluate={"every": 2, "split": "held_out"},
        plugins=["counts.py"],
    )
    run = simulate(Job.load(path), folder / "run", workers=1)
    done = check_counts(run.log)
    assert max(done.values()) > 2
    kinds = [record["kind"] for record in read_log(run.log)]
    assert kinds.count("abandon") > 0
    return path, run.directory


def test_abandoned_attempts_change_nothing(rough_states):
    """The counts were checked against the log above; here: tasks completed in attempts that were abandoned."""
    _, directory = rough_states
    records = list(read_log(directory / "log.jsonl"))
    abandoned = {record["attempt"] for record in records if record["kind"] == "abandon"}
    tasks = [record for record in records if record["kind"] == "task" and record["attempt"] in abandoned]
    assert tasks
    assert all(task["fate"] != "completed" for task in tasks)


@pytest.mark.parametrize(
    ("attempts", "resumed_by"), [(12, 1), *(pytest.param(*soak, marks=pytest.mark.soak) for soak in [(1, 2), (20, 2)])]
)
def test_kills_of_the_run_and_of_workers_change_nothing(rough_states, tmp_path, monkeypatch, attempts, resumed_by):
    path, whole = rough_states
    out = tmp_path / "run"
    monkeypatch.setenv("SECONDS", "0.002")
    process = rough.start("run", path, "--out", out, "--workers", 2)
    rough.await_attempts(out, attempts, process)
    workers = psutil.Process(process.pid).children(recursive=True)
    if workers:
        workers[0].kill()  # in the middle of a task
    time.sleep(0.05)
    process.kill()
    process.communicate()
    monkeypatch.delenv("SECONDS")
    resume(out, workers=resumed_by)
    assert rough.facts(out) == rough.facts(whole)
    assert not list(out.rglob("*.part"))


def test_every_checkpoint_with_any_later_states_resumes_to_the_same_bytes(rough_states, tmp_path, monkeypatch):
    """All that a kill can leave: rows after those of the checkpoint, a file of a later generation, or half of it."""
    path, whole = rough_states
    monkeypatch.setattr("fedscale.limits.CHECKPOINTS_KEPT", 1000)
    out = tmp_path / "history"
    simulate(Job.load(path), out, workers=1)
    assert len(list((out / "states").iterdir())) > 2
    checkpoints = sorted((out / "checkpoints").iterdir())
    for number, checkpoint in enumerate(checkpoints[::3]):
        again = tmp_path / f"again{number}"
        shutil.copytree(out, again, ignore=shutil.ignore_patterns("checkpoint-*", "model.*"))
        shutil.copy(checkpoint, again / "checkpoints")
        with (again / "states" / "states-00000001.bin").open("ab") as file:
            file.write(b"half a row")
        (again / "states" / ".states-00000001.bin.1.part").write_bytes(b"half")
        resume(again, workers=1)
        assert rough.facts(again) == rough.facts(whole), checkpoint.name


def test_old_files_are_removed_when_no_checkpoint_needs_them(tmp_path, plugin):
    run = simulate(job(plugin, rounds={"participants": 9, "count": 20}), tmp_path / "run", workers=1)
    used = {load_checkpoint(path)["states"]["generation"] for path in (run.directory / "checkpoints").iterdir()}
    left = {int(path.stem[-8:]) for path in (run.directory / "states").iterdir()}
    assert used <= left
    assert min(left) == min(used)
    assert max(used) > 2


def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_room(tmp_path, plugin, monkeypatch):
    whole = simulate(job(plugin), tmp_path / "whole", workers=1)
    real, left = os.pwrite, [20]

    def full(handle, view, offset):
        left[0] -= 1
        if left[0] == 0:
            real(handle, view[:5], offset)
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(handle, view[:3], offset)  # a system may write less than it was asked to

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(WriteError, match=r"states-0000000\d\.bin: cannot be written: No space left on device"):
            simulate(job(plugin), out, workers=1)
    assert resume(out, workers=1).log.read_bytes() == whole.log.read_bytes()


class Forgetful(Client):
    """Keeps nothing."""


class Other(Client):
    """Keeps less."""

    @classmethod
    def state_length(cls, model):
        return 2


class Wrong(Client):
    """Says nonsense."""

    @classmethod
    def state_length(cls, model):
        return -1


@pytest.fixture
def stopped(tmp_path, stop_after):
    """The directory of a stopped run, and of its states."""
    path = tmp_path / "counts.py"
    path.write_text(COUNTS)
    simulate(job(path), tmp_path / "run", workers=1, observer=stop_after(1))
    return tmp_path / "run"


def test_another_class_cannot_go_on(stopped):
    for client, count in ((Forgetful, 0), (Other, 2)):
        with pytest.raises(
            CheckpointError, match=rf"kept 3 numbers .* now state_length says {count}: give the same class"
        ):
            resume(stopped, workers=1, client=client)


def test_a_file_that_was_cut_or_lost_is_named(stopped):
    path = stopped / "states" / "states-00000000.bin"
    with path.open("r+b") as file:
        file.truncate(30)
    with pytest.raises(CheckpointError, match=r"states-00000000\.bin: has 30 bytes, but .* was made after 144"):
        resume(stopped, workers=1)
    path.unlink()
    with pytest.raises(CheckpointError, match="has 0 bytes"):
        resume(stopped, workers=1)


def test_a_state_that_was_altered_is_not_used(stopped):
    path = stopped / "states" / "states-00000000.bin"
    path.write_bytes(bytes(len(path.read_bytes())))
    with pytest.raises(DataError, match=r"states-00000000\.bin row \d: the state of client \d+ is damaged"):
        resume(stopped, workers=1)


def test_a_length_that_is_none_is_refused(tmp_path):
    (tmp_path / "empty.py").touch()
    with pytest.raises(JobError, match=r"Wrong\.state_length returned -1"):
        simulate(job(tmp_path / "empty.py"), tmp_path / "run", workers=1, client=Wrong)


def test_a_dry_run_keeps_nothing(tmp_path):
    path = tmp_path / "counts.py"
    path.write_text(COUNTS)
    run = simulate(job(path, dry_run=True), tmp_path / "run", workers=1)
    assert not (run.directory / "states").exists()
