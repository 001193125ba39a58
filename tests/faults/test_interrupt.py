"""Ctrl-C and terminations: once, the run stops in good order; twice, at once."""

import os
import signal
import time

import psutil
import pytest
import rough

from fedscale import resume
from fedscale.errors import RunError

ENDLESS = """
import time
from pathlib import Path
from fedscale.core.client import Client

class Endless(Client):
    def train(self, client_data, model, conf):
        Path({sign!r}).touch()
        time.sleep(600)
"""


@pytest.mark.parametrize(("number", "count"), [(signal.SIGINT, 2), (signal.SIGTERM, 1)])
def test_a_run_stops_in_good_order_and_goes_on_to_the_same_bytes(rough_job, undisturbed, tmp_path, number, count):
    out = tmp_path / "run"
    process = rough.start("run", rough_job, "--out", out, "--workers", count)
    rough.await_attempts(out, 7, process)
    workers = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, number)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Stopping after this round and a checkpoint; press Ctrl-C again to stop at once." in said
    assert said.endswith(f"Stopped after a checkpoint. Go on with: fedscale resume {out}\n")
    assert said.count("Traceback") == said.count("ValueError: client ")  # that of a client, if the run got so far
    assert len(workers) == (count if count > 1 else 0)
    assert psutil.wait_procs(workers, timeout=5)[1] == []
    resume(out, workers=1)
    assert rough.facts(out) == rough.facts(undisturbed)


def test_a_second_ctrl_c_stops_a_run_at_once(tmp_path):
    sign, out = tmp_path / "under-way", tmp_path / "run"
    job = rough.write_job(tmp_path / "job")
    (tmp_path / "job" / "moody.py").write_text(ENDLESS.format(sign=str(sign)))
    process = rough.start("run", job, "--out", out, "--workers", 2)
    while not sign.exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    workers = psutil.Process(process.pid).children(recursive=True)
    with pytest.raises(RunError, match="another process is at work on this run"):
        resume(out, workers=1)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    begin = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert time.monotonic() - begin < 5
    assert process.returncode == 130
    assert said.endswith(f"Ended before its time. Go on from the last checkpoint with: fedscale resume {out}\n")
    assert "Traceback" not in said
    assert len(workers) == 2
    assert psutil.wait_procs(workers, timeout=5)[1] == []


@pytest.mark.soak
def test_of_two_runs_begun_in_one_place_at_once_one_is_refused(rough_job, undisturbed, tmp_path):
    both = [rough.start("run", rough_job, "--out", tmp_path / "run", "--workers", 1) for _ in range(2)]
    said = [process.communicate()[0] for process in both]
    assert sorted(process.returncode for process in both) == [0, 1]
    refused = said[0] if both[0].returncode else said[1]
    assert "another process is at work" in refused or "is not empty" in refused
    assert rough.facts(tmp_path / "run") == rough.facts(undisturbed)
