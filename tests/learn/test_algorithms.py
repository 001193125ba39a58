"""Algorithms, whole runs of them, against a few lines of numpy each, written from their papers."""

import numpy as np
import pytest
from regression import CLASSES, FEATURES, RATE, ROUNDS, SIZES, descend, digests, job, loss, trained

from fedscale import resume, simulate
from fedscale.errors import JobError
from fedscale.report.log import read_log


def everyone(clients):
    return [range(len(clients))] * ROUNDS


def scaffold(x, clients, parties=None):
    c, kept = np.zeros_like(x), [np.zeros_like(x) for _ in clients]
    for party in parties or everyone(clients):
        updates, changes = [], []
        for i in party:
            data = clients[i]
            y = descend(x, data, 3, lambda g, w, i=i, c=c: g - kept[i] + c)
            new = kept[i] - c + (x - y) / (3 * RATE)
            updates.append(y - x)
            changes.append(new - kept[i])
            kept[i] = new
        x, c = x + np.mean(updates, 0), c + len(party) / len(clients) * np.mean(changes, 0)
    return x


def feddyn(x, clients, parties=None, alpha=0.05):
    h, kept = np.zeros_like(x), [np.zeros_like(x) for _ in clients]
    for party in parties or everyone(clients):
        ends = []
        for i in party:
            end = descend(x, clients[i], 3, lambda g, w, i=i, x=x: g - kept[i] + alpha * (w - x))
            kept[i] = kept[i] - alpha * (end - x)
            ends.append(end)
        h = h - alpha * sum(end - x for end in ends) / len(clients)
        x = np.mean(ends, 0) - h / alpha
    return x


def fednova(x, clients, momentum=0.0):
    """By the vector a of each client's accumulated gradient weights, not by the closed form."""
    shares = np.array(SIZES) / sum(SIZES)
    steps = [2 * -(-n // 8) for n in SIZES]
    norms = [sum(sum(momentum**j for j in range(t - i)) for i in range(t)) for t in steps]
    for _ in range(ROUNDS):
        directions = []
        for data, t, norm in zip(clients, steps, norms, strict=True):
            directions.append((descend(x, data, t, momentum=momentum) - x) / norm)
        x = x + (shares @ norms) * sum(p * d for p, d in zip(shares, directions, strict=True))
    return x


def qfedavg(x, clients, q=2.0):
    for _ in range(ROUNDS):
        top, bottom = 0, 0
        for data in clients:
            f, change = loss(x, *data), (x - descend(x, data, 3)) / RATE
            top += f**q * change
            bottom += q * f ** (q - 1) * (change**2).sum() + f**q / RATE
        x = x - top / bottom
    return x


@pytest.mark.parametrize("engine", ["plain", "vectorised"])
@pytest.mark.parametrize(
    ("algorithm", "by_hand"),
    [("scaffold", scaffold), ({"name": "feddyn", "alpha": 0.05}, feddyn), ({"name": "qfedavg", "q": 2}, qfedavg)],
)
def test_a_run_equals_the_papers_equations(algorithm, by_hand, engine, clients, start, tmp_path):
    found = trained(tmp_path, "run", algorithm=algorithm, engine=engine)
    expected = by_hand(start, clients)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    plain = trained(tmp_path, "plain", engine=engine)
    assert np.abs(found - plain).max() > 1e-3  # it is not plain averaging


@pytest.mark.parametrize("engine", ["plain", "vectorised"])
@pytest.mark.parametrize(("algorithm", "by_hand"), [("scaffold", scaffold), ("feddyn", feddyn)])
def test_with_some_of_the_clients_in_each_round(algorithm, by_hand, engine, clients, start, tmp_path):
    options = {"name": algorithm} | ({"alpha": 0.05} if algorithm == "feddyn" else {})
    found = trained(tmp_path, "run", algorithm=options, engine=engine, rounds={"participants": 2})
    parties = [record["clients"] for record in read_log(tmp_path / "run" / "log.jsonl") if record["kind"] == "select"]
    assert len({tuple(party) for party in parties}) > 1
    np.testing.assert_allclose(found, by_hand(start, clients, parties), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_fednova_with_different_numbers_of_steps(momentum, clients, start, tmp_path):
    settings = {"algorithm": "fednova", "local": {"steps": None, "epochs": 2, "batch_size": 8, "momentum": momentum}}
    found = trained(tmp_path, "run", plugins=[whole(tmp_path)], rounds={"weighting": "samples"}, **settings)
    np.testing.assert_allclose(found, fednova(start, clients, momentum), rtol=1e-4, atol=1e-5)


def whole(tmp_path):
    """Return a plugin whose clients take as many steps as epochs of small batches have, each on all samples."""
    path = tmp_path / "whole.py"
    path.write_text(
        "import numpy as np\n"
        "from fedscale.core.client import Client\n"
        "class Whole(Client):\n"
        "    def train(self, client_data, model, conf):\n"
        "        rows = np.arange(len(client_data))\n"
        "        client_data.minibatches = lambda conf: [client_data.batch(rows) for _ in client_data.steps(conf)]\n"
        "        return super().train(client_data, model, conf)\n"
    )
    return path


@pytest.mark.parametrize(
    "algorithm", [{"name": "scaffold", "control": 0}, {"name": "qfedavg", "q": 0}, "fednova"], ids=str
)
def test_switched_off_it_is_federated_averaging(algorithm, tmp_path):
    found, plain = (trained(tmp_path, name, algorithm=one) for name, one in (("a", algorithm), ("b", "fedavg")))
    np.testing.assert_allclose(found, plain, rtol=1e-5, atol=1e-6)  # fednova, qfedavg multiply and divide by numbers


def test_scaffold_without_control_has_the_digests_of_federated_averaging(tmp_path):
    off, plain = (
        simulate(job(algorithm=algorithm), tmp_path / name, workers=1)
        for name, algorithm in (("off", {"name": "scaffold", "control": 0}), ("plain", "fedavg"))
    )
    assert digests(off) == digests(plain)


@pytest.mark.parametrize(
    "algorithm",
    ["scaffold", *(pytest.param(name, marks=pytest.mark.soak) for name in ("feddyn", "qfedavg", "fednova"))],
)
def test_the_same_for_two_workers_and_after_a_stop(algorithm, tmp_path, stop_after, resumed_by):
    some = {"rounds": {"participants": 3, "over_commitment": 1.3, "count": 6}, "engine": "auto", "checkpoint_every": 1}
    whole = simulate(job(algorithm=algorithm, **some), tmp_path / "whole", workers=1)
    simulate(job(algorithm=algorithm, **some), tmp_path / "parts", workers=2, observer=stop_after(3))
    assert resume(tmp_path / "parts", workers=resumed_by).log.read_bytes() == whole.log.read_bytes()


def test_what_scaffold_sends_is_charged_both_ways(tmp_path):
    runs = {
        name: simulate(job(algorithm=name), tmp_path / name, workers=1) for name in ("fedavg", "scaffold", "fednova")
    }
    down, up = ({name: run.metrics.headline[key] for name, run in runs.items()} for key in ("bytes_down", "bytes_up"))
    tasks, numbers = ROUNDS * len(SIZES), CLASSES * (FEATURES + 1)
    assert down["scaffold"] - down["fedavg"] == up["scaffold"] - up["fedavg"] == tasks * 4 * numbers
    assert up["fednova"] - up["fedavg"] == tasks * 4
    assert down["fednova"] == down["fedavg"]


def test_qfedavg_pays_for_the_loss_before_training(tmp_path):
    seconds = {}
    for name in ("fedavg", "qfedavg"):
        run = simulate(job(algorithm=name), tmp_path / name, workers=1)
        first = next(record for record in read_log(run.log) if record["kind"] == "task")
        seconds[name] = first["compute"], first["samples"], SIZES[first["client"]]
    plain, processed, samples = seconds["fedavg"]
    assert seconds["qfedavg"][0] == pytest.approx(plain * (3 * processed + samples) / (3 * processed), rel=1e-4)


def test_scaffold_refuses_momentum(tmp_path):
    with pytest.raises(JobError, match=r"scaffold.*local\.momentum.*must be 0"):
        simulate(job(algorithm="scaffold", local={"momentum": 0.5}), tmp_path / "run")


def test_unknown_algorithms_get_suggestions(tmp_path):
    with pytest.raises(JobError, match=r"unknown algorithm 'scafold'.*scaffold"):
        simulate(job(algorithm="scafold"), tmp_path / "run")
