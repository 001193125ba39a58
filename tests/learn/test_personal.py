"""Algorithms that make a model for each client, whole runs of them, against a few lines of numpy each."""

import numpy as np
import pytest
import torch
from regression import CLASSES, RATE, ROUNDS, SIZES, descend, digests, job, loss, probabilities
from safetensors.numpy import load_file
from torch.nn.functional import cross_entropy

from fedscale import resume, simulate
from fedscale.data.split import held_out_rows, training_rows
from fedscale.errors import JobError
from fedscale.report.log import read_log

SHARE = 0.25
SPLIT = {"train": 1, "validation": 0, "test": 0, "within_client": SHARE}


def held_out(**sections):
    return job(data={"split": SPLIT}, evaluate={"every": 1, "split": "held_out"}, **sections)


def evaluations(run):
    return [record for record in read_log(run.log) if record["kind"] == "evaluate"]


@pytest.fixture(scope="module")
def parts(clients):
    """Training and held-out part of each client, as (features with a 1 behind them, one-hot labels)."""
    rows = [(training_rows(n, SHARE, 1, c), held_out_rows(n, SHARE, 1, c)) for c, n in enumerate(SIZES)]
    return [[(x[part], y[part]) for part in both] for both, (x, y) in zip(rows, clients, strict=True)]


def measured(w, data):
    x, y = data
    return loss(w, x, y) * len(x), int((probabilities(w, x).argmax(1) == y.argmax(1)).sum())


def averaged(w, parts):
    """Yield the global model before each round, and after the last."""
    for _ in range(ROUNDS):
        yield w
        w = np.mean([descend(w, own, 3) for own, _ in parts], 0)
    yield w


def check(record, models, parts, before=None):
    losses, correct = zip(*(measured(w, rest) for w, (_, rest) in zip(models, parts, strict=True)), strict=True)
    np.testing.assert_allclose(record["sums"]["loss"], losses, rtol=1e-4)
    assert record["sums"]["correct"] == list(correct)
    assert record["metrics"]["accuracy"] == pytest.approx(sum(correct) / sum(record["count"]))
    if before is not None:
        losses = [measured(before, rest)[0] for _, rest in parts]
        np.testing.assert_allclose(record["sums"]["loss_before"], losses, rtol=1e-4)


@pytest.mark.parametrize("engine", ["plain", "vectorised"])
def test_finetune_measures_the_model_after_steps_on_the_clients_own_samples(engine, start, parts, tmp_path):
    algorithm = {"name": "finetune", "steps": 5, "lr": RATE}
    run = simulate(held_out(algorithm=algorithm, engine=engine), tmp_path / "run", workers=1)
    *_, end = averaged(start, parts)
    check(evaluations(run)[-1], [descend(end, own, 5) for own, _ in parts], parts, before=end)
    final = evaluations(run)[-1]["metrics"]
    assert final["loss"] < final["loss_before"]
    assert set(final) == {"accuracy", "accuracy_before", "loss", "loss_before"}
    plain = simulate(held_out(engine=engine), tmp_path / "plain", workers=1)
    assert digests(run) == digests(plain)
    assert evaluations(plain)[-1]["sums"]["loss"] == evaluations(run)[-1]["sums"]["loss_before"]


def test_finetune_without_steps_changes_nothing(tmp_path):
    run = simulate(held_out(algorithm={"name": "finetune", "steps": 0}), tmp_path / "run", workers=1)
    for record in evaluations(run):
        assert record["sums"]["loss"] == record["sums"]["loss_before"]


def ditto(w, parts, lam):
    """Yield the personal models after each round."""
    own = [w for _ in parts]
    for x in list(averaged(w, parts))[:-1]:
        own = [descend(v, d, 3, lambda g, u, x=x: g + lam * (u - x)) for v, (d, _) in zip(own, parts, strict=True)]
        yield own


@pytest.mark.parametrize("lam", [0.0, 0.5])
def test_ditto_measures_personal_models_and_leaves_the_global_one(lam, start, parts, tmp_path):
    run = simulate(held_out(algorithm={"name": "ditto", "lam": lam}), tmp_path / "run", workers=1)
    records = evaluations(run)[-ROUNDS:]
    for record, models in zip(records, ditto(start, parts, lam), strict=True):
        check(record, models, parts)
    plain = simulate(held_out(), tmp_path / "plain", workers=1)
    assert digests(run) == digests(plain)
    assert evaluations(plain)[-1]["sums"]["loss"] != records[-1]["sums"]["loss"]


def test_ditto_measures_the_global_model_where_nothing_is_kept(tmp_path):
    few = {"rounds": {"participants": 2, "over_commitment": 1, "count": 1}}
    run, plain = (simulate(held_out(algorithm=name, **few), tmp_path / name, workers=1) for name in ("ditto", "fedavg"))
    found, one = (
        dict(zip(r["clients"], r["sums"]["loss"], strict=True)) for r in (evaluations(x)[-1] for x in (run, plain))
    )
    trained = {record["client"] for record in read_log(run.log) if record["kind"] == "task"}
    assert {client for client in found if found[client] != one[client]} == trained
    assert len(trained) == 2


def test_what_ditto_computes_and_keeps(tmp_path):
    seconds = {}
    for name in ("fedavg", "ditto"):
        run = simulate(held_out(algorithm=name), tmp_path / name, workers=1)
        first = next(record for record in read_log(run.log) if record["kind"] == "task")
        seconds[name] = first["compute"]
        traffic = run.metrics.headline["bytes_up"], run.metrics.headline["bytes_down"]
        assert seconds.setdefault("traffic", traffic) == traffic
    assert seconds["ditto"] == pytest.approx(2 * seconds["fedavg"], rel=1e-4)


def network(hidden=5):
    return {
        "model": {"name": "mlp", "hidden": hidden},
        "local": {"steps": 3, "batch_size": 100, "lr": RATE, "lr_decay": 1},
    }


def state(run):
    """Return the tensors of an mlp: weights and biases of its two layers."""
    found = load_file(run.directory / "model.safetensors")
    return [torch.tensor(found[name]) for name in ("1.weight", "1.bias", "3.weight", "3.bias")]


@pytest.fixture(scope="module")
def begin(tmp_path_factory, dataset_cache):
    """The initial weights of that mlp."""
    settings = network() | {"local": {"lr": 1e-30}, "rounds": {"count": 1}}
    return state(simulate(job(**settings), tmp_path_factory.mktemp("begin") / "run", workers=1))


def outputs(w, x):
    return torch.relu(x[:, :-1] @ w[0].T + w[1]) @ w[2].T + w[3]  # without the 1 behind the features


def steps(w, data, count, chosen=(0, 1, 2, 3)):
    """Descend on some of the tensors of an mlp."""
    x, y = (torch.tensor(part, dtype=torch.float32) for part in data)
    for _ in range(count):
        w = [part.detach().requires_grad_() for part in w]
        gradients = torch.autograd.grad(cross_entropy(outputs(w, x), y), w)
        w = [p - RATE * g * (i in chosen) for i, (p, g) in enumerate(zip(w, gradients, strict=True))]
    return [part.detach() for part in w]


def own_layers(begin, parts, train):
    """Return the shared layer and everyone's own after all rounds; ``train`` is a client's task."""
    body, heads = begin[:2], [begin[2:] for _ in parts]
    for _ in range(ROUNDS):
        ends = [train([*body, *head], own) for head, (own, _) in zip(heads, parts, strict=True)]
        body = [torch.stack([end[i] for end in ends]).mean(0) for i in (0, 1)]
        heads = [end[2:] for end in ends]
    return body, heads


BY_HAND = {
    "fedper": lambda w, data: steps(w, data, 3),
    "fedrep": lambda w, data: steps(steps(w, data, 2, chosen=(2, 3)), data, 3, chosen=(0, 1)),
}


@pytest.mark.parametrize(
    "algorithm", ["fedper", {"name": "fedper", "personal": ["3.*"]}, {"name": "fedrep", "head_epochs": 2}], ids=str
)
def test_personal_layers_stay_on_the_client(algorithm, begin, parts, tmp_path):
    run = simulate(held_out(algorithm=algorithm, **network()), tmp_path / "run", workers=1)
    name = algorithm if isinstance(algorithm, str) else algorithm["name"]
    body, heads = own_layers(begin, parts, BY_HAND[name])
    for found, expected in zip(state(run), [*body, *begin[2:]], strict=True):  # the server's head never moved
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    data = [[torch.tensor(part, dtype=torch.float32) for part in rest] for _, rest in parts]
    losses = [
        float(cross_entropy(outputs([*body, *head], x), y, reduction="sum"))
        for head, (x, y) in zip(heads, data, strict=True)
    ]
    np.testing.assert_allclose(evaluations(run)[-1]["sums"]["loss"], losses, rtol=1e-4)


def test_personal_layers_do_not_travel_and_their_epochs_are_computed(tmp_path):
    runs = {
        name: simulate(held_out(algorithm=name, **network()), tmp_path / name, workers=1)
        for name in ("fedavg", "fedper", "fedrep")
    }
    tasks, head = ROUNDS * len(SIZES), CLASSES * (5 + 1)
    for key in ("bytes_down", "bytes_up"):
        traffic = {name: run.metrics.headline[key] for name, run in runs.items()}
        assert traffic["fedper"] == traffic["fedrep"]
        assert traffic["fedavg"] - traffic["fedper"] == pytest.approx(tasks * 4 * head, abs=tasks * 8)  # alignment
    first = {name: next(r for r in read_log(run.log) if r["kind"] == "task") for name, run in runs.items()}
    more = first["fedrep"]["compute"] / first["fedavg"]["compute"]
    assert more == pytest.approx(4 / 3, rel=1e-3)  # 3 steps with all samples, and an epoch
    assert first["fedper"]["compute"] == first["fedavg"]["compute"]


def test_what_travels_can_be_compressed(begin, parts, tmp_path):
    """Of the 35 numbers of the first layer, six travel up, and all as halves down; clients keep what was lost."""
    compression = {"up": {"name": "topk", "k": 6}, "down": {"name": "half"}}
    run = simulate(held_out(algorithm="fedper", compression=compression, **network()), tmp_path / "run", workers=1)

    def layers(flat):
        return [flat[:30].view(5, 6), flat[30:]]

    body, heads = torch.cat([begin[0].flatten(), begin[1]]), [begin[2:] for _ in parts]
    errors = [torch.zeros(35) for _ in parts]
    for _ in range(ROUNDS):
        sent, received = [], body.half().float()
        for i, (own, _) in enumerate(parts):
            *end, weight, bias = steps([*layers(received), *heads[i]], own, 3)
            wanted = torch.cat([end[0].flatten(), end[1]]) - received + errors[i]
            decoded = torch.zeros(35).index_fill_(0, wanted.abs().topk(6).indices, 1) * wanted
            errors[i], heads[i] = wanted - decoded, [weight, bias]
            sent.append(decoded)
        body = body + torch.stack(sent).mean(0)
    for found, expected in zip(state(run), [*layers(body), *begin[2:]], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    data = [[torch.tensor(part, dtype=torch.float32) for part in rest] for _, rest in parts]
    tested = layers(body.half().float())
    losses = [
        float(cross_entropy(outputs([*tested, *head], x), y, reduction="sum"))
        for head, (x, y) in zip(heads, data, strict=True)
    ]
    np.testing.assert_allclose(evaluations(run)[-1]["sums"]["loss"], losses, rtol=1e-4)
    first = next(record for record in read_log(run.log) if record["kind"] == "task")
    assert first["bytes_down"] == 8 + 2 * 35  # behind a header
    assert first["bytes_up"] == 8 + 5 + 4 * 6  # and behind a bit for each of 35 numbers
    (states,) = run.directory.rglob("states-*.bin")
    kept = 4 * (CLASSES * (5 + 1) + 35 + 1)  # the last layer, the error of the first, and a check
    assert states.stat().st_size % kept == 0


def test_a_codec_of_matrices_knows_those_that_travel(tmp_path):
    """PowerSGD of rank 1 takes 5 + 6 numbers for the first weights, and the biases as they are."""
    compression = {"up": {"name": "powersgd", "rank": 1}}
    run = simulate(held_out(algorithm="fedper", compression=compression, **network()), tmp_path / "run", workers=1)
    first = next(record for record in read_log(run.log) if record["kind"] == "task")
    assert first["bytes_up"] == 8 + 4 * (5 + 6 + 5)


def test_only_those_who_took_part_keep_layers(tmp_path):
    few = {"rounds": {"participants": 2, "over_commitment": 1, "count": 2, "weighting": "uniform"}}
    run = simulate(held_out(algorithm="fedper", **few, **network()), tmp_path / "run", workers=1)
    (states,) = run.directory.rglob("states-*.bin")
    assert states.stat().st_size == 4 * 4 * (CLASSES * (5 + 1) + 1)  # of 4 tasks: the last layer, and a check


def test_a_pretended_payload_is_charged_in_the_share_that_travels(tmp_path):
    settings = {"cost": {"payload_bytes": 59_000}, **network()}
    run = simulate(held_out(algorithm="fedper", **settings), tmp_path / "run", workers=1)
    first = next(record for record in read_log(run.log) if record["kind"] == "task")
    assert first["bytes_down"] == 35_000  # 5 × 7 of 59 numbers


def test_what_personal_layers_do_not_go_with(tmp_path):
    plugin = tmp_path / "own.py"
    plugin.write_text(
        "from fedscale.core.client import Client\n"
        "class Own(Client):\n"
        "    def serialize_results(self, result):\n"
        "        return bytes(10)\n"
    )
    for settings, why in [
        ({"plugins": [plugin]}, r"fedper.*Own has its own serialize_results"),
        ({"algorithm": {"name": "fedper", "personal": ["4.*"]}}, r"nothing fits personal '4\.\*'.*3\.weight"),
        ({"algorithm": {"name": "fedper", "personal": ["*"]}}, r"every parameter is personal"),
    ]:
        with pytest.raises(JobError, match=why):
            simulate(held_out(**({"algorithm": "fedper"} | network() | settings)), tmp_path / "run", workers=1)


PERSONAL = ["finetune", "ditto", "fedper", "fedrep"]


@pytest.mark.parametrize(
    "algorithm", [name if name == "ditto" else pytest.param(name, marks=pytest.mark.soak) for name in PERSONAL]
)
def test_the_same_for_two_workers_and_after_a_stop(algorithm, tmp_path, stop_after, resumed_by):
    some = {
        "rounds": {"participants": 3, "over_commitment": 1.3, "count": 6},
        "local": {"batch_size": 8},
        "engine": "auto",
        "model": {"name": "mlp", "hidden": 5},
        "checkpoint_every": 1,
    }
    whole = simulate(held_out(algorithm=algorithm, **some), tmp_path / "whole", workers=1)
    simulate(held_out(algorithm=algorithm, **some), tmp_path / "parts", workers=2, observer=stop_after(3))
    assert resume(tmp_path / "parts", workers=resumed_by).log.read_bytes() == whole.log.read_bytes()


@pytest.mark.parametrize("algorithm", PERSONAL)
def test_models_of_single_clients_cannot_be_tested_on_others(algorithm, tmp_path):
    others = {"train": 0.6, "validation": 0, "test": 0.4}
    with pytest.raises(JobError, match=rf"{algorithm}.*evaluate\.split to held_out"):
        simulate(job(algorithm=algorithm, data={"split": others}, **network()), tmp_path / "run")
