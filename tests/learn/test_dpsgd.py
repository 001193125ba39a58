"""Private local steps: whole runs against a few lines of numpy, and the parts by hand."""

import numpy as np
import pytest
import torch
from regression import CLASSES, FEATURES, RATE, job, probabilities, trained
from torch import nn

from fedscale import resume, seeds, simulate
from fedscale.core.client import Client
from fedscale.data.card import Card
from fedscale.data.federated import ClientData
from fedscale.errors import JobError
from fedscale.job import LocalConf
from fedscale.learn import dpsgd
from fedscale.learn.conf import TrainConf
from fedscale.learn.dpsgd import DpSgd, add_clipped, check_model, way_to_each
from fedscale.learn.drawn import DRAWS
from fedscale.learn.model import Model
from fedscale.learn.objectives import Plain
from fedscale.learn.samples import ClientSamples
from fedscale.learn.tasks import Classification, NextToken
from fedscale.learn.ways import AsChain, ByVmap, OneByOne, OnOneBatch
from fedscale.private import PrivateConf
from fedscale.report.check import check_log
from fedscale.report.log import read_log


def lines(run, kind):
    return [record for record in read_log(run.log) if record["kind"] == kind]


def rows_of(sampling, samples, batch, task):
    """Three steps: coins for every sample, or a permutation after the other."""
    rng = seeds.rng(1, "train", task)
    if sampling == "poisson":
        return [np.flatnonzero(rng.random(samples) < min(batch, samples) / samples) for _ in range(3)]
    size = min(batch, samples)
    order = np.concatenate([rng.permutation(samples) for _ in range(-(-3 * size // samples))])
    return [order[k * size : (k + 1) * size] for k in range(3)]


def by_hand(x, clients, tasks, sampling, batch, clip, noise, mu=0.0, momentum=0.0):
    """DP-SGD of Abadi et al., Algorithm 1, for softmax regression: g_i = (p − y) xᵀ, one sample after another."""
    for version in range(max(task["version"] for task in tasks) + 1):
        ends = []
        for task in (one for one in tasks if one["version"] == version):
            features, labels = clients[task["client"]]
            rng, w, velocity = seeds.rng(1, "local privacy", task["task"]), x.copy(), np.zeros_like(x)
            for rows in rows_of(sampling, len(labels), batch, task["task"]):
                total = np.zeros_like(w)
                for i in rows:
                    g = np.outer(probabilities(w, features[i : i + 1])[0] - labels[i], features[i])
                    total += g / max(1, np.linalg.norm(g) / clip)
                drawn = rng.standard_normal(CLASSES * (FEATURES + 1), dtype=np.float32)  # weights, then biases
                drawn = np.column_stack([drawn[: CLASSES * FEATURES].reshape(CLASSES, FEATURES), drawn[-CLASSES:]])
                g = (total + noise * clip * drawn) / min(batch, len(labels)) + mu * (w - x)
                velocity = momentum * velocity + g
                w = w - RATE * velocity
            ends.append(w)
        x = np.mean(ends, 0)
    return x


@pytest.mark.parametrize("sampling", ["poisson", "shuffled"])
@pytest.mark.parametrize(("batch", "mu", "momentum"), [(5, 0.0, 0.0), (100, 0.5, 0.6)])
def test_a_run_equals_the_papers_equations(sampling, batch, mu, momentum, clients, start, tmp_path):
    pytest.importorskip("dp_accounting")
    private = {"clip": 0.5, "noise": 0.8, "sampling": sampling}
    local = {"batch_size": batch, "momentum": momentum, "private": private}
    found = trained(tmp_path, "run", local=local | ({"objective": {"name": "fedprox", "mu": mu}} if mu else {}))
    tasks = [record for record in read_log(tmp_path / "run" / "log.jsonl") if record["kind"] == "task"]
    expected = by_hand(start, clients, tasks, sampling, batch, 0.5, 0.8, mu, momentum)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(expected - by_hand(start, clients, tasks, sampling, batch, 0.5, 0.0, mu, momentum)).max() > 1e-2


def test_gradients_of_single_samples_are_clipped_over_all_parameters():
    """Norms 5 (of which 3 in one parameter, 4 in the other) and 0.5: with a bound of 1, a fifth of the first one."""
    total = torch.zeros(3)
    add_clipped([torch.tensor([[[3.0]], [[0.3]]]), torch.tensor([[0.0, 4.0], [0.4, 0.0]])], 1.0, total)
    assert total.tolist() == pytest.approx([0.6 + 0.3, 0.4, 0.8])


def test_what_is_not_finite_counts_as_nothing():
    total = torch.ones(2)
    add_clipped([torch.tensor([[float("nan"), 0.0], [float("inf"), 0.0], [0.0, 0.0], [0.0, 2.0]])], 1.0, total)
    assert total.tolist() == [1.0, 2.0]


WORDS = dict.fromkeys(("title", "description", "client_is", "licence", "source", "citation", "verified"), "-")
CARD = Card(
    name="vectors",
    modality="tensor",
    task="classification",
    metric="accuracy",
    sample_shape=(FEATURES,),
    classes=CLASSES,
    model="mlp",
    **WORDS,
)


class Twice(nn.Module):
    """Uses a layer twice."""

    def __init__(self):
        super().__init__()
        self.inner, self.last = nn.Linear(FEATURES, FEATURES, bias=False), nn.Linear(FEATURES, CLASSES)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.last(torch.tanh(self.inner(torch.tanh(self.inner(x)) * self.scale)))


MODULES = {
    AsChain: lambda: nn.Sequential(nn.Linear(FEATURES, 5), nn.ReLU(), nn.Linear(5, CLASSES)),
    OnOneBatch: lambda: nn.Sequential(nn.Linear(FEATURES, 5), nn.LayerNorm(5), nn.Linear(5, CLASSES)),
    ByVmap: Twice,
    OneByOne: lambda: nn.Sequential(
        nn.Unflatten(1, (1, FEATURES)), nn.Conv1d(1, 3, 2), nn.Flatten(), nn.Linear(15, CLASSES)
    ),
}


def vectors(count):
    rng = np.random.default_rng(1)
    columns = {"x": rng.normal(size=(count, FEATURES)).astype(np.float32), "y": rng.integers(0, CLASSES, count)}
    return ClientSamples(ClientData(0, columns), Classification(CARD))


def noting(gradients, sizes):
    """Return the method, which notes how many samples it was given together."""

    def noted(self, weights, inputs, targets, descent):
        sizes.append(len(targets))
        return gradients(self, weights, inputs, targets, descent)

    return noted


@pytest.mark.parametrize("kind", MODULES, ids=lambda kind: kind.__name__)
def test_each_way_adds_up_what_samples_have_alone(kind, monkeypatch):
    """And so it is if no more than two gradients fit together."""
    torch.manual_seed(1)
    model, samples = Model(MODULES[kind](), Classification(CARD)), vectors(7)
    monkeypatch.setattr(dpsgd, "TOGETHER_BYTES", 8 * model.parameters)
    private, conf = DpSgd(PrivateConf(clip=0.7, noise=0)), TrainConf(0, 0, 0, 1, 0.1, 7, 1, None)
    before = model.vector.clone()
    model.load(before)
    sizes = []
    monkeypatch.setattr(kind, "gradients", noting(kind.gradients, sizes))
    private.prepare(model, samples)
    assert type(way_to_each(model, samples)) is kind
    sizes.clear()
    expected, losses = torch.zeros(model.parameters), []
    for i in range(7):
        loss = model.loss(*samples.batch(np.array([i])))
        gradient = torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, model.trainable)])
        expected += gradient / max(1.0, float(gradient.norm()) / 0.7)
        losses.append(float(loss.detach()))
    assert private.fit(samples, model, Plain(), conf) == pytest.approx(np.mean(losses), rel=1e-5)
    torch.testing.assert_close(before - model.vector, 0.1 * expected / 7, rtol=1e-4, atol=1e-7)
    assert sizes == ([1] * 7 if kind is OneByOne else [2, 2, 2, 1])


def test_sequences_of_padding_have_no_gradient_and_no_loss():
    tokens = np.array([[1, 2, 3], [2, 0, 0], [3, 1, 0]])
    samples = ClientSamples(ClientData(0, {"tokens": tokens}), NextToken())
    model = Model(nn.Sequential(nn.Embedding(CLASSES, 3), nn.Linear(3, CLASSES)), NextToken())
    model.load(model.vector.clone())
    loss = DpSgd(PrivateConf(clip=1.0, noise=0)).fit(samples, model, Plain(), TrainConf(0, 0, 0, 1, 0.1, 3, 1, None))
    model.load(model.origin)
    alone = [float(model.loss(*samples.batch(np.array([i]))).detach()) for i in (0, 2)]
    assert loss == pytest.approx(np.mean(alone), rel=1e-5)


def test_steps_without_a_sample_are_noise_alone():
    """One of 1,000 samples is expected per step; with this seed the first step has none, and moves all the same."""
    model, samples = Model(nn.Linear(FEATURES, CLASSES), Classification(CARD)), vectors(1000)
    model.load(model.vector.clone())
    conf = TrainConf(0, 0, 0, 2, 1.0, 1, 1, None)
    ((rows, expected),) = DRAWS["poisson"].steps(1000, conf)
    assert (len(rows), expected) == (0, 1.0)
    assert DpSgd(PrivateConf(clip=2.0, noise=0.5)).fit(samples, model, Plain(), conf) == 0
    noise = seeds.rng(2, "local privacy", 0).standard_normal(model.parameters, dtype=np.float32)
    np.testing.assert_allclose(model.origin - model.vector, noise, rtol=1e-4, atol=1e-6)  # σ C / B = 1


@pytest.mark.parametrize(("steps", "epochs", "mean"), [(400, None, 8.0), (None, 80, 40 / 5)])
def test_every_sample_is_in_a_step_by_its_own_coin(steps, epochs, mean):
    """40 samples and 400 steps: each sample is in 80 of them, with a deviation of 8; batches of 9 make five steps."""
    conf = TrainConf(0, 0, 0, 1, 0.1, 8 if steps else 9, steps, epochs)
    drawn = list(DRAWS["poisson"].steps(40, conf))
    counts = np.bincount(np.concatenate([rows for rows, _ in drawn]), minlength=40)
    assert len(drawn) == 400
    assert {expected for _, expected in drawn} == {mean}
    assert abs(counts.mean() - 80) < 5 * 8 / 40**0.5
    assert 5 < counts.std() < 11
    assert np.std([len(rows) for rows, _ in drawn]) == pytest.approx((40 * 0.2 * 0.8) ** 0.5, rel=0.2)


@pytest.mark.parametrize(
    ("sampling", "local", "samples", "expected"),
    [
        ("poisson", {"steps": 7, "batch_size": 8}, 40, (7, 0.2)),
        ("poisson", {"steps": 7, "batch_size": 8}, 5, (7, 1.0)),
        ("poisson", {"epochs": 3, "batch_size": 8}, 41, (18, 1 / 6)),
        ("shuffled", {"steps": 7, "batch_size": 8}, 40, (2, 1.0)),
        ("shuffled", {"steps": 5, "batch_size": 8}, 40, (1, 1.0)),
        ("shuffled", {"steps": 7, "batch_size": 8}, 5, (7, 1.0)),
        ("shuffled", {"epochs": 3, "batch_size": 8}, 41, (3, 1.0)),
    ],
)
def test_how_samples_are_exposed_by_hand(sampling, local, samples, expected):
    conf = TrainConf.of(LocalConf(**local), 0, 0, 0, 1, "cpu")
    assert DRAWS[sampling].exposure(samples, conf.steps, conf.epochs, conf.batch_size) == expected
    drawn = [rows for rows, _ in DRAWS[sampling].steps(samples, conf)]
    if sampling == "shuffled":
        assert np.bincount(np.concatenate(drawn)).max() == expected[0]
    else:
        assert len(drawn) == expected[0]


def test_the_same_for_two_workers_and_after_a_stop(tmp_path, stop_after, resumed_by):
    """Together with noise that the server keeps, on the updates as a whole."""
    pytest.importorskip("dp_accounting")
    some = {
        "local": {"batch_size": 5, "private": {"clip": 0.5, "noise": 0.8}},
        "rounds": {"participants": 3, "over_commitment": 1.3, "count": 5},
        "privacy": {"name": "dp_mf", "clip": 0.5, "noise": 1.0, "bands": 3},
        "checkpoint_every": 1,
    }
    whole = simulate(job(**some), tmp_path / "whole", workers=1)
    simulate(job(**some), tmp_path / "parts", workers=2, observer=stop_after(3))
    assert resume(tmp_path / "parts", workers=resumed_by).log.read_bytes() == whole.log.read_bytes()
    assert check_log(whole.log).ok
    assert {"local_epsilon", "local_epsilon_median", "epsilon", "clip"} == set(lines(whole, "commit")[-1]["facts"])


def test_work_is_priced_at_what_is_expected(tmp_path):
    """As without privacy: three steps of min(5, n) samples each, three forward passes a sample."""
    some = {"rounds": {"count": 1}, "local": {"batch_size": 5}}
    private = {"batch_size": 5, "private": {"clip": 0.5, "noise": 0}}
    costs = [
        [(task["client"], task["samples"], task["compute"]) for task in lines(run, "task")]
        for run in (
            simulate(job(**some), tmp_path / "plain", workers=1),
            simulate(job(**some | {"local": private}), tmp_path / "private", workers=1),
        )
    ]
    assert costs[0] == costs[1]


def test_other_jobs_have_the_digests_that_they_had():
    assert "private" not in job().facts()["local"]
    assert job(local={"private": {"clip": 1.0}}).facts()["local"]["private"]["noise"] == 1.0
    assert job(local={"private": {"clip": 1.0}}).digest != job().digest


class Own(Client):
    """Trains in its own way."""

    def train(self, client_data, model, conf):
        return super().train(client_data, model, conf)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"algorithm": "qfedavg"}, "'qfedavg' trains in a way of its own"),
        ({"algorithm": "moon"}, "'moon' trains in a way of its own"),
        ({"algorithm": "finetune"}, "'finetune' trains for tests"),
        ({"selector": "oort"}, "selector looks at losses"),
        ({"backend": "jax"}, "needs the backend 'torch'"),
        ({"local": {"private": {"clip": 0}}}, "local.private.clip.*greater than 0"),
        ({"local": {"private": {"clip": 1, "sampling": "coins"}}}, "local.private.sampling.*'poisson' or 'shuffled'"),
        ({"local": {"private": {"noise": 1}}}, "'local.private.clip' is required"),
        ({"local": {"private": {"clip": 1, "delta": 1}}}, "local.private.delta.*less than 1"),
    ],
    ids=str,
)
def test_what_would_tell_more_is_refused(sections, message, tmp_path):
    if "backend" in sections:
        pytest.importorskip("jax")
    with pytest.raises(JobError, match=message):
        simulate(job(**{"local": {"private": {"clip": 1.0, "noise": 0}}} | sections), tmp_path / "run", workers=1)


def test_training_of_ones_own_is_refused(tmp_path):
    with pytest.raises(JobError, match="Own trains in a way of its own: leave one of them out"):
        simulate(job(local={"private": {"clip": 1.0, "noise": 0}}), tmp_path / "run", client=Own, workers=1)


def test_statistics_over_samples_are_refused():
    for layer in (nn.BatchNorm1d(3), nn.BatchNorm1d(3, track_running_stats=False)):
        model = Model(nn.Sequential(nn.Linear(FEATURES, 3), layer), Classification(CARD))
        with pytest.raises(JobError, match=r"layer '1' \(BatchNorm1d\).*another norm"):
            check_model(model)
    fine = Model(nn.Sequential(nn.Linear(FEATURES, 3), nn.LayerNorm(3)), Classification(CARD))
    assert check_model(fine) is fine


class Counting(nn.Module):
    """Writes of samples into a buffer."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(FEATURES, CLASSES)
        self.register_buffer("seen", torch.zeros(FEATURES))

    def forward(self, x):
        self.seen += x.detach().sum(0)
        return self.inner(x)


def test_buffers_do_not_change():
    model, samples = Model(Counting(), Classification(CARD)), vectors(6)
    model.load(model.vector.clone())
    model.loss(*samples.batch(np.arange(2)))
    assert model.vector[model.parameters :].abs().max() > 0
    DpSgd(PrivateConf(clip=1.0, noise=0)).fit(samples, model, Plain(), TrainConf(0, 0, 0, 1, 0.1, 6, 2, None))
    assert torch.equal(model.vector[model.parameters :], torch.zeros(FEATURES))
