"""kill -9, of the run and of its workers: whatever instant it hits, the run resumes to the same bytes."""

import random
import signal
import time

import psutil
import pytest
import rough

from fedscale import Job, resume, simulate


def kill_at_random(process, out, rng, most):
    """Kill a run at a random moment, most often after some attempts of ``most``; return its workers as they were."""
    if rng.random() < 0.2:
        time.sleep(rng.uniform(0, 3))
    else:
        rough.await_attempts(out, rng.randint(1, most), process)
        time.sleep(rng.uniform(0, 0.05))
    try:
        workers = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        workers = []
    process.kill()
    process.communicate()
    return workers


def check_kill(job, undisturbed, tmp_path, seed, kills=1):
    """Start a run, kill it ``kills`` times, let it come to its end, and compare."""
    rng = random.Random(seed)
    out = tmp_path / "run"
    most = (undisturbed / "timings.jsonl").read_bytes().count(b"\n") - 2
    for _ in range(kills):
        command = ["resume", out] if (out / "job.yaml").exists() else ["run", job, "--out", out]
        workers = kill_at_random(rough.start(*command, "--workers", rng.choice([1, 2])), out, rng, most)
        assert psutil.wait_procs(workers, timeout=10)[1] == [], f"seed {seed}: workers outlived their run"
    if (out / "job.yaml").exists():
        resume(out, workers=rng.choice([1, 2]))
    else:  # it was killed before it had begun
        simulate(Job.load(job), out, workers=1)
    assert rough.facts(out) == rough.facts(undisturbed), f"seed {seed}"
    left = [path.name for path in out.rglob(".*") if path.name != ".lock"]
    assert left == [], f"seed {seed}"


def test_a_run_that_is_killed_resumes_to_the_same_bytes(rough_job, undisturbed, tmp_path):
    check_kill(rough_job, undisturbed, tmp_path, random.SystemRandom().randrange(1 << 32))


@pytest.mark.soak
@pytest.mark.parametrize("number", range(25))
def test_many_kills(rough_job, undisturbed, tmp_path, number):
    check_kill(rough_job, undisturbed, tmp_path, random.SystemRandom().randrange(1 << 32), kills=1 + number % 3)


def kill_workers(job, out, every, limit):
    """Run on two workers and kill the elder one after every so many attempts; return how many were killed."""
    process = rough.start("run", job, "--out", out, "--workers", 2)
    main = psutil.Process(process.pid)
    killed, attempts = 0, 0
    while process.poll() is None:
        done = (out / "timings.jsonl").read_bytes().count(b"\n") if (out / "timings.jsonl").exists() else 0
        workers = sorted(main.children(), key=lambda worker: worker.create_time()) if process.poll() is None else []
        if done >= attempts + every and killed < limit and workers:
            workers[0].send_signal(signal.SIGKILL)
            killed, attempts = killed + 1, done
        time.sleep(0.02)
    assert process.returncode == 0, process.communicate()[0]
    process.communicate()
    return killed


def test_workers_that_are_killed_cost_nothing_but_time(rough_job, undisturbed, tmp_path):
    assert kill_workers(rough_job, tmp_path / "run", every=5, limit=2) == 2
    assert rough.facts(tmp_path / "run") == rough.facts(undisturbed)


@pytest.mark.soak
def test_a_worker_killed_in_every_round(rough_job, undisturbed, tmp_path):
    assert kill_workers(rough_job, tmp_path / "run", every=1, limit=100) > 15
    assert rough.facts(tmp_path / "run") == rough.facts(undisturbed)
