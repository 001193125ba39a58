"""What comparisons of algorithms rest on: an algorithm that is switched off makes the very versions of plain averaging.

And a result that is refused counts for nothing: the run is the one in which its client failed.
"""

import numpy as np
import pytest
from safetensors.numpy import load_file

from fedscale import Job, simulate
from fedscale.learn.attacks.members import malicious
from fedscale.report.check import check_log
from fedscale.report.log import read_log

CLIENTS = 20


def job(**sections):
    """All clients take part in every round, so nobody's result depends on what another one costs."""
    values = {
        "data": {
            "name": "synthetic",
            "clients": CLIENTS,
            "samples": 30,
            "size_skew": 0.5,
            "classes": 4,
            "shape": [6],
            "label_skew": 1.0,
            "split": {"train": 1, "validation": 0, "test": 0},
        },
        "model": {"name": "mlp", "hidden": 8},
        "local": {"steps": 4, "batch_size": 8, "lr": 0.2},
        "rounds": {"participants": CLIENTS, "over_commitment": 1, "count": 4, "weighting": "uniform"},
        "availability": "off",
        "engine": "plain",
    }
    for name, section in sections.items():
        values[name] = values[name] | section if isinstance(values.get(name), dict) else section
    return Job.parse(values)


def lines(run, kind):
    return [record for record in read_log(run.log) if record["kind"] == kind]


def digests(run):
    return [record["params"] for record in lines(run, "commit")]


def weights(run):
    tensors = load_file(run.directory / "model.safetensors")
    return np.concatenate([tensors[name].ravel() for name in sorted(tensors)])


@pytest.fixture(scope="module")
def plain(tmp_path_factory, dataset_cache):
    """Plain averaging, by each engine."""
    folder = tmp_path_factory.mktemp("plain")
    return {engine: simulate(job(engine=engine), folder / engine, workers=1) for engine in ("plain", "vectorised")}


SWITCHES = {
    "fedprox": lambda on: {"local": {"objective": {"name": "fedprox", "mu": 1.0 * on}}},
    "private": lambda on: {"local": {"private": {"clip": 0.1 if on else 1e9, "noise": 0, "sampling": "shuffled"}}},
    "scaffold": lambda on: {"algorithm": {"name": "scaffold", "control": 1.0 * on}},
    "qfedavg": lambda on: {"algorithm": {"name": "qfedavg", "q": 2.0 * on}},
    "heterofl": lambda on: {"algorithm": {"name": "heterofl", "widths": [1, 0.5] if on else [1]}},
    "fedavgm": lambda on: {"server": {"name": "fedavgm", "momentum": 0.9 * on}},
    "norm_clipping": lambda on: {"aggregation": {"name": "norm_clipping", "bound": 0.1 if on else 1e9}},
    "trimmed_mean": lambda on: {"aggregation": {"name": "trimmed_mean", "share": 0.2 * on}},
    "topk": lambda on: {"compression": {"up": {"name": "topk", "ratio": 0.1 if on else 1.0}}},
    "random_k": lambda on: {"compression": {"up": {"name": "random_k", "ratio": 0.5} if on else "none"}},
    "attack": lambda on: {"attack": {"name": "sign_flip", "fraction": 0.3 * on}},
    "max_norm": lambda on: {"rounds": {"max_norm": 0.4 if on else 1e9}},
}
"""Settings, switched on or off."""

ROUNDED = {
    "qfedavg": "it multiplies updates by 1/lr and divides their sum by as much",
    "private": "gradients of single samples are added up, not worked out together",
    "trimmed_mean": "it adds up all updates of a coordinate at once, not one update after another",
}
"""Why versions are the same but for rounding."""

BLOCKS = {
    "scaffold": "with corrections, even of zeros, linear layers do not take their steps themselves",
    "heterofl": "updates with a word on their width are added up one by one, and otherwise by a product of matrices",
    "norm_clipping": "updates that pass stages are added up one by one, and otherwise by a product of matrices",
    "topk": "the same",
    "max_norm": "updates are looked at before they are added up, and not all at once",
}
"""The same, where clients are trained in blocks."""


@pytest.mark.parametrize("engine", ["plain", "vectorised"])
@pytest.mark.parametrize("name", SWITCHES)
def test_what_is_switched_off_is_plain_averaging(name, engine, plain, tmp_path):
    run = simulate(job(engine=engine, **SWITCHES[name](False)), tmp_path / "off", workers=1)
    assert check_log(run.log).ok
    if name in ROUNDED or (engine == "vectorised" and name in BLOCKS):
        np.testing.assert_allclose(weights(run), weights(plain[engine]), rtol=0, atol=1e-6)
    else:
        assert digests(run) == digests(plain[engine])


@pytest.mark.parametrize("name", SWITCHES)
def test_what_is_switched_on_is_not(name, plain, tmp_path):
    run = simulate(job(**SWITCHES[name](True)), tmp_path / "on", workers=1)
    assert np.abs(weights(run) - weights(plain["plain"])).max() > 1e-4


@pytest.mark.parametrize("engine", ["plain", "vectorised"])
def test_one_cluster_is_plain_averaging(engine, plain, tmp_path):
    run = simulate(job(algorithm={"name": "ifca", "clusters": 1}, engine=engine), tmp_path / "one", workers=1)
    assert digests(run) == digests(plain["plain"])  # clients are trained one after another, whatever the engine
    costs = [[record["ledger"] for record in lines(one, "commit")] for one in (run, plain["plain"])]
    assert costs[0] == costs[1]


def test_the_engines_agree(plain):
    np.testing.assert_allclose(weights(plain["plain"]), weights(plain["vectorised"]), rtol=0, atol=1e-6)


FAILING = """
from fedscale.core.client import Client

class Failing(Client):
    def train(self, client_data, model, conf):
        if conf.client in {clients}:
            raise RuntimeError("not today")
        return super().train(client_data, model, conf)
"""

REFUSED = {
    "nan": {"attack": {"name": "nan", "fraction": 0.1}},
    "wrong_shape": {"attack": {"name": "wrong_shape", "fraction": 0.1}},
    "huge": {"attack": {"name": "huge", "norm": 1e10, "fraction": 0.1}, "rounds": {"max_norm": 100.0}},
    "infinite": {"attack": {"name": "huge", "fraction": 0.1}},  # its square is beyond float32
}


@pytest.fixture(scope="module")
def without(tmp_path_factory, dataset_cache):
    """The run in which the tenth of the clients that would attack fails instead."""
    folder = tmp_path_factory.mktemp("without")
    clients = set(malicious(np.arange(CLIENTS), 0.1, job().seed).tolist())
    assert len(clients) == 2
    plugin = folder / "failing.py"
    plugin.write_text(FAILING.replace("{clients}", str(clients)))
    run = simulate(job(plugins=[plugin]), folder / "run", workers=1)
    assert {task["client"] for task in lines(run, "task") if task["fate"] == "failed"} == clients
    return run


@pytest.mark.parametrize(
    ("name", "workers"),
    [
        *((name, 1) for name in REFUSED),
        ("wrong_shape", 2),
        *(pytest.param(name, 2, marks=pytest.mark.soak) for name in ("nan", "huge")),
    ],
)
def test_refused_results_count_for_nothing(name, workers, without, plain, tmp_path):
    run = simulate(job(**REFUSED[name]), tmp_path / "run", workers=workers)
    assert run.finished
    assert check_log(run.log).ok
    ledger = lines(run, "commit")[-1]["ledger"]
    assert (ledger["selected"], ledger["completed"], ledger["rejected"]) == (80, 72, 8)
    refused = {task["client"] for task in lines(run, "task") if task["fate"] == "rejected"}
    assert refused == {task["client"] for task in lines(without, "task") if task["fate"] == "failed"}
    assert digests(run) == digests(without)
    assert digests(run)[0] != digests(plain["plain"])[0]


@pytest.mark.parametrize("name", REFUSED)
def test_refused_results_of_blocks_of_clients_count_for_nothing(name, without, tmp_path):
    run = simulate(job(engine="vectorised", **REFUSED[name]), tmp_path / "run", workers=1)
    assert lines(run, "commit")[-1]["ledger"]["rejected"] == 8
    # Not digests: matrices of a whole block are multiplied in another order.
    np.testing.assert_allclose(weights(run), weights(without), rtol=0, atol=1e-6)
