"""Full and failing disks: a typed error, nothing lost but the latest rounds, and the same bytes in the end."""

import errno
import os
import resource
import shutil
import subprocess

import numpy as np
import pytest
import rough
from typer.testing import CliRunner

from fedscale import Job, resume, simulate
from fedscale.cli.main import app
from fedscale.errors import LogError, RunError, WriteError
from fedscale.report.checkpoint import load_checkpoint


def short(**sections):
    """Six rounds that take a tenth of a second."""
    values = {
        "data": {"name": "synthetic", "clients": 30, "samples": 20, "classes": 4},
        "local": {"steps": 2, "batch_size": 8},
        "rounds": {"participants": 5, "count": 6},
        "server": {"name": "fedyogi"},
        "checkpoint_every": 2,
    }
    return Job.parse(values | sections)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What an undisturbed run of the short job leaves."""
    return rough.facts(simulate(short(), tmp_path_factory.mktemp("whole") / "run", workers=1).directory)


def failing(calls, code):
    """Stand in for ``os.fsync``: it does its work so many times and refuses from then on."""
    real, left = os.fsync, [calls]

    def fsync(handle):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(code, os.strerror(code))
        real(handle)

    return fsync


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=["full", "broken"])
def test_a_disk_that_refuses_at_any_moment_costs_the_latest_rounds_only(tmp_path, monkeypatch, whole, code):
    """A run syncs some fifteen times; each time is tried."""
    for calls in range(30):
        out = tmp_path / f"run-{calls}"
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", failing(calls, code))
            try:
                simulate(short(), out, workers=1)
            except WriteError as error:
                assert f"cannot be written: {os.strerror(code)}" in str(error)
                assert str(out) in str(error)
            else:
                break
        for path in (out / "checkpoints").glob("*"):
            load_checkpoint(path)
        if (out / "job.yaml").exists():
            resume(out, workers=1)
        else:
            simulate(short(), out, workers=1)
        assert rough.facts(out) == whole
    assert 10 < calls < 29


def test_a_limit_on_the_size_of_files_ends_a_run_with_a_message(rough_job, undisturbed, tmp_path):
    """A real refusal of the system, in the middle of the log; from the command line."""
    out = tmp_path / "run"
    done = subprocess.run(
        rough.command("run", rough_job, "--out", out, "--workers", 1),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"Ended before its time. Go on from the last checkpoint with: fedscale resume {out}",
        f"error: {out}/log.jsonl: cannot be written: File too large",
    ]
    assert (out / "log.jsonl").stat().st_size == 40_000
    resume(out, workers=1)
    assert rough.facts(out) == rough.facts(undisturbed)


def test_a_place_that_cannot_be_written_is_refused_by_name(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="file is a file: choose another place"):
        simulate(short(), tmp_path / "file", workers=1)
    with pytest.raises(WriteError, match=r"file/run: cannot be written: Not a directory"):
        simulate(short(), tmp_path / "file" / "run", workers=1)


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """A run of the rough job that kept a checkpoint of every attempt, and its facts."""
    folder = tmp_path_factory.mktemp("history")
    job = Job.load(rough.write_job(folder / "job", checkpoint_every=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fedscale.limits.CHECKPOINTS_KEPT", 1000)
        run = simulate(job, folder / "run", workers=1)
    return run.directory, rough.facts(run.directory)


def test_every_checkpoint_with_any_later_end_of_the_log_resumes_to_the_same_bytes(history, tmp_path):
    """All that a kill can leave: a checkpoint, and the log up to any byte after its offset."""
    directory, facts = history
    checkpoints = sorted((directory / "checkpoints").iterdir())
    assert len(checkpoints) > 30
    rng = np.random.Generator(np.random.PCG64(7))
    for checkpoint in checkpoints[::3]:
        out = tmp_path / checkpoint.stem
        (out / "checkpoints").mkdir(parents=True)
        shutil.copy(checkpoint, out / "checkpoints")
        shutil.copy(directory / "job.yaml", out)
        cut = int(rng.integers(load_checkpoint(checkpoint)["log"]["offset"], len(facts[0]) + 1))
        (out / "log.jsonl").write_bytes(facts[0][:cut])
        resume(out, workers=1)
        assert rough.facts(out) == facts, f"{checkpoint.name}, log cut at {cut}"


@pytest.fixture
def stopped(tmp_path, stop_after):
    """A run of the short job that was stopped after five rounds, with two checkpoints; newest first."""
    out = tmp_path / "run"
    simulate(short(), out, workers=1, observer=stop_after(5))
    checkpoints = sorted((out / "checkpoints").iterdir(), reverse=True)
    assert [path.name for path in checkpoints] == [
        "checkpoint-00000005.safetensors",
        "checkpoint-00000004.safetensors",
    ]
    return out, checkpoints


def resume_aloud(out):
    done = CliRunner().invoke(app, ["resume", str(out), "--workers", "1"])
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def test_a_damaged_checkpoint_is_said_aloud_and_the_one_before_it_is_used(stopped, whole):
    out, (newest, _) = stopped
    newest.write_bytes(newest.read_bytes()[:-10])
    said = resume_aloud(out)
    assert str(newest) in said[0]
    assert said[0].endswith(": not used")
    assert said[1] == "Going on after attempt 4."
    assert rough.facts(out) == whole


def test_if_all_checkpoints_are_damaged_the_run_starts_over_and_says_so(stopped, whole):
    out, checkpoints = stopped
    for path in checkpoints:
        path.write_bytes(b"")
    said = resume_aloud(out)
    assert [str(path) in line for path, line in zip(checkpoints, said, strict=False)] == [True, True]
    assert said[2] == "No sound checkpoint: starting from the beginning."
    assert rough.facts(out) == whole


def test_an_altered_log_is_not_gone_on_with(stopped):
    out, _ = stopped
    log = out / "log.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    lines[6] = lines[6].replace(b'"start":0.0', b'"start":1.0')
    log.write_bytes(b"".join(lines))
    with pytest.raises(LogError, match=r"log\.jsonl line 7: altered"):
        resume(out, workers=1)
    log.unlink()
    with pytest.raises(LogError, match="cannot be read: No such file"):
        resume(out, workers=1)


def test_what_a_killed_process_left_half_written_is_removed(stopped, whole):
    out, _ = stopped
    for name in (".job.yaml.1.part", "checkpoints/.checkpoint-00000006.safetensors.1.part"):
        (out / name).write_bytes(b"half")
    resume(out, workers=1)
    assert not list(out.rglob("*.part"))
    assert rough.facts(out) == whole
