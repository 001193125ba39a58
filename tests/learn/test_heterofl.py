"""Models of different widths: which numbers they have, what becomes of their updates, what they compute and move."""

import numpy as np
import pytest
import regression
import torch
from regression import CLASSES, FEATURES, ROUNDS, SIZES
from safetensors.numpy import load_file

from fedscale import resume, simulate
from fedscale.core.client import Client
from fedscale.core.client_manager import ClientManager
from fedscale.data.card import Card
from fedscale.data.catalogue import load_dataset
from fedscale.errors import JobError, RunError
from fedscale.learn.build import build_model
from fedscale.learn.codecs import build_codec
from fedscale.learn.compress import Compress
from fedscale.learn.conf import TrainConf
from fedscale.learn.narrow import Narrow, Scaler, multiply_adds, units
from fedscale.learn.stage import Visit
from fedscale.learn.updates import TrainResult
from fedscale.report.check import check_log
from fedscale.report.log import read_log
from fedscale.section import Component

WIDTHS = [1, 0.5, 0.25, 0.5, 0.25]
HIDDEN, RATE, STEPS = 8, 0.3, 3
MLP = {
    "model": {"name": "mlp", "hidden": HIDDEN},
    "local": {"lr": RATE},
    "algorithm": {"name": "heterofl", "widths": [1, 0.5, 0.25]},
    "rounds": {"weighting": "samples"},
}


def job(**sections):
    merged = {
        name: MLP[name] | section if isinstance(section, dict) and name in MLP else section
        for name, section in sections.items()
    }
    return regression.job(**MLP | merged)


class ByNumber(ClientManager):
    """The width of each client is written down above."""

    def select_model_for_client(self, client_id):
        return WIDTHS[client_id]


class Halves(ClientManager):
    def select_model_for_client(self, client_id):
        return 0.5


def lines(run, kind):
    return [record for record in read_log(run.log) if record["kind"] == kind]


def weights(run):
    found = load_file(run.directory / "model.safetensors")
    return [found[name].astype(np.float64) for name in ("1.weight", "1.bias", "3.weight", "3.bias")]


@pytest.fixture(scope="module")
def start(tmp_path_factory, dataset_cache):
    """The initial weights: those that a round with next to no rate leaves as they are."""
    run = simulate(job(local={"lr": 1e-30}, rounds={"count": 1}), tmp_path_factory.mktemp("start") / "run", workers=1)
    return weights(run)


@pytest.fixture(scope="module")
def clients(dataset_cache):
    dataset = load_dataset("synthetic", seed=1, sizes=tuple(SIZES), classes=CLASSES, shape=(FEATURES,))
    return [(samples[:, :-1], labels) for samples, labels in regression.load_clients(dataset)]


def local(model, x, y, width):
    """Train by the gradient written out; hidden units are divided by the width."""
    w, b, v, c = (part.copy() for part in model)
    for _ in range(STEPS):
        z = (x @ w.T + b) / width
        a = np.maximum(z, 0)
        p = np.exp(a @ v.T + c)
        g = (p / p.sum(1, keepdims=True) - y) / len(x)
        back = (g @ v) * (z > 0) / width
        w, b, v, c = w - RATE * back.T @ x, b - RATE * back.sum(0), v - RATE * g.T @ a, c - RATE * g.sum(0)
    return [w, b, v, c]


def heterofl(model, clients, widths, shares):
    for _ in range(ROUNDS):
        top, bottom = ([np.zeros_like(part) for part in model] for _ in range(2))
        for (x, y), width, share in zip(clients, widths, shares, strict=True):
            h = int(np.ceil(width * HIDDEN))
            places = [np.s_[:h], np.s_[:h], np.s_[:, :h], np.s_[:]]
            narrow = [part[place] for part, place in zip(model, places, strict=True)]
            for i, part in enumerate(local(narrow, x, y, width)):
                top[i][places[i]] += share * (part - narrow[i])
                bottom[i][places[i]] += share
        model = [w + t / np.maximum(b, 1e-30) for w, t, b in zip(model, top, bottom, strict=True)]
    return model


@pytest.mark.parametrize("engine", ["plain", "vectorised"])
@pytest.mark.parametrize("weighting", ["samples", "uniform"])
def test_a_run_equals_the_papers_equations(engine, weighting, start, clients, tmp_path):
    run = simulate(
        job(engine=engine, rounds={"weighting": weighting}), tmp_path / "run", workers=1, client_manager=ByNumber
    )
    shares = SIZES if weighting == "samples" else [1] * len(SIZES)
    for found, expected in zip(weights(run), heterofl(start, clients, WIDTHS, shares), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert check_log(run.log).ok
    assert lines(run, "population")[0]["engine"]["name"] == engine


def test_numbers_that_nobody_had_stay_as_they_are(start, clients, tmp_path):
    run = simulate(job(), tmp_path / "run", workers=1, client_manager=Halves)
    w, b, v, c = weights(run)
    assert (w[4:] == start[0][4:]).all()
    assert (b[4:] == start[1][4:]).all()
    assert (v[:, 4:] == start[2][:, 4:]).all()
    assert all((one != two).any() for one, two in ((w[:4], start[0][:4]), (v[:, :4], start[2][:, :4]), (c, start[3])))


def test_what_each_width_computes_and_moves(tmp_path):
    """6·8 + 8 + 8·4 + 4 = 92 numbers, 6·8 + 8·4 = 80 products; with 4 hidden units 48 and 40; with 2, 26 and 20."""
    run = simulate(job(), tmp_path / "run", workers=1, client_manager=ByNumber)
    (population,) = lines(run, "population")
    assert (population["bytes_down"], population["bytes_up"]) == (None, None)
    loads = {load["width"]: load for load in population["loads"]}
    assert {width: load["parameters"] for width, load in loads.items()} == {1: 92, 0.5: 48, 0.25: 26}
    assert {width: load["compute"] for width, load in loads.items()} == {1: 1, 0.5: 40 / 80, 0.25: 20 / 80}
    header = 72  # of a safetensors file with one vector of less than a hundred numbers
    for width, numbers in ((1, 92), (0.5, 48), (0.25, 26)):
        assert loads[width]["bytes_down"] == loads[width]["bytes_up"] == header + 4 * numbers
    whole = simulate(job(algorithm="fedavg"), tmp_path / "whole", workers=1)
    for one, other in zip(lines(run, "task"), lines(whole, "task"), strict=True):
        width = WIDTHS[one["client"]]
        assert one.get("width", 1) == width
        assert one["client"] == other["client"]
        assert one["compute"] == pytest.approx(other["compute"] * width, abs=1e-6)
        assert one["bytes_up"] == one["bytes_down"] == loads[width]["bytes_up"]
        assert one["upload"] == pytest.approx(other["upload"] * one["bytes_up"] / other["bytes_up"], abs=1e-6)


def test_a_pretended_payload_is_charged_in_the_share_that_travels(tmp_path):
    run = simulate(job(cost={"payload_bytes": 9200}), tmp_path / "run", workers=1, client_manager=ByNumber)
    assert [load["bytes_up"] for load in lines(run, "population")[0]["loads"]] == [9200, 4800, 2600]


CARDS = {
    "mlp": ({"hidden": 5}, (3, 2), 0.5, [(3, 6), (3,), (4, 3), (4,)]),
    "cnn": (
        {"channels": 3, "hidden": 5},
        (6, 4),
        0.5,
        [(2, 1, 3, 3), (2,), (3, 2, 3, 3), (3,), (3, 18), (3,), (4, 3), (4,)],
    ),
    "femnist_cnn": ({}, (8, 8), 0.25, [(8, 1, 5, 5), (8,), (16, 8, 5, 5), (16,), (512, 64), (512,), (4, 512), (4,)]),
    "context_mlp": ({"hidden": 6, "context": 2, "embedding": 3}, None, 0.5, [(4, 3), (3, 6), (3,), (4, 3), (4,)]),
}


def build(model, sample_shape, classes=4, **options):
    card = Card(
        name="x",
        title="",
        description="",
        task="next_token" if sample_shape is None else "classification",
        model=model,
        modality="text" if sample_shape is None else "tensor",
        classes=classes,
        sample_shape=sample_shape,
        client_is="",
        licence="",
        source="",
        citation="",
        verified="",
    )
    return build_model(card, Component(name=model, **options), seed=1)


def whole_model(name):
    options, shape, *_ = CARDS[name]
    return build(name, shape, **options)


@pytest.mark.parametrize("name", CARDS)
def test_a_narrow_model_computes_what_the_whole_one_does_without_the_other_units(name):
    _, shape, width, shapes = CARDS[name]
    whole = whole_model(name)
    narrow = Narrow(whole, width)
    assert [tuple(part.shape) for part in narrow.model.trainable] == shapes
    vector = whole.vector.abs()  # so that no hidden unit is at rest
    numbers, mask = narrow.cut(vector), narrow.mask()
    assert int(mask.sum()) == len(numbers) == narrow.length == sum(map(np.prod, shapes))
    assert torch.equal(narrow.spread(numbers), torch.where(mask, vector, 0))
    assert torch.equal(numbers, vector[mask])
    inputs = torch.randint(0, 4, (3, 7)) if shape is None else torch.rand(3, *shape)
    narrow.model.load(numbers)
    whole.load(torch.where(mask, vector, 0))
    for model in (whole, narrow.model):
        model.module.train(mode=False)
    torch.testing.assert_close(narrow.model.module(inputs), whole.module(inputs))
    narrow.model.module.train()  # hidden units are divided by the share of them that is left
    assert (narrow.model.module(inputs) - whole.module(inputs)).abs().max() > 1e-3


def test_masks_by_hand():
    """A perceptron 2 → 3 → 2 of which one hidden unit is left: W₁₁ W₁₂, b₁, V₁₁ V₂₁, c₁ c₂."""
    whole = build("mlp", (2,), classes=2, hidden=3)
    narrow = Narrow(whole, 1 / 3)
    expected = [*[1, 1, 0, 0, 0, 0], *[1, 0, 0], *[1, 0, 0, 1, 0, 0], *[1, 1]]
    assert narrow.mask().int().tolist() == expected
    assert narrow.cut(torch.arange(17.0)).tolist() == [0, 1, 6, 9, 12, 15, 16]
    assert narrow.spread(torch.arange(1.0, 8)).nonzero().flatten().tolist() == [0, 1, 6, 9, 12, 15, 16]


@pytest.mark.parametrize(
    ("size", "share", "left"), [(8, 0.5, 4), (5, 0.5, 3), (3, 1 / 3, 1), (10, 0.7, 7), (4, 0.01, 1), (7, 1.0, 7)]
)
def test_units_are_rounded_up(size, share, left):
    assert units(size, share) == left


def test_products_are_counted_by_hand():
    """On 6 × 4: 3 channels of 9 weights, 6 of 27, then 36 · 5 + 5 · 4; narrow 2 of 9, 3 of 18, then 18 · 3 + 3 · 4."""
    whole = whole_model("cnn")
    inputs = torch.zeros(1, 6, 4)
    assert multiply_adds(whole, inputs) == 24 * 3 * 9 + 24 * 6 * 27 + 36 * 5 + 20
    assert multiply_adds(Narrow(whole, 0.5).model, inputs) == 24 * 2 * 9 + 24 * 3 * 18 + 18 * 3 + 12
    assert multiply_adds(whole, torch.zeros(5, 6, 4)) == 5 * multiply_adds(whole, inputs)


def test_the_scaler_acts_in_training_only():
    scaler = Scaler(0.25)
    assert scaler(torch.ones(2)).tolist() == [4, 4]
    assert scaler.train(mode=False)(torch.ones(2)).tolist() == [1, 1]


@pytest.mark.parametrize(
    "assign", ["dynamic", *(pytest.param(name, marks=pytest.mark.soak) for name in ("device", "fixed"))]
)
def test_the_same_for_any_workers_and_after_a_stop(assign, tmp_path, stop_after, resumed_by):
    algorithm = {"name": "heterofl", "assign": assign}
    some = {"rounds": {"participants": 3, "over_commitment": 1.3, "count": 5}, "engine": "auto", "checkpoint_every": 1}
    whole = simulate(job(algorithm=algorithm, **some), tmp_path / "whole", workers=1)
    simulate(job(algorithm=algorithm, **some), tmp_path / "parts", workers=2, observer=stop_after(2))
    assert resume(tmp_path / "parts", workers=resumed_by).log.read_bytes() == whole.log.read_bytes()
    assert len({task.get("width", 1) for task in lines(whole, "task")}) > 1


def test_the_slower_the_narrower(tmp_path):
    rows = "".join(f"{client},{ms},1000,1000\n" for client, ms in enumerate([30, 10, 50, 20, 40]))
    (tmp_path / "devices.csv").write_text("client_id,ms_per_sample,down_kbps,up_kbps\n" + rows)
    devices = {"source": "csv", "file": tmp_path / "devices.csv", "assign": "in_order"}
    sizes = {"sizes": [40] * 5}
    run = simulate(job(devices=devices, data=sizes), tmp_path / "run", workers=1)
    # In the order 1, 3, 0, 4, 2 of their speed: places 0 · 3/5, 1 · 3/5, 2 · 3/5, 3 · 3/5, 4 · 3/5, rounded down.
    expected = {1: 1, 3: 1, 0: 0.5, 4: 0.5, 2: 0.25}
    assert {task["client"]: task.get("width", 1) for task in lines(run, "task")} == expected


def test_widths_are_drawn_once_or_for_each_task(tmp_path):
    found = {}
    for assign in ("fixed", "dynamic"):
        run = simulate(job(algorithm={"assign": assign}, rounds={"count": 6}), tmp_path / assign, workers=1)
        found[assign] = {}
        for task in lines(run, "task"):
            found[assign].setdefault(task["client"], set()).add(task.get("width", 1))
    assert all(len(widths) == 1 for widths in found["fixed"].values())
    assert len({width for (width,) in found["fixed"].values()}) > 1
    assert max(map(len, found["dynamic"].values())) == 3


def test_asynchronous_rounds_have_widths_too(tmp_path, stop_after):
    some = {
        "asynchronous": {"concurrency": 4},
        "rounds": {"participants": 2, "over_commitment": 1, "count": 6},
        "checkpoint_every": 1,
    }
    run = simulate(job(**some), tmp_path / "run", workers=1, client_manager=ByNumber)
    assert check_log(run.log).ok
    assert {(task["client"], task.get("width", 1)) for task in lines(run, "task")} == set(enumerate(WIDTHS))
    simulate(job(**some), tmp_path / "parts", workers=1, observer=stop_after(2), client_manager=ByNumber)
    assert resume(tmp_path / "parts", workers=1, client_manager=ByNumber).log.read_bytes() == run.log.read_bytes()


def test_old_results_count_less_as_in_federated_averaging(tmp_path):
    some = {"asynchronous": {"concurrency": 4}, "rounds": {"participants": 2, "over_commitment": 1, "count": 6}}
    wide, plain = (
        simulate(job(algorithm=algorithm, **some), tmp_path / name, workers=1)
        for name, algorithm in (("wide", {"widths": [1]}), ("plain", "fedavg"))
    )
    assert [line["params"] for line in lines(wide, "commit")] == [line["params"] for line in lines(plain, "commit")]
    assert max(line["staleness"] for line in lines(wide, "commit")) > 0


class Counting(Client):
    """Trains by itself, and says how large the model was that it got."""

    def train(self, client_data, model, conf):
        result = super().train(client_data, model, conf)
        assert len(result.delta) == model.parameters
        result.metrics["parameters"] = model.parameters
        return result

    def serialize_results(self, result):
        return bytes(len(result.delta))


def test_a_clients_own_program_gets_the_narrow_model_and_is_charged_for_it(tmp_path):
    run = simulate(job(), tmp_path / "run", workers=1, client_manager=ByNumber, client=Counting)
    expected = {1: 92, 0.5: 48, 0.25: 26}
    assert check_log(run.log).ok
    assert {task["fate"] for task in lines(run, "task")} == {"completed"}
    assert all(task["bytes_up"] == expected[WIDTHS[task["client"]]] for task in lines(run, "task"))


class Wrong(Client):
    def train(self, client_data, model, conf):
        result = super().train(client_data, model, conf)
        result.delta = torch.zeros(92)
        return result


def test_updates_of_another_length_than_the_clients_model_are_rejected(tmp_path):
    run = simulate(job(rounds={"count": 1}), tmp_path / "run", workers=1, client_manager=ByNumber, client=Wrong)
    tasks = {task["client"]: task for task in lines(run, "task")}
    assert [tasks[client]["fate"] for client in range(5)] == ["completed", *["rejected"] * 4]
    assert tasks[1]["why"] == "the update has shape (92,) and not (48,) in float32"


class Chosen(ClientManager):
    width = None

    def select_model_for_client(self, client_id):
        return self.width if client_id == 3 else 1.0


@pytest.mark.parametrize("width", [0.75, None, 2, "0.5"])
def test_other_widths_are_refused(width, tmp_path, monkeypatch):
    monkeypatch.setattr(Chosen, "width", width)
    with pytest.raises(
        RunError, match=rf"returned {width!r} for client 3: return one of self\.widths.*: 1, 0\.5, 0\.25"
    ):
        simulate(job(), tmp_path / "run", workers=1, client_manager=Chosen)


def test_updates_of_narrow_models_are_compressed_by_themselves(start, clients, tmp_path):
    """Everything is among the largest numbers, if all of them are sent; the bytes are those of so many."""
    up = {"name": "topk", "ratio": 1.0}
    run = simulate(job(compression={"up": up}), tmp_path / "run", workers=1, client_manager=ByNumber)
    assert check_log(run.log).ok
    for found, expected in zip(weights(run), heterofl(start, clients, WIDTHS, SIZES), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    codec = build_codec("topk", {"ratio": 1.0})
    sizes = {width: codec.size(numbers) for width, numbers in ((1, 92), (0.5, 48), (0.25, 26))}
    assert all(task["bytes_up"] == sizes[WIDTHS[task["client"]]] for task in lines(run, "task"))


def test_what_a_codec_leaves_out_is_kept_where_the_clients_model_was():
    """Of 17 numbers the narrow model has 0, 1, 6, 9, 12, 15, 16; its largest change is sent, the rest kept."""
    narrow = Narrow(build("mlp", (2,), classes=2, hidden=3), 1 / 3)
    compress = Compress({(1 / 3, 0): build_codec("topk", {"k": 1})}, {1 / 3: narrow})
    conf = TrainConf(0, 0, 0, 1, 0.1, 8, 1, None, width=1 / 3)
    before = torch.arange(17.0)
    visit = Visit(conf, 1, 8, 17, torch.zeros(17), torch.zeros(0), before)
    done = compress.finish(visit, TrainResult(narrow.spread(torch.tensor([0, 0, 0, 9.5, 0, 0, 0])), 8, 0.0))
    sent = torch.zeros(17)
    sent[9] = 9 + 9.5
    assert torch.equal(done.delta, sent)
    assert torch.equal(done.kept, torch.where(sent > 0, 0, before))


REFUSED = {
    "one width": ({"algorithm": "fedavg"}, r"Halves selects models.*'fedavg' has the whole one only: set algorithm to"),
    "no whole one": (
        {"algorithm": {"widths": [0.5, 0.25]}},
        r"'heterofl', option 'widths': must be .*1 among them.*0\.25",
    ),
    "twice": ({"algorithm": {"widths": [1, 0.5, 0.5]}}, r"'widths': must be different"),
    "too wide": ({"algorithm": {"widths": [1, 1.5]}}, r"'widths\[1\]'.*1\.5"),
    "assign": ({"algorithm": {"assign": "speed"}}, r"'heterofl', option 'assign'.*'device'.*got 'speed'"),
    "model": (
        {"model": "logistic_regression"},
        r"model 'logistic_regression' cannot be narrowed to 0\.5.*those that can be are cnn, context_mlp, femn",
    ),
    "privacy": (
        {"privacy": "gaussian", "rounds": {"weighting": "uniform"}},
        r"privacy 'gaussian' does not go with the widths of algorithm 'heterofl'",
    ),
    "rule": ({"aggregation": "median"}, r"aggregation 'median' does not go with the widths.*take mean"),
    "attack": ({"attack": {"name": "sign_flip", "fraction": 0.5}}, r"attack 'sign_flip' does not go"),
    "private": ({"local": {"private": {"clip": 1}}}, r"local\.private does not go with the widths"),
    "secure": ({"secure_aggregation": "bonawitz"}, r"secure_aggregation 'bonawitz' does not go with the widths"),
    "stale": ({"rounds": {"stale": {}, "deadline": 5}}, r"rounds\.stale: late updates are weighed"),
    "down": ({"compression": {"down": "half"}}, r"compression\.down does not go"),
    "pull": (
        {"asynchronous": {"concurrency": 2, "apply": "models"}, "rounds": {"participants": 2}},
        r"asynchronous\.apply.*take deltas",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_go_with_widths_is_refused(name, tmp_path):
    sections, message = REFUSED[name]
    with pytest.raises(JobError, match=message):
        simulate(job(**sections), tmp_path / "run", workers=1, client_manager=Halves)
