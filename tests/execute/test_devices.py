"""Devices with little memory: the CPU plays them, with a limit that a plug-in file pretends.

The plug-in registers a meter, and counts what is at work on each "device" by files in a folder, one per worker; whoever
would exceed the limit gets the error that torch raises.
"""

import json
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch

from fedscale import Job, simulate
from fedscale.core.plugins import load_plugins
from fedscale.errors import WorkerError
from fedscale.execute.inprocess import InProcess
from fedscale.execute.plan import Planner
from fedscale.execute.pool import Pool
from fedscale.execute.spec import build_runner, class_reference
from fedscale.learn import build
from fedscale.learn.devices import METERS
from fedscale.learn.vectorised import Vectorised
from fedscale.outcomes import Fate

LIMITED = '''
import fcntl, json, os, time
from contextlib import contextmanager
from pathlib import Path

import torch

from fedscale.core.client import Client
from fedscale.learn import build
from fedscale.learn.devices import METERS, Usage
from fedscale.learn.vectorised import Vectorised

FOLDER = Path(os.environ["LIMITED"])


def setting(name, default):
    """Read each time, so that a test may change its mind."""
    return json.loads((FOLDER / "settings.json").read_text()).get(name, default)


class Meter:
    def count(self):
        return setting("devices", 1)

    def environment(self, device):
        return {"LIMITED_DEVICE": str(device)}

    def usage(self):
        return Usage(setting("peak", 1), setting("room", 1))

    def release(self):
        (FOLDER / "released").touch()


METERS.register("cpu", Meter)


def alive(path):
    return Path("/proc", path.name.split("-")[1]).exists()


@contextmanager
def locked():
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def taken(what, size, limit):
    """Take memory for a while; a worker that was ended has nothing any more."""
    own = FOLDER / f"{what}{os.environ.get('LIMITED_DEVICE', '')}-{os.getpid()}"
    with locked():
        others = [int(path.read_text()) for path in FOLDER.glob(own.name.split("-")[0] + "-*") if alive(path)]
        if size + sum(others) > limit:
            (FOLDER / "refused").touch()
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        own.write_text(str(size))
    try:
        yield
    finally:
        with locked():
            own.unlink()


class Limited(Client):
    def train(self, client_data, model, conf):
        size = setting("sizes", {}).get(str(conf.client), 1)
        with taken("work", size, setting("limit", 1000)):
            time.sleep(setting("seconds", 0.0))
            return super().train(client_data, model, conf)


train_together = Vectorised.train


def limited_train(self, vector, block, pull):
    with taken("work", sum(setting("sizes", {}).get(str(one.conf.client), 1) for one in block), setting("limit", 1000)):
        return train_together(self, vector, block, pull)


Vectorised.train = limited_train
build_model = build.build_model


def limited_build(card, chosen, seed, device="cpu"):
    if "LIMITED_DEVICE" in os.environ:
        with taken("models", 1, setting("models", 1000)):
            (FOLDER / f"models{os.environ['LIMITED_DEVICE']}-{os.getpid()}-kept").write_text("1")
    return build_model(card, chosen, seed, device)


build.build_model = limited_build
'''


@pytest.fixture
def limit(tmp_path, monkeypatch):
    """A function that sets what the devices have; its ``folder`` has the plug-in file."""
    folder = tmp_path / "limited"
    folder.mkdir()
    monkeypatch.setenv("LIMITED", str(folder))
    monkeypatch.setattr(METERS, "_entries", dict(METERS._entries))
    monkeypatch.setattr(Vectorised, "train", Vectorised.train)
    monkeypatch.setattr(build, "build_model", build.build_model)
    (tmp_path / "limited.py").write_text(LIMITED)

    def change(**settings):
        (folder / "settings.json").write_text(json.dumps(settings))

    change.plugin = tmp_path / "limited.py"
    change.folder = folder
    change()
    return change


@pytest.fixture
def spec(make_spec, limit):
    return make_spec(plugins=[limit.plugin], client=class_reference(load_plugins([limit.plugin]).client))


@pytest.fixture
def pool(spec, vector, planner):
    pools = []

    def make(workers, spec=spec, planner=planner):
        pools.append(Pool(spec, workers, len(vector), planner))
        return pools[-1]

    yield make
    for made in pools:
        made.close()


def same(one, other):
    return torch.equal(one.total, other.total) and (one.weight, one.reports) == (other.weight, other.reports)


def test_as_many_workers_join_each_device_as_there_is_room_for(limit, pool, vector, tasks, here):
    limit(devices=2, peak=10, room=23)  # 0.9 × 23 / 10: two
    there = pool(workers=8)
    assert len(there.processes) == 2
    expected = here().train(vector, tasks)
    assert same(there.train(vector, tasks), expected)
    there.train(vector, tasks)
    assert len(there.processes) == 4
    assert same(there.train(vector, tasks), expected)


@pytest.mark.parametrize(("devices", "workers"), [(1, 2), pytest.param(2, 3, marks=pytest.mark.soak)])
def test_no_more_join_than_were_asked_for(limit, pool, vector, tasks, devices, workers):
    limit(devices=devices, peak=1, room=1000)
    there = pool(workers)
    for _ in range(2):
        there.train(vector, tasks)
    assert len(there.processes) == workers


def test_half_of_the_workers_leave_when_memory_is_not_enough_and_the_rest_goes_on(limit, pool, vector, tasks, here):
    expected = here().train(vector, tasks)
    limit(peak=10, room=45, limit=2, seconds=0.03)  # there seems to be room for four
    there, seen = pool(workers=8), {1}
    for _ in range(30):
        assert same(there.train(vector, tasks), expected)
        seen.add(len(there.processes))
        if 2 in seen:
            break
    assert seen <= {1, 2, 4}
    clients = np.arange(20)
    assert there.test(vector, clients, 0)() == here().test(vector, clients, 0)()
    assert same(there.train(vector, tasks), expected)
    assert len(there.processes) == 2


def test_a_client_that_does_not_fit_even_alone_fails_and_the_others_go_on(limit, pool, vector, tasks, here):
    expected = here().train(vector, [task for task in tasks if task.client != 5])
    limit(peak=10, room=23, sizes={"5": 2000})
    there = pool(workers=2)
    for _ in range(2):
        found = there.train(vector, tasks)
        failed = [report for report in found.reports if report.fate is not None]
        assert [(report.task, report.fate) for report in failed] == [(by_client(tasks, 5), Fate.FAILED)]
        assert "does not fit into the memory of the device (cpu), even alone" in failed[0].why
        torch.testing.assert_close(found.total, expected.total)
        assert found.weight == expected.weight
    assert len(there.processes) == 1


def by_client(tasks, client):
    return next(task.task for task in tasks if task.client == client)


@pytest.mark.parametrize(
    ("in_process", "too_large"),
    [(True, []), (True, [5]), (False, [5]), pytest.param(False, [], marks=pytest.mark.soak)],
)
def test_fewer_clients_are_trained_at_once_when_memory_is_not_enough(
    spec, limit, pool, vector, tasks, dataset, in_process, too_large
):
    spec, eights = spec.model_copy(update={"stack": 8}), Planner(dataset.counts, 8, 8)
    tasks = [replace(conf, task=conf.task + 100 * times) for times in range(4) for conf in tasks]
    with closing(InProcess(build_runner(spec), eights)) as unlimited:
        expected = unlimited.train(vector, [task for task in tasks if task.client not in too_large])
    limit(limit=3, sizes=dict.fromkeys(map(str, too_large), 4))  # stacks of 8 and 4 are too large
    executor = InProcess(build_runner(spec), eights) if in_process else pool(1, spec, eights)
    for _ in range(2):
        found = executor.train(vector, tasks)
        torch.testing.assert_close(found.total, expected.total)
        assert found.weight == expected.weight
        failed = [report.task for report in found.reports if report.fate is not None]
        assert failed == [conf.task for conf in tasks if conf.client in too_large]
    assert (limit.folder / "released").exists()


def test_a_worker_that_finds_no_room_for_its_model_leaves_again(limit, pool, vector, tasks, here):
    limit(peak=1, room=1000, models=1)
    there, expected = pool(workers=2), here().train(vector, tasks)
    assert same(there.train(vector, tasks), expected)
    assert (limit.folder / "refused").exists()
    assert len(there.processes) == 1
    assert same(there.train(vector, tasks), expected)


def test_a_model_that_does_not_fit_at_all_ends_the_run(limit, pool, vector, tasks):
    limit(models=0)
    with pytest.raises(WorkerError, match="the model does not fit into the memory of the device"):
        pool(workers=4).train(vector, tasks)


def test_without_a_meter_the_error_ends_the_run_as_ever(limit, pool, vector, tasks):
    METERS._entries.pop("cpu")
    limit(limit=0)
    with pytest.raises(WorkerError, match="OutOfMemoryError: CUDA out of memory"):
        pool(workers=1).train(vector, tasks)


def test_a_test_that_does_not_fit_even_alone_ends_the_run(limit, pool, vector, tmp_path, make_spec):
    plugin = tmp_path / "greedy.py"
    plugin.write_text(
        "import torch\n"
        "from fedscale.core.client import Client\n"
        "class Greedy(Client):\n"
        "    def test(self, client_data, model, conf):\n"
        "        raise torch.OutOfMemoryError('CUDA out of memory')\n"
    )
    limit(peak=10, room=23)
    text = limit.plugin.read_text().replace("class Limited(Client)", "class Limited")
    limit.plugin.write_text(text)
    client = class_reference(load_plugins([plugin, limit.plugin]).client)
    with pytest.raises(WorkerError, match="OutOfMemoryError: CUDA out of memory"):
        pool(2, make_spec(plugins=[plugin, limit.plugin], client=client)).test(vector, np.arange(9), 0)()


@pytest.fixture
def job(limit):
    return Job.parse(
        {
            "data": {"name": "synthetic", "clients": 30, "samples": 12},
            "rounds": {"participants": 10, "count": 4},
            "evaluate": {"every": 2},
            "availability": "off",
            "plugins": [str(limit.plugin)],
            "engine": "plain",
        }
    )


@pytest.mark.soak
def test_the_log_of_a_run_is_the_same_with_and_without_a_limit(limit, job, tmp_path):
    free = simulate(job, tmp_path / "free", workers=1)
    limit(peak=10, room=45, limit=1, seconds=0.01)
    tight = simulate(job, tmp_path / "tight", workers=4)
    assert tight.log.read_bytes() == free.log.read_bytes()


def test_a_run_with_a_client_that_never_fits_says_so_in_its_log(limit, job, tmp_path):
    limit(sizes={str(client): 2000 for client in range(0, 30, 3)})
    one = simulate(job, tmp_path / "one", workers=1)
    limit(peak=10, room=23, sizes={str(client): 2000 for client in range(0, 30, 3)})
    several = simulate(job, tmp_path / "several", workers=3)
    assert several.log.read_bytes() == one.log.read_bytes()
    assert "it does not fit into the memory of the device (cpu)" in one.log.read_text()
