"""Clusters of Ray on this machine, each node with its own Ray processes and memory, and what befalls them."""

import time
from contextlib import contextmanager

from fedscale.execute.remote import Remote

QUICK_TO_NOTICE = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 300,
    "health_check_failure_threshold": 3,
}
"""Settings of Ray: a node that is gone is noticed within a second, and not within a quarter of a minute."""


@contextmanager
def cluster_of_one():
    """Start a cluster of one node with one CPU, to which ``more()`` adds another node."""
    from ray.cluster_utils import Cluster

    place = {"num_cpus": 1, "object_store_memory": 100 << 20}
    cluster = Cluster(
        initialize_head=True, head_node_args={**place, "include_dashboard": False, "_system_config": QUICK_TO_NOTICE}
    )
    cluster.more = lambda: cluster.add_node(**place)
    try:
        yield cluster
    finally:
        cluster.shutdown()


def await_nodes(executor, count):
    """Wait until so many nodes have a worker that is ready."""
    deadline = time.monotonic() + 60
    while len(executor._nodes()) < count:
        assert time.monotonic() < deadline
        executor._grow()
        executor._wait([])


def lose_after_its_first_block(cluster, node, monkeypatch):
    """Have a node lost as soon as it has done a block: what it kept is gone, and its worker is at the next block.

    Returns:
        a list that is filled with the answers to all requests, each with the node that it is from.
    """
    answers, answer = [], Remote.answer

    def then_gone(station):
        found = answer(station)
        answers.append((station.node, found))
        if station.node == node.node_id and found is not None and "reports" in found and node in cluster.worker_nodes:
            cluster.remove_node(node, allow_graceful=False)
        return found

    monkeypatch.setattr(Remote, "answer", then_gone)
    return answers
