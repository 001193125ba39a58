"""The map and the fold: in this process, in worker processes, and through the death of workers."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
import psutil
import pytest
import torch
from expected import check_one_failed, check_same

from fedscale.core.plugins import load_plugins
from fedscale.errors import WorkerError, WriteError
from fedscale.execute import memory
from fedscale.execute.handle import HEAP
from fedscale.execute.pool import Pool
from fedscale.execute.spec import class_reference
from fedscale.outcomes import Fate
from fedscale.section import Component


@pytest.fixture
def pool(make_spec, vector, planner):
    pools = []

    def make(spec=None, workers=2):
        pools.append(Pool(spec or make_spec(), workers, len(vector), planner))
        return pools[-1]

    yield make
    for made in pools:
        made.close()


def test_a_round_of_a_linear_model_equals_numpy(dataset, make_spec, here):
    """Ten lines of numpy: softmax regression, two full-batch steps per client, mean weighted by samples."""
    from fedscale.learn.build import build_model
    from fedscale.learn.conf import TrainConf

    spec = make_spec(model=Component(name="logistic_regression"))
    vector = build_model(dataset.card, spec.model, 3).vector.clone()
    clients = [0, 2, 5, 8]
    confs = [TrainConf(i, c, 0, 3, lr=0.1, batch_size=100, steps=2, epochs=None) for i, c in enumerate(clients)]
    trained = here(spec).train(vector, confs)

    start = vector.numpy().astype(np.float64)
    total, samples = np.zeros_like(start), 0
    for client in clients:
        columns = dataset.client(client).columns
        x, y = np.asarray(columns["x"], np.float64), np.eye(4)[columns["y"]]
        w, b = start[:24].reshape(4, 6).copy(), start[24:].copy()
        for _ in range(2):
            p = np.exp(x @ w.T + b)
            error = (p / p.sum(1, keepdims=True) - y) / len(x)
            w, b = w - 0.1 * error.T @ x, b - 0.1 * error.sum(0)
        total += len(x) * (np.concatenate([w.ravel(), b]) - start)
        samples += len(x)
    assert trained.weight == samples
    np.testing.assert_allclose((trained.total / trained.weight).numpy(), total / samples, atol=1e-6)


def test_uniform_weights_count_every_client_alike(make_spec, vector, tasks, here):
    spec = make_spec(weighting="uniform")
    trained = here(spec).train(vector, tasks)
    assert trained.weight == len(tasks)
    alone = [here(spec).train(vector, [task]).total for task in tasks]
    torch.testing.assert_close(trained.total / trained.weight, torch.stack(alone).mean(0))


@pytest.mark.parametrize("workers", [*(pytest.param(count, marks=pytest.mark.soak) for count in (1, 2)), 3])
def test_worker_processes_give_the_same_bytes(vector, tasks, pool, workers, here):
    check_same(here(), pool(workers=workers), vector, tasks)


@pytest.mark.parametrize("workers", [0, 2])
def test_other_work_is_done_once_while_a_cohort_trains(vector, tasks, pool, workers, here):
    calls = []
    executor = pool(workers=workers) if workers else here()
    found = executor.train(vector, tasks, lambda: calls.append(1))
    assert calls == [1]
    assert torch.equal(found.total, here().train(vector, tasks).total)


def test_workers_keep_freed_memory_unless_the_user_tuned_it(pool, monkeypatch):
    trim, most = sorted(HEAP, reverse=True)
    monkeypatch.delenv(most, raising=False)
    monkeypatch.setenv(trim, "1000000")
    for pid in pool().processes:
        found = psutil.Process(pid).environ()
        assert (found[trim], found[most]) == ("1000000", HEAP[most])


def test_the_held_out_part_is_tested_and_not_trained_on(make_spec, vector, tasks, here):
    whole = here()
    parted = here(make_spec(within_client=0.2, test_on="held_out"))
    sums = parted.test(vector, np.arange(20), 0)()
    trained = parted.train(vector, tasks)
    by_client = {task.client: report.weight for task, report in zip(tasks, trained.reports, strict=True)}
    for one, other in zip(sums, whole.test(vector, np.arange(20), 0)(), strict=True):
        assert one.count + by_client[one.client] == other.count


def test_a_killed_worker_costs_a_retry_and_nothing_else(troubled, vector, tasks, pool, marks, here):
    expected = here().train(vector, tasks)
    for client in (5, 13):
        (marks / f"{client}-kill-once").touch()
    found = pool(troubled()).train(vector, tasks)
    assert list(marks.iterdir()) == []
    assert torch.equal(expected.total, found.total)
    assert expected.reports == found.reports


def test_a_worker_killed_from_outside_costs_a_retry_and_nothing_else(make_spec, vector, tasks, pool, here):
    expected = here().train(vector, tasks)
    there = pool()
    there.train(vector, tasks)
    killer = threading.Thread(target=lambda: (time.sleep(0.01), os.kill(there.processes[0], signal.SIGKILL)))
    killer.start()
    results = [there.train(vector, tasks) for _ in range(5)]
    killer.join()
    assert all(torch.equal(expected.total, found.total) for found in results)


@pytest.mark.parametrize(("workers", "deaths"), [(1, 2), pytest.param(2, 3, marks=pytest.mark.soak)])
def test_a_task_that_always_kills_its_worker_fails_alone(
    troubled, vector, tasks, pool, marks, workers, deaths, monkeypatch
):
    monkeypatch.setattr("fedscale.limits.TASK_DEATHS", deaths)
    (marks / "5-kill").touch()
    check_one_failed(pool(troubled(), workers).train(vector, tasks), tasks, deaths)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.soak)])
def test_a_hung_worker_is_replaced(troubled, vector, tasks, pool, marks, monkeypatch, here, workers):
    monkeypatch.setattr("fedscale.limits.TASK_SECONDS", 1.0)
    expected = here().train(vector, tasks)
    (marks / "5-hang-once").touch()
    assert torch.equal(expected.total, pool(troubled(), workers).train(vector, tasks).total)


@pytest.mark.parametrize("workers", [0, 1, pytest.param(2, marks=pytest.mark.soak)])
def test_broken_updates_are_refused_and_the_rest_is_as_without_them(
    troubled, vector, tasks, pool, marks, workers, here
):
    for name in ("5-raise", "0-nan", "13-shape"):
        (marks / name).touch()
    executor = pool(troubled(), workers) if workers else here(troubled())
    found = executor.train(vector, tasks)
    fates = {task.client: (report.fate, report.why) for task, report in zip(tasks, found.reports, strict=True)}
    assert fates[5] == (Fate.FAILED, "ValueError: no luck with <object object at 0x…>")
    assert fates[0] == (Fate.REJECTED, "the update is not finite")
    assert fates[13][0] is Fate.REJECTED
    assert f"not ({len(vector)},)" in fates[13][1]
    assert sum(fate is None for fate, _ in fates.values()) == 17
    sound = [task for task in tasks if task.client not in (5, 0, 13)]
    expected = here().train(vector, sound)
    torch.testing.assert_close(found.total, expected.total)
    assert found.weight == expected.weight


def test_a_worker_that_cannot_start_is_an_error_and_not_a_wait(make_spec, vector, tasks, pool, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("this is no python")
    with pytest.raises(WorkerError, match=r"cannot start: plugin .*broken\.py: SyntaxError"):
        pool(make_spec(plugins=[broken]), workers=1).train(vector, tasks)


def test_workers_that_keep_ending_between_tasks_are_an_error_and_not_a_loop(
    make_spec, vector, tasks, pool, tmp_path, monkeypatch
):
    monkeypatch.setattr("fedscale.limits.TASK_DEATHS", 1)
    plugin = tmp_path / "deadly.py"
    plugin.write_text(
        "import os, sys\n"
        "worker = sys.modules['__main__']\n"
        "if hasattr(worker, 'Worker'):\n"
        "    worker.Worker._model = lambda self, stamp: os._exit(1)\n"
    )
    with pytest.raises(WorkerError, match="end between tasks, again and again"):
        pool(make_spec(plugins=[plugin]), workers=1).train(vector, tasks)


def test_no_file_of_the_shared_memory_has_a_name(make_spec, vector, tasks, planner, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(memory.MEMORY.iterdir()) if memory.MEMORY.is_dir() else set()
    made = Pool(make_spec(), 1, len(vector), planner)
    made.train(vector, tasks)
    assert list(tmp_path.iterdir()) == []
    assert not memory.MEMORY.is_dir() or set(memory.MEMORY.iterdir()) <= before
    made.close()


def test_an_error_in_a_test_hook_comes_with_its_traceback(careless, vector, pool):
    with pytest.raises(WorkerError, match=r"careless\.py\", line 4, in test(?s:.)*ZeroDivisionError"):
        pool(careless, workers=1).test(vector, np.arange(3), 0)()


def test_without_room_for_shared_memory_the_place_is_named(monkeypatch):
    def full(**place):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(WriteError, match=f"{tempfile.gettempdir()}: cannot be written: No space left on device"):
        memory.nameless(12)


def test_shared_memory_goes_to_the_disk_where_memory_has_no_room(monkeypatch):
    real = tempfile.TemporaryFile

    def full_in_memory(**place):
        if place["dir"] is not None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real()

    monkeypatch.setattr(tempfile, "TemporaryFile", full_in_memory)
    with memory.nameless(12) as file:
        assert memory.as_vector(file).tolist() == [0.0, 0.0, 0.0]


ENDLESS = """
import time
from pathlib import Path
from fedscale.core.client import Client

class Endless(Client):
    def train(self, client_data, model, conf):
        Path({sign!r}).touch()
        time.sleep(600)
"""


def test_a_worker_ends_with_the_process_of_its_pool_even_in_a_task_without_end(make_spec, vector, tasks, tmp_path):
    sign, plugin = tmp_path / "under-way", tmp_path / "endless.py"
    plugin.write_text(ENDLESS.format(sign=str(sign)))
    spec = make_spec(plugins=[plugin], client=class_reference(load_plugins([plugin]).client))
    code = (
        "import numpy as np, torch; from fedscale.execute.plan import Planner;"
        "from fedscale.execute.pool import Pool; from fedscale.execute.spec import RunnerSpec;"
        "from fedscale.learn.conf import TrainConf;"
        f"spec = RunnerSpec.model_validate_json({spec.model_dump_json()!r});"
        f"pool = Pool(spec, 2, {len(vector)}, Planner(np.ones(20, int), 4));"
        "print(*pool.processes, flush=True);"
        f"print(pool.train(torch.zeros({len(vector)}), [{tasks[0]!r}]))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        workers = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
        while not sign.exists():
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.01)
        process.kill()
        gone, alive = psutil.wait_procs(workers, timeout=5)
    assert (len(gone), alive) == (2, [])
