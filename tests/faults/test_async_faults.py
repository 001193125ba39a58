"""An asynchronous run under faults: kills, workers, and clients that keep a state, always the same bytes."""

import random

import pytest
import rough
from stateful import COUNTS, SIZED, check_counts
from stateful import job as stateful_job
from test_kill import check_kill, kill_workers

from fedscale import resume, simulate
from fedscale.report.check import check_log
from fedscale.report.log import read_log

ROUNDS = {"participants": 6, "count": 24}
ASYNCHRONOUS = {"concurrency": 14, "max_staleness": 2, "refill": 2}


@pytest.fixture(scope="module")
def rough_job(dataset_cache, tmp_path_factory):
    """The rough job, asynchronous."""
    return rough.write_job(tmp_path_factory.mktemp("rough-async"), rounds=ROUNDS, asynchronous=ASYNCHRONOUS)


@pytest.fixture(scope="module")
def undisturbed(rough_job, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed-async") / "run"
    done = rough.run("run", rough_job, "--out", out, "--workers", 1)
    assert done.returncode == 0, done.stderr
    return out


def test_in_it_everything_happens(undisturbed):
    """Else the comparisons below would say little."""
    (end,) = [record for record in read_log(undisturbed / "log.jsonl") if record["kind"] == "end"]
    assert all(end["ledger"][fate] for fate in ("completed", "dropped", "failed", "rejected", "late", "cancelled"))
    commits = [record for record in read_log(undisturbed / "log.jsonl") if record["kind"] == "commit"]
    assert sum(record["staleness"] > 0 for record in commits) > 5
    assert check_log(undisturbed / "log.jsonl").ok


def test_a_run_that_is_killed_resumes_to_the_same_bytes(rough_job, undisturbed, tmp_path):
    check_kill(rough_job, undisturbed, tmp_path, random.SystemRandom().randrange(1 << 32))


@pytest.mark.soak
@pytest.mark.parametrize("number", range(25))
def test_many_kills(rough_job, undisturbed, tmp_path, number):
    check_kill(rough_job, undisturbed, tmp_path, random.SystemRandom().randrange(1 << 32), kills=1 + number % 3)


@pytest.mark.soak
def test_workers_that_are_killed_cost_nothing_but_time(rough_job, undisturbed, tmp_path):
    assert kill_workers(rough_job, tmp_path / "run", every=5, limit=2) == 2
    assert rough.facts(tmp_path / "run") == rough.facts(undisturbed)


@pytest.mark.parametrize("program", ["", pytest.param(SIZED, marks=pytest.mark.soak)], ids=["payload", "measured"])
def test_states_follow_the_tasks_of_their_client(tmp_path, stop_after, program, resumed_by):
    """With 12 of 24 clients at work and 9 in the buffer, a client may have two results in one buffer."""
    plugin = tmp_path / "counts.py"
    plugin.write_text(COUNTS + program)
    changes = {"rounds": {"participants": 9, "count": 6}, "asynchronous": {"concurrency": 12}, "devices": "builtin"}
    job = stateful_job(plugin, **changes)
    one = simulate(job, tmp_path / "one", workers=1)
    assert sum(check_counts(one.log).values()) == 54
    two = tmp_path / "two"
    simulate(job, two, workers=2, observer=stop_after(2))
    resume(two, workers=1, observer=stop_after(1))
    assert resume(two, workers=resumed_by).finished
    assert rough.facts(two) == rough.facts(one.directory)
    done = [record for record in read_log(one.log) if record["kind"] == "task" and record["fate"] == "completed"]
    pairs = [(record["attempt"], record["client"]) for record in done]
    assert len(set(pairs)) < len(pairs)
