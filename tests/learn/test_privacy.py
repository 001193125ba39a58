"""Privacy mechanisms in whole runs, and their numbers by hand."""

import importlib.util

import numpy as np
import pytest
import torch

from fedscale import Job, resume, simulate
from fedscale.core.plugins import Plugins
from fedscale.errors import JobError, MissingExtraError
from fedscale.learn.conf import TrainConf
from fedscale.learn.privacy import PRIVACY
from fedscale.learn.stage import Mean, Visit
from fedscale.learn.updates import TrainResult
from fedscale.report.check import check_log
from fedscale.report.log import read_log
from fedscale.simulation.setup import stages_conf

PARTICIPANTS = 4


def job(**sections):
    values = {
        "data": {
            "name": "synthetic",
            "sizes": [12, 30, 7, 18, 25, 9],
            "classes": 4,
            "shape": [6],
            "split": {"train": 1, "validation": 0, "test": 0},
        },
        "model": "logistic_regression",
        "local": {"steps": 3, "batch_size": 8, "lr": 0.1},
        "rounds": {"participants": PARTICIPANTS, "over_commitment": 1, "count": 5, "weighting": "uniform"},
        "availability": "off",
    }
    for name, section in sections.items():
        values[name] = values[name] | section if isinstance(values.get(name), dict) else section
    return Job.parse(values)


def commits(run):
    return [record for record in read_log(run.log) if record["kind"] == "commit"]


def facts(run):
    return [record["facts"] for record in commits(run)]


def build(name="gaussian", **options):
    return PRIVACY.build(name, options, clients=1000, participants=10, rounds=100, sampled=False)


def visit(length, shared=()):
    conf = TrainConf(0, 0, 0, 1, 0.1, 8, 3, None)
    empty = torch.zeros(0)
    return Visit(conf, 3, 10, length, torch.zeros(length), torch.tensor(shared, dtype=torch.float32), empty)


def mean_of(update, version=1, clients=range(10), sent=()):
    update = torch.as_tensor(update, dtype=torch.float32)
    sent = torch.tensor(sent, dtype=torch.float32)
    return Mean(update, sent, len(update), len(clients), float(len(clients)), version, 1, tuple(clients))


@pytest.mark.parametrize("name", ["gaussian", "dp_ftrl", "dp_mf"])
@pytest.mark.parametrize("engine", ["plain", "vectorised"])
def test_switched_off_it_has_the_digests_of_federated_averaging(engine, name, tmp_path):
    runs = [
        simulate(job(engine=engine, privacy=privacy), tmp_path / str(number), workers=1)
        for number, privacy in enumerate(["none", {"name": name, "clip": None, "noise": 0}])
    ]
    plain, off = ([record["params"] for record in commits(run)] for run in runs)
    if engine == "plain":
        assert off == plain
    else:  # blocks are added up in another order
        np.testing.assert_allclose(*(vector(run) for run in runs), rtol=1e-5, atol=1e-7)


def vector(run):
    from safetensors.numpy import load_file

    return np.concatenate([value.ravel() for value in load_file(run.directory / "model.safetensors").values()])


def test_updates_are_clipped_to_the_bound():
    stage = build(clip=2.5, noise=0)
    long = TrainResult(torch.tensor([3.0, 4.0, 0.0]), 1, 0.0)  # of norm 5
    assert stage.finish(visit(3), long).delta.tolist() == [1.5, 2.0, 0.0]
    short = TrainResult(torch.tensor([0.0, 1.0, 2.0]), 1, 0.0)
    assert stage.finish(visit(3), short).delta.tolist() == [0.0, 1.0, 2.0]


def test_fewer_updates_than_wanted_are_divided_by_the_number_wanted():
    stage = build(clip=1, noise=0)
    assert stage.combine(mean_of([1.0, -2.0], clients=range(4))).tolist() == pytest.approx([0.4, -0.8])
    assert stage.combine(mean_of([1.0, -2.0])).tolist() == [1.0, -2.0]


def test_noise_has_the_deviation_of_the_paper():
    """100,000 coordinates: the deviation of their deviation is σ / √(2 · 100,000), that of their mean σ / √100,000."""
    stage = build(clip=2, noise=0.5)
    found = stage.combine(mean_of(np.full(100_000, 3.0))).double()
    deviation = 0.5 * 2 / 10
    assert float(found.std()) == pytest.approx(deviation, abs=5 * deviation / 447)
    assert float(found.mean()) == pytest.approx(3, abs=5 * deviation / 316)
    assert not torch.equal(found, stage.combine(mean_of(np.full(100_000, 3.0), version=2)).double())


def test_a_run_takes_the_clipped_mean_of_its_updates(tmp_path):
    """With one step on all samples and an identical model, versions differ by the clipped mean alone."""
    some = {"rounds": {"participants": 6, "count": 1}, "local": {"steps": 1, "batch_size": 100}}
    free, bounded = (
        simulate(job(privacy={"name": "gaussian", "clip": clip, "noise": 0}, **some), tmp_path / str(clip), workers=1)
        for clip in (1e9, 1e-3)
    )
    start = simulate(job(local={"lr": 1e-30}, rounds={"count": 1}), tmp_path / "start", workers=1)
    assert np.linalg.norm(vector(bounded) - vector(start)) <= 1e-3
    assert np.linalg.norm(vector(free) - vector(start)) > 1e-2


@pytest.mark.parametrize(
    "privacy",
    [
        pytest.param({"name": "gaussian", "clip": 0.1, "noise": 0.7}, marks=pytest.mark.soak),
        pytest.param({"name": "adaptive_clipping", "noise": 0.7}, marks=pytest.mark.soak),
        {"name": "dp_ftrl", "clip": 0.1, "noise": 2},
        pytest.param({"name": "dp_mf", "clip": 0.1, "noise": 2, "bands": 3}, marks=pytest.mark.soak),
    ],
    ids=lambda privacy: privacy["name"],
)
def test_the_same_for_two_workers_and_after_a_stop(privacy, tmp_path, stop_after, resumed_by):
    pytest.importorskip("dp_accounting")
    settings = {"privacy": privacy, "checkpoint_every": 1}
    whole = simulate(job(**settings), tmp_path / "whole", workers=1)
    simulate(job(**settings), tmp_path / "parts", workers=2, observer=stop_after(3))
    assert resume(tmp_path / "parts", workers=resumed_by).log.read_bytes() == whole.log.read_bytes()
    assert check_log(whole.log).findings == []
    epsilons = [fact["epsilon"] for fact in facts(whole)]
    assert len(epsilons) == 5
    assert epsilons == sorted(epsilons)
    assert epsilons[0] > 0


def test_attackers_are_clipped_too(tmp_path):
    attack = {"name": "sign_flip", "fraction": 1, "scale": 1e6}
    privacy = {"name": "gaussian", "clip": 1e-3, "noise": 0}
    some = {"attack": attack, "rounds": {"participants": 6, "count": 1}}
    run = simulate(job(privacy=privacy, **some), tmp_path / "run", workers=1)
    start = simulate(job(local={"lr": 1e-30}, rounds={"count": 1}), tmp_path / "start", workers=1)
    assert 0 < np.linalg.norm(vector(run) - vector(start)) <= 1.001e-3


def test_compressed_updates_are_clipped_when_they_arrive(tmp_path):
    """Error feedback adds what was held back before, so that what arrives is longer than what was computed."""
    compression = {"up": {"name": "topk", "ratio": 0.1}}
    privacy = {"name": "gaussian", "clip": 1e-4, "noise": 0}
    some = {"compression": compression, "rounds": {"participants": 6, "count": 3}}
    run = simulate(job(privacy=privacy, **some), tmp_path / "run", workers=1)
    start = simulate(job(local={"lr": 1e-30}, rounds={"count": 1}), tmp_path / "start", workers=1)
    assert 0 < np.linalg.norm(vector(run) - vector(start)) <= 3.001e-4


@pytest.mark.parametrize(
    ("sections", "sampled"),
    [
        ({}, True),
        ({"rounds": {"over_commitment": 1.3}}, False),
        ({"rounds": {"deadline": 60}}, False),
        ({"availability": "builtin"}, False),
        ({"selector": "soon_offline"}, False),
    ],
    ids=str,
)
def test_only_uniform_samples_of_all_clients_are_taken_for_such(sections, sampled):
    assert stages_conf(job(**sections), np.full(6, 10), Plugins()).sampled is sampled


@pytest.mark.parametrize("selector", ["refl", {"name": "tifl", "probabilities": [0.2] * 5}], ids=["refl", "tifl"])
def test_selectors_that_learn_no_more_than_durations_are_allowed(selector, tmp_path):
    run = simulate(
        job(privacy={"name": "gaussian", "clip": 1, "noise": 0}, selector=selector), tmp_path / "run", workers=1
    )
    assert len(commits(run)) == 5


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"selector": "tifl"}, "selector looks at.*take uniform"),
        ({"rounds": {"weighting": "samples"}}, "gaussian.*set rounds.weighting to uniform"),
        ({"algorithm": "scaffold"}, "algorithm 'scaffold'.*choose another"),
        ({"aggregation": "median"}, "not 'median': take mean"),
        ({"selector": "oort"}, "selector looks at.*take uniform"),
        ({"compression": {"up": {"name": "topk", "frame": "zlib"}}}, "how long an upload is.*leave out its frame"),
        ({"asynchronous": {"concurrency": 4}}, "needs synchronous rounds"),
        ({"privacy": {"name": "gaussian", "clip": None}}, "clip.*a bound that noise = 1 could fit"),
        ({"privacy": {"name": "gausian"}}, "unknown privacy 'gausian'.*gaussian"),
    ],
    ids=str,
)
def test_what_would_undo_the_promise_is_refused(sections, message, tmp_path):
    with pytest.raises(JobError, match=message):
        simulate(job(**{"privacy": "gaussian", **sections}), tmp_path / "run", workers=1)


def test_without_the_library_noise_is_refused_and_clipping_is_not(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"dp-accounting.*fedscale\[privacy\]"):
        build()
    assert build(noise=0).facts() == {"clip": 1.0}
