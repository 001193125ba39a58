"""The vectorised engine against the plain one, client by client, in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from fedscale.data.card import Card
from fedscale.data.federated import ClientData
from fedscale.data.ragged import Ragged
from fedscale.errors import EngineError
from fedscale.learn import engines
from fedscale.learn.build import build_model
from fedscale.learn.conf import TrainConf
from fedscale.learn.engines import choose_engine, stack_size
from fedscale.learn.model import Model
from fedscale.learn.objectives import FedProx, Plain
from fedscale.learn.samples import ClientSamples, Room
from fedscale.learn.tasks import Classification, NextToken
from fedscale.learn.vectorised import Assignment, Vectorised
from fedscale.learn.ways import AsChain, ByVmap, OnOneBatch
from fedscale.section import Component

SIZES = [7, 23, 1, 12, 40, 3]
CLASSES = 5
WORDS = dict.fromkeys(("title", "description", "client_is", "licence", "source", "citation", "verified"), "-")
IMAGE = Card(
    name="images",
    modality="tensor",
    task="classification",
    metric="accuracy",
    sample_shape=(8, 8),
    classes=CLASSES,
    model="mlp",
    **WORDS,
)
TEXT = Card(
    name="texts", modality="text", task="next_token", metric="accuracy", classes=CLASSES, model="char_gru", **WORDS
)
CONF = TrainConf(task=0, client=0, version=0, seed=5, lr=0.05, batch_size=8, steps=4, epochs=None)

IMAGES = {
    "logistic_regression": {},
    "mlp": {"hidden": 6},
    "cnn": {"channels": 2, "hidden": 5},
    "femnist_cnn": {},
}
TEXTS = {
    "context_mlp": {"context": 3, "embedding": 4, "hidden": 6},
    "transformer": {},
}


class Halved:
    """An objective of which nothing is known."""

    def adjust(self, gradients, weights, start):
        return [gradient / 2 for gradient in gradients]


LOCAL = {
    "steps": (Plain(), {}),
    "epochs": (Plain(), {"steps": None, "epochs": 2}),
    "fedprox": (FedProx(mu=0.3), {}),
    "momentum": (Plain(), {"momentum": 0.9, "weight_decay": 0.01, "steps": None, "epochs": 2}),
    "decay": (Plain(), {"weight_decay": 0.1}),
    "fedprox with all": (FedProx(mu=0.3), {"momentum": 0.5, "weight_decay": 0.1}),
    "own objective": (Halved(), {"momentum": 0.9}),
}


def clients(card):
    """Clients of very different sizes, and of sequences of very different lengths."""
    rng = np.random.default_rng(1)
    if card is IMAGE:
        columns = [{"x": rng.random((n, 8, 8)), "y": rng.integers(0, CLASSES, n)} for n in SIZES]
    else:
        texts = [[rng.integers(1, CLASSES, rng.integers(2, 9)) for _ in range(n)] for n in SIZES]
        columns = [{"tokens": Ragged.of(rows, np.int32)} for rows in texts]
    task = Classification(card) if card is IMAGE else NextToken()
    return [ClientSamples(ClientData(number, part), task) for number, part in enumerate(columns)]


def in_double(card, name, options):
    model = build_model(card, Component.model_validate({"name": name, **options}), 3)
    return Model(model.module.double(), model.task, torch.float64)


def by_plain(model, samples, confs, objective):
    vector, results = model.vector.clone(), []
    for one, conf in zip(samples, confs, strict=True):
        model.load(vector)
        loss = model.fit(one.minibatches(conf), objective, conf)
        results.append((model.vector - vector, loss))
    model.load(vector)
    return results


def assert_agreement(model, samples, objective, **options):
    confs = [replace(CONF, task=number, client=number, **options) for number in range(len(samples))]
    engine = Vectorised(model, objective, samples[4])
    deltas = engine.train(model.vector.clone(), [Assignment(*pair) for pair in zip(samples, confs, strict=True)])
    expected = by_plain(model, samples, confs, objective)
    for number, (delta, loss) in enumerate(expected):
        torch.testing.assert_close(deltas.vector(number, len(delta)), delta, rtol=1e-9, atol=1e-12)
        assert deltas.losses[number] == pytest.approx(loss, rel=1e-9)
        assert deltas.norms()[number] == pytest.approx(float(delta.norm()), rel=1e-9)
    return engine


@pytest.mark.parametrize("local", LOCAL)
@pytest.mark.parametrize("name", [*IMAGES, *TEXTS])
def test_every_model_comes_to_the_same_as_by_the_plain_engine(name, local):
    card = IMAGE if name in IMAGES else TEXT
    objective, options = LOCAL[local]
    assert_agreement(in_double(card, name, (IMAGES | TEXTS)[name]), clients(card), objective, **options)


def test_clients_with_as_many_full_batches_come_to_the_same():
    """Their labels are read for all steps at once."""
    samples = [one for one in clients(IMAGE) if len(one) >= CONF.batch_size]
    assert_agreement(in_double(IMAGE, "mlp", {"hidden": 6}), [*samples, *samples], Plain())


def test_clients_with_full_batches_only_but_not_as_many_come_to_the_same():
    """Passes over 40 and 16 samples are five steps and two of 8 rows each."""
    *_, large, _ = clients(IMAGE)
    small = ClientSamples(large.data.take(np.arange(16)), Classification(IMAGE))
    model = in_double(IMAGE, "mlp", {"hidden": 6})
    samples = [small, large, small, large, large, small]
    assert_agreement(model, samples, Plain(), steps=None, epochs=1)


@pytest.mark.parametrize("card", [IMAGE, TEXT])
def test_a_block_does_not_see_the_one_before(card):
    """It takes the same memory, of which it needs less."""
    model, samples = in_double(card, "mlp" if card is IMAGE else "context_mlp", {}), clients(card)
    confs = [replace(CONF, task=number, steps=None, epochs=2) for number in range(len(samples))]
    block = [Assignment(*pair) for pair in zip(samples, confs, strict=True)]
    engine = Vectorised(model, Plain(), samples[4])
    engine.train(model.vector.clone(), block)
    again = engine.train(model.vector.clone(), block[:3])
    fresh = Vectorised(model, Plain(), samples[4]).train(model.vector.clone(), block[:3])
    assert again.losses == fresh.losses
    assert all(torch.equal(*pair) for pair in zip(again.parts, fresh.parts, strict=True))


def test_room_is_of_the_shape_and_kind_that_is_asked_for():
    room = Room()
    first = room.take("x", (2, 6), np.dtype(np.float32))
    first[:] = 1
    again = room.take("x", (3, 2), np.dtype(np.float32))
    assert np.shares_memory(first, again)
    assert not np.shares_memory(room.take("y", (3, 2), np.dtype(np.float32)), again)
    for shape, kind in (((3, 2), np.int64), ((50, 2), np.float64), ((0, 2), np.float64)):
        taken = room.take("x", shape, np.dtype(kind))
        assert (taken.shape, taken.dtype, taken.flags.c_contiguous) == (shape, kind, True)
        assert not np.shares_memory(taken, first)


@pytest.mark.parametrize("name", ["char_gru", "char_lstm"])
def test_recurrent_models_are_refused(name):
    with pytest.raises(EngineError, match="Batching rule not implemented"):
        Vectorised(in_double(TEXT, name, {"hidden": 4}), Plain(), clients(TEXT)[4])


def module_of(layers):
    torch.manual_seed(2)
    return Model(nn.Sequential(nn.Flatten(), *layers).double(), Classification(IMAGE), torch.float64)


class Centred(nn.Module):
    """Samples of a batch have to do with each other: they cannot stand in one batch with those of others."""

    def forward(self, x):
        return x - x.mean(0)


class Twice(nn.Module):
    """One layer used twice: it must not change between."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 64)
        self.out = nn.Linear(64, CLASSES)

    def forward(self, x):
        return self.out(self.layer(torch.tanh(self.layer(x))))


class Half(nn.Module):
    """Layers of the usual kind in a module of one's own."""

    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(64, 6), nn.Linear(6, CLASSES)

    def forward(self, x):
        return self.outer(self.inner(x) / 2)


class OwnParameter(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(CLASSES))

    def forward(self, x):
        return x * self.scale


def frozen(layer):
    return layer.requires_grad_(False)


@pytest.mark.parametrize("objective", [Plain(), FedProx(mu=0.3)], ids=["plain", "fedprox"])
@pytest.mark.parametrize(
    "layers",
    [
        [Twice()],
        [nn.Linear(64, CLASSES), OwnParameter()],
        [frozen(nn.Linear(64, 6)), nn.ReLU(), nn.Linear(6, CLASSES)],
        [nn.Linear(64, 6, bias=False), nn.LayerNorm(6), nn.Tanh(), nn.Linear(6, CLASSES)],
        [nn.Linear(64, 6), nn.LayerNorm(6, elementwise_affine=False), nn.Linear(6, CLASSES)],
        [nn.Linear(64, 6), nn.Dropout(0.0), nn.GroupNorm(2, 6), nn.Linear(6, CLASSES)],
        [nn.Linear(64, 6, bias=False), nn.Tanh(), nn.Linear(6, 7), nn.Sigmoid(), nn.Linear(7, CLASSES), nn.ReLU()],
        [nn.Linear(64, 6), nn.ReLU(), nn.Tanh(), nn.Linear(6, CLASSES)],
        [nn.ReLU(), nn.Linear(64, CLASSES)],
        [Half()],
    ],
    ids=[
        "layer used twice",
        "own parameter",
        "frozen",
        "layer norm",
        "norm alone",
        "group norm",
        "activations",
        "two in a row",
        "activation first",
        "own forward",
    ],
)
def test_models_of_other_shapes_come_to_the_same(layers, objective):
    assert_agreement(module_of(layers), clients(IMAGE), objective)


def test_small_layers_step_by_themselves_where_nothing_else_is_wanted():
    """If this fails the engine still computes the same, but not in the quick way."""
    ways = [
        (in_double(IMAGE, "mlp", {}), AsChain, {0, 1, 2, 3}),
        (module_of([Half()]), OnOneBatch, {0, 1, 2, 3}),
        (module_of([Twice()]), OnOneBatch, set()),
        (module_of([nn.Linear(64, CLASSES), OwnParameter()]), ByVmap, set()),
    ]
    for model, kind, stepping in ways:
        way = assert_agreement(model, clients(IMAGE), Plain())._way
        assert (type(way), way.stepping) == (kind, stepping)


class Undecided(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Linear(64, 6), nn.BatchNorm1d(6), nn.Linear(6, CLASSES)],
        [nn.Linear(64, 6), nn.Dropout(0.5), nn.Linear(6, CLASSES)],
        [nn.Linear(64, CLASSES), Undecided()],
        [nn.Linear(64, 6), Centred(), nn.Linear(6, CLASSES)],
    ],
    ids=["batch norm", "dropout", "decision by data", "samples interact"],
)
def test_what_cannot_be_done_for_several_clients_at_once_is_refused(layers):
    with pytest.raises(EngineError, match=r"Error: \w+|have to do with each other"):
        Vectorised(module_of(layers), Plain(), clients(IMAGE)[4])


def choice(model, wanted="auto", own_train=None, device="cpu"):
    return choose_engine(wanted, model, Plain(), clients(IMAGE)[4], own_train, device)


def test_the_rule_and_its_reasons(monkeypatch):
    dense, conv = module_of([nn.Linear(64, CLASSES)]), in_double(IMAGE, "cnn", {})
    normed = module_of([nn.Linear(64, 6), nn.BatchNorm1d(6), nn.Linear(6, CLASSES)])
    assert choice(dense).name == choice(conv, "vectorised").name == choice(conv, device="cuda").name == "vectorised"
    assert (choice(dense, "plain").name, choice(dense, "plain").why) == ("plain", "as asked for")
    assert choice(conv).why == "Conv2d is slower for a block of clients on a CPU"
    assert choice(dense, "vectorised", "Mine").why == "Mine trains in its own way, one client after another"
    assert "torch.func.vmap refuses the model" in choice(normed, "vectorised").why
    monkeypatch.setattr(engines, "MOST_PARAMETERS", 300)
    assert choice(dense).why == "325 parameters: a block of clients would save nothing"


def test_blocks_are_as_large_as_the_cache_holds():
    # 4 MiB hold 9 copies of 108,670 parameters in float32, 21 of 48,670, and none of 6.6 million.
    assert [stack_size(n) for n in (108_670, 48_670, 6_600_000, 10)] == [8, 16, 4, 64]


@pytest.mark.parametrize(
    ("card", "task"), [(IMAGE, Classification(IMAGE)), (TEXT, NextToken())], ids=["images", "texts"]
)
def test_losses_of_groups_are_the_losses_of_each(card, task):
    shape = (12,) if card is IMAGE else (12, 4)
    outputs = torch.randn(*shape, CLASSES, generator=torch.Generator().manual_seed(0))
    targets = torch.randint(1, CLASSES, shape, generator=torch.Generator().manual_seed(0))
    targets[5] = task.fields[-1].pad
    outputs.requires_grad_()
    expected = torch.stack([task.loss(outputs[begin : begin + 4], targets[begin : begin + 4]) for begin in (0, 4, 8)])
    expected.sum().backward()
    losses, gradient = task.group_losses(outputs.detach(), targets, 3)
    torch.testing.assert_close(losses, expected.detach())
    torch.testing.assert_close(gradient, outputs.grad)


def test_auto_stores_no_large_stacks_of_gradients(monkeypatch):
    monkeypatch.setattr(engines, "MOST_UNFUSED", 300)
    dense = in_double(IMAGE, "logistic_regression", {})
    sample = clients(IMAGE)[4]
    assert choose_engine("auto", dense, FedProx(0.1), sample, None).name == "vectorised"
    chosen = choose_engine("auto", dense, Halved(), sample, None)
    assert (chosen.name, chosen.stack) == ("plain", 0)
    assert chosen.why == "Halved changes gradients in its own way: a block of 325 each takes longer to store"
