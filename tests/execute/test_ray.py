"""The executor on a Ray cluster: nodes on this machine, the same bytes as without one, and nodes that are lost."""

import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing

import numpy as np
import pytest
import torch
import yaml
from expected import check_one_failed, check_same
from typer.testing import CliRunner

from clusters import await_nodes, lose_after_its_first_block
from fedscale import Job, simulate
from fedscale.cli.main import app
from fedscale.core.client import Client
from fedscale.errors import DataError, JobError, MissingExtraError, RunError, WorkerError
from fedscale.execute.actor import _find
from fedscale.execute.cluster import RayCluster
from fedscale.execute.distributed import Distributed
from fedscale.execute.inprocess import InProcess
from fedscale.execute.remote import hello
from fedscale.execute.spec import build_runner
from fedscale.files import cache_directory
from fedscale.learn.build import build_model
from fedscale.learn.spool import Spool
from fedscale.section import Component

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'fedscale[ray]'")

pytestmark = pytest.mark.usefixtures("open_doors")


@pytest.fixture
def distributed(nodes, make_spec, dataset, planner):
    """An executor on the cluster, of a spec or the usual one."""
    with ExitStack() as stack:

        def make(spec=None, workers=None):
            spec = spec or make_spec()
            cluster = stack.enter_context(closing(RayCluster(nodes.address, workers, "cpu", 1.0)))
            length = len(build_model(dataset.card, spec.model, 3).vector)
            greeting = hello(spec, dataset.fingerprint, length)
            executor = Distributed(cluster, greeting, length, planner, kept=spec.kept)
            return stack.enter_context(closing(executor))

        yield make


@pytest.mark.parametrize("vectorised", [pytest.param(False, marks=pytest.mark.soak), True])
def test_one_node_gives_the_same_bytes(make_spec, vector, tasks, distributed, here, vectorised):
    spec = make_spec(stack=8 if vectorised else 0)
    check_same(here(spec), distributed(spec), vector, tasks)


def test_a_test_may_go_on_while_others_train(vector, tasks, distributed, here):
    local, there = here(), distributed()
    testing = there.test(vector, np.arange(20), 0)
    calls = []
    trained = there.train(vector + 1, tasks, lambda: calls.append(1))
    assert calls == [1]
    assert torch.equal(trained.total, local.train(vector + 1, tasks).total)
    assert testing() == local.test(vector, np.arange(20), 0)()


@pytest.fixture
def large(make_spec, dataset):
    """A model whose sums are too large to travel with the answers: Ray keeps them on the node."""
    model = Component(name="mlp", hidden=4000)
    return make_spec(model=model), build_model(dataset.card, model, 3).vector.clone()


def test_a_node_that_joins_is_used_and_one_that_is_lost_costs_nothing_but_time(
    nodes, large, tasks, distributed, here, monkeypatch
):
    """The second node is lost as soon as it has done a block: its sum is gone, and its worker is at the next one."""
    spec, vector = large
    expected = here(spec).train(vector, tasks)
    there = distributed(spec)
    there.train(vector, tasks)
    other = nodes.more()
    await_nodes(there, 2)
    answers = lose_after_its_first_block(nodes, other, monkeypatch)
    found = there.train(vector, tasks)
    assert torch.equal(expected.total, found.total)
    assert expected.reports == found.reports
    assert (other.node_id, None) in answers
    assert "lost" in {key for _, found in answers if found is not None for key in found}
    assert torch.equal(expected.total, there.train(vector, tasks).total)
    assert len(there._nodes()) == 1


def test_single_updates_come_along_where_a_rule_needs_them(troubled, vector, tasks, distributed, planner, marks):
    (marks / "5-nan").touch()
    spec = troubled(kept=len(tasks))
    with closing(InProcess(build_runner(spec), planner, Spool(len(tasks), len(vector)))) as local:
        expected, found = local.train(vector, tasks), distributed(spec).train(vector, tasks)
        assert len(found.updates) == len(tasks) - 1
        assert torch.equal(torch.stack(list(expected.updates)), torch.stack(list(found.updates)))


def test_a_task_that_kills_its_worker_fails_alone(troubled, vector, tasks, distributed, marks, monkeypatch):
    monkeypatch.setattr("fedscale.limits.TASK_DEATHS", 1)
    (marks / "5-kill").touch()
    check_one_failed(distributed(troubled()).train(vector, tasks), tasks, deaths=1)


def test_a_hung_worker_is_replaced(troubled, vector, tasks, distributed, marks, monkeypatch, here):
    monkeypatch.setattr("fedscale.limits.TASK_SECONDS", 1.0)
    expected = here().train(vector, tasks)
    (marks / "5-hang-once").touch()
    assert torch.equal(expected.total, distributed(troubled()).train(vector, tasks).total)


def test_a_node_without_the_data_is_named_with_the_remedy(make_spec, vector, tasks, distributed, tmp_path):
    there = distributed(make_spec(dataset=tmp_path / "nowhere"))
    with pytest.raises(WorkerError, match=r"cannot start: DataError: node \S+: no dataset at \S+nowhere: .*data get"):
        there.train(vector, tasks)


def test_a_node_finds_the_data_in_its_own_cache(dataset, tmp_path, monkeypatch):
    cached = str(dataset.path.relative_to(cache_directory()))
    assert _find(tmp_path / "nowhere", cached, dataset.fingerprint) == dataset.path
    with pytest.raises(DataError, match="holds other samples"):
        _find(tmp_path / "nowhere", cached, "another")


def test_an_error_in_a_test_hook_comes_with_its_traceback(careless, vector, distributed):
    with pytest.raises(WorkerError, match=r"careless\.py\", line 4, in test(?s:.)*ZeroDivisionError"):
        distributed(careless).test(vector, np.arange(3), 0)()


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'fedscale\[ray\]'"):
        RayCluster(None, None, "cpu", 1.0)


def test_a_cluster_that_cannot_be_reached_is_an_error_and_not_a_wait():
    with closing(socket.create_server(("127.0.0.1", 0))) as nobody:
        port = nobody.getsockname()[1]
    with pytest.raises(WorkerError, match=f"cannot connect to Ray at 127.0.0.1:{port}: ConnectionRefusedError"):
        RayCluster(f"127.0.0.1:{port}", None, "cpu", 1.0)


def test_a_cluster_without_what_the_device_needs_is_an_error(nodes):
    with pytest.raises(RunError, match=r"1 CPUs and 0 GPUs, and a worker takes 1 CPU and 0\.5 GPU"):
        RayCluster(nodes.address, None, "cuda", 0.5)


def test_a_client_that_nodes_cannot_find_is_refused(tmp_path):
    class Local(Client):
        pass

    job = Job.parse({"data": {"name": "synthetic", "clients": 20}, "executor": "ray"})
    with pytest.raises(JobError, match="Local is defined in a notebook or a script"):
        simulate(job, tmp_path / "run", client=Local)
    assert not (tmp_path / "run").exists()


JOB = """
name: away
data: {name: synthetic, clients: 40, samples: 30, size_skew: 1.0}
rounds: {participants: 12, count: 25}
evaluate: {every: 2}
checkpoint_every: 1
plugins: [slow.py]
"""

SLOW = """
import time
from fedscale.core.client import Client

class Slow(Client):
    def train(self, client_data, model, conf):
        time.sleep(0.01)
        return super().train(client_data, model, conf)
"""


def fedscale(*arguments):
    command = [sys.executable, "-m", "fedscale.cli.main", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_run_on_a_cluster_killed_and_resumed_has_the_log_of_a_run_in_one_process(nodes, tmp_path):
    (tmp_path / "away.yaml").write_text(JOB)
    (tmp_path / "slow.py").write_text(SLOW)
    expected = simulate(Job.load(tmp_path / "away.yaml"), tmp_path / "here", workers=1)
    out, there = tmp_path / "away", ["--executor", "ray", "--address", nodes.address]
    with fedscale("run", tmp_path / "away.yaml", "--out", out, *there) as process:
        while not (out / "timings.jsonl").exists() or (out / "timings.jsonl").read_bytes().count(b"\n") < 5:
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.01)
        process.kill()
    said = CliRunner().invoke(app, ["resume", str(out), *there])
    assert "Going on after attempt" in said.output, said.output
    assert said.exit_code == 0
    assert (out / "log.jsonl").read_bytes() == expected.log.read_bytes()


def test_options_of_the_place_are_checked_and_belong_to_the_place_that_the_command_line_names(tmp_path):
    job = Job.parse({"data": {"name": "synthetic", "clients": 20}, "executor": {"name": "ray", "gpu_share": 2}})
    with pytest.raises(JobError, match=r"executor 'ray', option 'gpu_share': must be greater than 0 and at most 1"):
        simulate(job, tmp_path / "run")
    shown = CliRunner().invoke(
        app, ["run", "digits", "--executor", "ray", "--set", "executor.gpu_share=0.5", "--address", "auto", "--show"]
    )
    assert yaml.safe_load(shown.output)["executor"] == {"name": "ray", "address": "auto", "gpu_share": 0.5}


def test_where_a_job_runs_is_no_part_of_it():
    job = Job.parse({"data": "digits"})
    away = job.on("ray")
    assert (away.digest, away.facts()) == (job.digest, job.facts())
    assert away.executor.name == "ray"
    assert Job.parse({"data": "digits", "executor": "ray"}) == away
