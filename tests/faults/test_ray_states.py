"""States of clients on a cluster: the same bytes as in one process, whatever befalls nodes and workers."""

import json

import psutil
import pytest
from stateful import COUNTS, SIZED, check_counts, job

from clusters import await_nodes, lose_after_its_first_block
from fedscale import simulate
from fedscale.execute.distributed import Distributed
from fedscale.execute.remote import Remote

pytest.importorskip("ray", reason="Ray is not installed: pip install 'fedscale[ray]'")

LARGE = COUNTS.replace("LENGTH = 3", "LENGTH = 40_000")
"""States so large that Ray keeps them on the node that made them."""


@pytest.fixture
def runs(nodes, tmp_path):
    """Run a job with the client given in this process and on the cluster; return both directories."""

    def make(client, **sections):
        path = tmp_path / "counts.py"
        path.write_text(client)
        here = simulate(job(path, **sections), tmp_path / "here", workers=1)
        check_counts(here.log)
        away = job(path, **sections, executor={"name": "ray", "address": nodes.address})
        return here.directory, simulate(away, tmp_path / "away").directory

    return make


def files(directory):
    """Return what must not depend on where a run was: log, models, checkpoints and states."""
    names = ("log.jsonl", "model.safetensors", "checkpoints/*", "states/*")
    found = [path for name in names for path in sorted(directory.glob(name))]
    assert len(found) >= 5
    return {str(path.relative_to(directory)): content(path) for path in found}


def content(path):
    """Return a file's bytes; of a checkpoint, whose writer keeps no order in the names of its header, also those."""
    found = path.read_bytes()
    if path.parent.name != "checkpoints":
        return found
    end = 8 + int.from_bytes(found[:8], "little")
    return json.loads(found[8:end]), found[end:]


@pytest.mark.parametrize("more", ["", SIZED], ids=["sound", "trained to be priced"])
def test_states_travel_with_requests_and_new_ones_come_back(runs, more):
    here, away = runs(COUNTS + more)
    assert files(away) == files(here)


@pytest.fixture
def other(nodes):
    """Another node for one test."""
    node = nodes.more()
    yield node
    if node in nodes.worker_nodes:
        nodes.remove_node(node)


def test_states_that_are_lost_with_their_node_are_made_again(runs, nodes, other, monkeypatch):
    """In the third round: by then most clients have a state."""
    train, fetch, rounds, fetched = Distributed.train, Distributed._fetch, [], []

    def then_train(there, vector, tasks, meanwhile):
        rounds.append(tasks)
        if len(rounds) == 3:
            await_nodes(there, 2)
            lose_after_its_first_block(nodes, other, monkeypatch)
        return train(there, vector, tasks, meanwhile)

    def then_fetch(there, reference):
        fetched.append(fetch(there, reference))
        return fetched[-1]

    monkeypatch.setattr(Distributed, "train", then_train)
    monkeypatch.setattr(Distributed, "_fetch", then_fetch)
    here, away = runs(LARGE)
    assert other not in nodes.worker_nodes
    assert any(found is None for found in fetched)
    assert files(away) == files(here)


def kill_worker(node):
    """Kill the worker actor on a node with one CPU, by its process id."""
    (raylet,) = node.all_processes["raylet"]
    (worker,) = [
        child for child in psutil.Process(raylet.process.pid).children() if "Actor" in (child.cmdline() or [""])[0]
    ]
    worker.kill()


@pytest.mark.soak
def test_a_worker_killed_in_every_one_of_fifty_rounds(runs, nodes, other, monkeypatch):
    """On two nodes, as soon as it is given the first block of the round, the second, or the third."""
    train, ask, counts = Distributed.train, Remote.ask, []

    def then_train(there, vector, tasks, meanwhile):
        counts.append(0)
        return train(there, vector, tasks, meanwhile)

    def then_kill(station, request):
        ask(station, request)
        counts[-1] += request.get("kind") == "train"
        if counts[-1] == 1 + len(counts) % 3 and request.get("kind") == "train":
            kill_worker(next(node for node in (nodes.head_node, other) if node.node_id == station.node))
            killed.append(len(counts))

    killed = []
    monkeypatch.setattr(Distributed, "train", then_train)
    monkeypatch.setattr(Remote, "ask", then_kill)
    here, away = runs(COUNTS, rounds={"participants": 9, "count": 50})
    assert killed == list(range(1, 51))
    assert files(away) == files(here)
