"""The executor on a Ray cluster: nodes on this machine, the same bytes as without one, and nodes that are lost."""

import threading
import time

import numpy as np
import pytest
import torch

from fedscale.core.plugins import load_plugins
from fedscale.execute.cluster import RayCluster
from fedscale.execute.distributed import Distributed
from fedscale.execute.remote import hello
from fedscale.execute.spec import class_reference
from fedscale.outcomes import Fate

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'fedscale[ray]'")

QUICK_TO_NOTICE = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 300,
    "health_check_failure_threshold": 3,
}
"""Settings of Ray: a node that is gone is noticed within a second, and not within a quarter of a minute."""


@pytest.fixture(scope="module")
def nodes(dataset_cache):
    """A cluster of one node with one CPU; tests may add others, which are taken away again."""
    from ray.cluster_utils import Cluster

    place = {"num_cpus": 1, "object_store_memory": 100 << 20}
    cluster = Cluster(
        initialize_head=True, head_node_args={**place, "include_dashboard": False, "_system_config": QUICK_TO_NOTICE}
    )
    cluster.more = lambda: cluster.add_node(**place)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def distributed(nodes, make_spec, dataset, vector, planner):
    made = []

    def make(spec=None, workers=None):
        spec = spec or make_spec()
        cluster = RayCluster(nodes.address, workers, "cpu", 1.0)
        made.append(
            Distributed(
                cluster, hello(spec, dataset.fingerprint, len(vector)), len(vector), planner, together=spec.vectorised
            )
        )
        return made[-1]

    yield make
    for executor in made:
        executor.close()


@pytest.mark.parametrize("vectorised", [False, True])
def test_one_node_gives_the_same_bytes(make_spec, vector, tasks, distributed, here, vectorised):
    spec = make_spec(vectorised=vectorised)
    local, there = here(spec), distributed(spec)
    for _ in range(2):
        expected, found = local.train(vector, tasks), there.train(vector, tasks)
        assert torch.equal(expected.total, found.total)
        assert (expected.weight, expected.reports) == (found.weight, found.reports)
        vector = vector + expected.total / expected.weight
    clients = np.arange(20)
    assert local.test(vector, clients, 2)() == there.test(vector, clients, 2)()
    assert local.upload_sizes(vector, tasks) == there.upload_sizes(vector, tasks)


def test_a_node_that_is_lost_costs_time_and_nothing_else(
    nodes, make_spec, vector, tasks, distributed, trouble, marks, here
):
    expected = here().train(vector, tasks)
    other = nodes.more()
    spec = make_spec(plugins=[trouble], client=class_reference(load_plugins([trouble]).client))
    there = distributed(spec)
    there.train(vector, tasks)
    assert len(there._nodes()) == 2
    for task in tasks[3:9]:
        (marks / f"{task.client}-slow").touch()
    killer = threading.Thread(target=lambda: (time.sleep(1.0), nodes.remove_node(other, allow_graceful=False)))
    killer.start()
    found = there.train(vector, tasks)
    killer.join()
    assert torch.equal(expected.total, found.total)
    assert expected.reports == found.reports
    assert torch.equal(expected.total, there.train(vector, tasks).total)
    assert len(there._nodes()) == 1


def test_a_task_that_always_kills_its_worker_fails_alone(make_spec, vector, tasks, distributed, trouble, marks):
    (marks / "5-kill").touch()
    spec = make_spec(plugins=[trouble], client=class_reference(load_plugins([trouble]).client))
    found = distributed(spec).train(vector, tasks)
    (failed,) = [report for report in found.reports if report.fate is not None]
    assert failed.fate is Fate.FAILED
    assert "ended 3 workers" in failed.why
    assert [report.task for report in found.reports] == [task.task for task in tasks]
    assert found.weight == sum(report.weight for report in found.reports)


def test_a_hung_worker_is_replaced(make_spec, vector, tasks, distributed, trouble, marks, monkeypatch, here):
    monkeypatch.setattr("fedscale.limits.TASK_SECONDS", 1.0)
    expected = here().train(vector, tasks)
    (marks / "5-hang-once").touch()
    spec = make_spec(plugins=[trouble], client=class_reference(load_plugins([trouble]).client))
    assert torch.equal(expected.total, distributed(spec).train(vector, tasks).total)
