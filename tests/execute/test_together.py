"""Blocks of clients that are trained at once: in a pool, with broken clients, and through the death of workers."""

import numpy as np
import pytest
import torch

from fedscale import limits
from fedscale.core.plugins import load_plugins
from fedscale.data.writer import StoreWriter
from fedscale.execute.inprocess import InProcess
from fedscale.execute.plan import Planner
from fedscale.execute.pool import Pool
from fedscale.execute.spec import build_runner, class_reference
from fedscale.learn.samples import ClientSamples
from fedscale.outcomes import Fate

DEADLY = """
import os, signal
from pathlib import Path
from fedscale.learn.samples import ClientSamples

MARK = Path({mark!r})

whole = ClientSamples.steps

def steps(self, conf):
    if MARK.exists() and conf.client == 13:
        if {once}:
            MARK.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(self, conf)

ClientSamples.steps = steps
"""


@pytest.fixture
def spec(make_spec):
    return make_spec(stack=8)


@pytest.fixture
def eights(dataset):
    return Planner(dataset.counts, 8)


@pytest.fixture
def pool(spec, vector, eights):
    pools = []

    def make(workers=2, spec=spec):
        pools.append(Pool(spec, workers, len(vector), eights))
        return pools[-1]

    yield make
    for made in pools:
        made.close()


@pytest.fixture
def expected(spec, eights, vector, tasks):
    return InProcess(build_runner(spec), eights).train(vector, tasks)


def test_the_sum_is_that_of_the_plain_engine(expected, here, vector, tasks):
    plain = here().train(vector, tasks)
    torch.testing.assert_close(expected.total, plain.total)
    assert expected.weight == plain.weight
    assert [report.task for report in expected.reports] == [task.task for task in tasks]
    assert [report.loss for report in expected.reports] == pytest.approx([report.loss for report in plain.reports])


@pytest.mark.parametrize("workers", [2, *(pytest.param(count, marks=pytest.mark.soak) for count in (1, 3))])
def test_any_number_of_workers_gives_the_same_bytes(expected, pool, vector, tasks, workers):
    found = pool(workers).train(vector, tasks)
    assert torch.equal(found.total, expected.total)
    assert (found.weight, found.reports) == (expected.weight, expected.reports)


def test_tests_go_on_while_clients_are_trained(spec, eights, pool, vector, tasks):
    local = InProcess(build_runner(spec), eights)
    there, clients = pool(), np.arange(20)
    first = there.test(vector, clients, 0)
    trained = there.train(vector, tasks)
    later = vector + trained.total / trained.weight
    second = there.test(later, clients, 1)  # another model: the first test must have been finished for it
    assert second() == local.test(later, clients, 1)()
    assert first() == local.test(vector, clients, 0)()


def test_a_test_keeps_its_model_though_another_is_shared_before_it_is_done(spec, eights, pool, vector):
    local, clients = InProcess(build_runner(spec), eights), np.arange(20)
    there = pool(1)  # whose worker is still being started when both are asked for
    first, second = there.test(vector, clients, 0), there.test(vector * 3, clients, 1)
    assert first() == local.test(vector, clients, 0)()
    assert second() == local.test(vector * 3, clients, 1)()


def deadly(make_spec, tmp_path, *, once):
    mark, plugin = tmp_path / "mark", tmp_path / "deadly.py"
    mark.touch()
    plugin.write_text(DEADLY.format(mark=str(mark), once=once))
    return make_spec(stack=8, plugins=[plugin])


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.soak)])
def test_a_worker_killed_in_a_block_costs_a_retry_and_nothing_else(
    expected, make_spec, pool, vector, tasks, tmp_path, workers
):
    found = pool(workers, deadly(make_spec, tmp_path, once=True)).train(vector, tasks)
    assert torch.equal(found.total, expected.total)
    assert found.reports == expected.reports


@pytest.mark.parametrize(("workers", "deaths"), [(1, 1), pytest.param(2, 3, marks=pytest.mark.soak)])
def test_of_a_block_that_always_kills_its_worker_one_task_fails(
    expected, make_spec, pool, vector, tasks, tmp_path, workers, deaths, monkeypatch
):
    monkeypatch.setattr(limits, "TASK_DEATHS", deaths)
    found = pool(workers, deadly(make_spec, tmp_path, once=False)).train(vector, tasks)
    client = {task.task: task.client for task in tasks}
    assert [client[report.task] for report in found.reports if report.fate is Fate.FAILED] == [13]
    assert f"ended {deaths} workers" in next(report.why for report in found.reports if report.fate)
    others = [report for report in expected.reports if client[report.task] != 13]
    assert found.weight == sum(report.weight for report in others)
    # Those of the same block were trained one after another in the end, which may round differently.
    assert [report.loss for report in found.reports if not report.fate] == pytest.approx([one.loss for one in others])


@pytest.fixture(scope="module")
def extreme(dataset, tmp_path_factory):
    """The dataset with inputs for client 0 that make its training overflow."""
    path = tmp_path_factory.mktemp("stores") / "extreme"
    with StoreWriter(path, dataset.card) as writer:
        for client in range(len(dataset)):
            x, y = (np.array(column) for column in dataset.client(client).columns.values())
            writer.append(np.array([len(x)]), {"x": np.full_like(x, 3e38) if client == 0 else x, "y": y})
    return path


def test_broken_clients_are_refused_and_the_rest_is_as_without_them(
    make_spec, eights, here, vector, tasks, extreme, monkeypatch
):
    def steps(samples, conf):
        if conf.client == 5:
            raise ValueError("no luck")
        return whole(samples, conf)

    whole = ClientSamples.steps
    monkeypatch.setattr(ClientSamples, "steps", steps)
    together = make_spec(stack=8, dataset=extreme)
    found = InProcess(build_runner(together), eights).train(vector, tasks)
    fates = {task.client: (report.fate, report.why) for task, report in zip(tasks, found.reports, strict=True)}
    assert fates[5] == (Fate.FAILED, "ValueError: no luck")
    assert fates[0] == (Fate.REJECTED, "the update is not finite")
    assert sum(fate is None for fate, _ in fates.values()) == 18
    sound = here().train(vector, [task for task in tasks if task.client not in (5, 0)])
    torch.testing.assert_close(found.total, sound.total)


SENDING = """
from fedscale.core.client import Client

class Sending(Client):
    def serialize_results(self, result):
        return bytes(result.samples)
"""


def test_uploads_of_blocks_are_measured_client_by_client(make_spec, eights, vector, tasks, dataset, tmp_path):
    plugin = tmp_path / "sending.py"
    plugin.write_text(SENDING)
    spec = make_spec(stack=8, plugins=[plugin], client=class_reference(load_plugins([plugin]).client))
    sizes = InProcess(build_runner(spec), eights).upload_sizes(vector, tasks)
    assert sizes == [dataset.counts[task.client] for task in tasks]
