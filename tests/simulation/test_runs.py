"""Whole runs on real digits and generated clients: what they reach, and what they leave behind."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from worked import lines

from fedscale import Job, load_dataset, recipe, resume, simulate
from fedscale.core.aggregator import Aggregator
from fedscale.core.client import Client
from fedscale.errors import JobError, RunError
from fedscale.learn.build import build_model
from fedscale.report.check import check_log
from fedscale.section import Component


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return simulate(recipe("digits"), tmp_path_factory.mktemp("runs") / "digits", workers=1)


def small(**sections):
    """A job of three rounds over generated clients."""
    values = {
        "data": {
            "name": "synthetic",
            "clients": 40,
            "samples": 30.0,
            "size_skew": 0.8,
            "classes": 4,
            "label_skew": 0.5,
        },
        "local": {"steps": 3, "batch_size": 8, "lr": 0.1},
        "rounds": {"participants": 5, "count": 3},
        "evaluate": {"every": 2},
    }
    return Job.parse(values | sections)


def digests(run):
    return [record["params"] for record in lines(run.log, "commit")]


def test_digits_end_above_85_percent_on_held_out_clients(digits):
    evaluations = digits.metrics.evaluations
    assert evaluations["accuracy"].to_pylist()[-1] > 0.85
    assert evaluations["version"].to_pylist() == [5, 10, 15, 20]
    population = lines(digits.log, "population")[0]
    assert population["clients"] == {"train": 11, "validation": 1, "test": 2, "held_out": 0}
    assert check_log(digits.log).ok


def test_a_finished_run_is_complete(digits):
    names = {path.name for path in digits.directory.iterdir()}
    assert {"job.yaml", "log.jsonl", "timings.jsonl", "model.safetensors", "checkpoints"} <= names
    assert digits.finished
    assert digits.job == recipe("digits")
    assert resume(digits.directory).finished
    assert digits.report().read_text().lower().startswith("<!doctype html>")


def test_the_final_model_has_the_modules_own_names_and_the_tested_accuracy(digits):
    dataset = load_dataset("digits")
    module = build_model(dataset.card, digits.job.model, 1).module
    module.load_state_dict(load_file(digits.directory / "model.safetensors"))
    (evaluation,) = [record for record in lines(digits.log, "evaluate") if record["version"] == 20]
    right = 0
    for client in evaluation["clients"]:
        columns = dataset.client(client).columns
        x = torch.from_numpy(columns["x"].astype(np.float32)) / 16
        right += int((module(x).argmax(1).numpy() == columns["y"]).sum())
    assert right == sum(evaluation["sums"]["correct"])
    assert evaluation["metrics"]["accuracy"] == right / sum(evaluation["count"])


def test_fedprox_with_mu_0_gives_the_digests_of_fedavg_and_with_mu_others(tmp_path):
    plain = digests(simulate(small(engine="plain"), tmp_path / "plain", workers=1))
    local = {"steps": 3, "batch_size": 8, "lr": 0.1}
    for mu, same in ((0.0, True), (1.0, False)):
        job = small(engine="plain", local={**local, "objective": {"name": "fedprox", "mu": mu}})
        assert (digests(simulate(job, tmp_path / f"mu{mu}", workers=1)) == plain) is same


@pytest.mark.parametrize("server", ["fedavg", "fedadam", "fedyogi", "fedadagrad"])
def test_every_server_optimizer_learns(tmp_path, server):
    job = small(
        server={"name": server} | ({} if server == "fedavg" else {"lr": 0.1}), rounds={"participants": 8, "count": 8}
    )
    run = simulate(job, tmp_path / "run", workers=1)
    losses = [record["loss"] for record in lines(run.log, "commit")]
    assert losses[-1] < losses[0]
    assert check_log(run.log).ok


def test_batch_norm_statistics_are_averaged_and_do_not_pass_the_server_optimizer(tmp_path):
    plugin = tmp_path / "batch_norm.py"
    plugin.write_text(
        "from torch import nn\n"
        "from fedscale.learn.models import MODELS\n"
        "def normed(sample_shape: tuple[int, ...], classes: int) -> nn.Module:\n"
        "    return nn.Sequential(nn.Linear(sample_shape[0], 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, classes))\n"
        "MODELS.register('normed', normed)\n"
    )
    job = small(model={"name": "normed"}, plugins=[str(plugin)], rounds={"participants": 5, "count": 1})
    models = {}
    for server in ({"name": "fedavg"}, {"name": "fedadam", "lr": 1e-9}):
        run = simulate(job.model_copy(update={"server": Component(**server)}), tmp_path / server["name"], workers=1)
        models[server["name"]] = load_file(run.directory / "model.safetensors")
    assert torch.equal(models["fedavg"]["1.running_mean"], models["fedadam"]["1.running_mean"])
    assert models["fedavg"]["1.running_mean"].abs().sum() > 0
    assert not torch.equal(models["fedavg"]["0.weight"], models["fedadam"]["0.weight"])
    assert models["fedavg"]["1.num_batches_tracked"] == 0


def test_held_out_samples_of_training_clients_give_accuracy_per_client(tmp_path):
    data = {"name": "synthetic", "clients": 40, "samples": 30.0, "classes": 4, "split": {"within_client": 0.25}}
    run = simulate(small(data=data, evaluate={"split": "held_out"}), tmp_path / "run", workers=1)
    population, evaluation = lines(run.log, "population")[0], lines(run.log, "evaluate")[-1]
    assert len(evaluation["clients"]) == population["clients"]["held_out"] == population["clients"]["train"] == 32
    assert sum(evaluation["count"]) == population["samples"]["held_out"]
    ratio = population["samples"]["held_out"] / (population["samples"]["held_out"] + population["samples"]["train"])
    assert 0.2 < ratio < 0.3
    weights = [record["weight"] for record in lines(run.log, "task") if record["fate"] == "completed"]
    assert max(weights) <= 23  # of 30 samples, 8 are held out (7.5 rounded up) or 7


def test_epochs_process_every_sample_once_a_pass(tmp_path):
    job = small(local={"epochs": 2, "batch_size": 8, "lr": 0.1})
    run = simulate(job, tmp_path / "run", workers=1)
    for record in lines(run.log, "task"):
        if record["fate"] == "completed":
            assert record["samples"] == 2 * record["weight"]


def test_clients_smaller_than_a_batch_take_part(tmp_path):
    data = {"name": "synthetic", "sizes": [1, 2, 3] * 6, "classes": 4}
    run = simulate(small(data=data, availability="off"), tmp_path / "run", workers=1)
    completed = [record for record in lines(run.log, "task") if record["fate"] == "completed"]
    assert {record["weight"] for record in completed} == {1.0, 2.0, 3.0}
    assert all(record["samples"] == 3 * record["weight"] for record in completed)  # K = 3 steps of all it has


def test_the_learning_rate_decays_as_in_appendix_a(tmp_path):
    local = {"steps": 1, "lr": 0.04, "lr_decay": 0.5, "lr_decay_rounds": 2, "min_lr": 0.015}
    run = simulate(small(local=local, rounds={"participants": 3, "count": 5}), tmp_path / "run", workers=1)
    assert [record["lr"] for record in lines(run.log, "commit")] == [0.04, 0.04, 0.02, 0.02, 0.015]


def test_uniform_weighting_is_recorded(tmp_path):
    rounds = {"participants": 5, "count": 2, "weighting": "uniform"}
    run = simulate(small(rounds=rounds), tmp_path / "run", workers=1)
    completed = [record for record in lines(run.log, "task") if record["fate"] == "completed"]
    assert {record["weight"] for record in completed} == {1.0}
    assert check_log(run.log).ok


def test_a_class_from_a_notebook_trains_in_this_process(tmp_path):
    class Mine(Client):
        def train(self, client_data, model, conf):
            result = super().train(client_data, model, conf)
            result.delta.mul_(0)
            return result

    run = simulate(small(), tmp_path / "run", client=Mine)
    assert len(set(digests(run))) == 1  # nothing was learnt
    with pytest.raises(JobError, match="workers = 2: Mine is defined in a notebook or a script"):
        simulate(small(), tmp_path / "other", client=Mine, workers=2)


def test_a_diverging_model_is_an_error_that_says_so(tmp_path):
    huge = {"server": {"name": "fedavg", "lr": 3e38}}
    with pytest.raises(RunError, match="loss on test clients is not finite; the model diverges"):
        simulate(small(**huge, evaluate={"every": 1}), tmp_path / "loss", workers=1)
    with pytest.raises(RunError, match="the global model is no longer finite; the model diverges"):
        simulate(small(**huge, local={"steps": 3, "lr": 100.0}), tmp_path / "model", workers=1)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_one_number_that_is_not_finite_is_enough(value, tmp_path):
    class Broken(Aggregator):
        def round_completion_handler(self, outcomes):
            super().round_completion_handler(outcomes)
            self.vector[3] = value

    with pytest.raises(RunError, match="version 1: the global model is no longer finite"):
        simulate(small(), tmp_path / "run", workers=1, aggregator=Broken)


def test_a_class_for_an_unknown_place_is_refused(tmp_path):
    with pytest.raises(JobError, match="no class can be given for 'clients': did you mean 'client'"):
        simulate(small(), tmp_path / "run", clients=Client)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"selector": "unifrom"}, "unknown selector 'unifrom': .*'uniform'"),
        ({"server": {"name": "fedyogi", "beta": 1}}, "server 'fedyogi' has no option 'beta'"),
        ({"model": "mpl"}, "did you mean 'mlp'"),
        ({"data": "digit"}, "unknown dataset 'digit': did you mean 'digits'"),
        ({"data": {"name": "digits", "clients": 3}}, "dataset 'digits' has no option 'clients'"),
        ({"local": {"objective": {"name": "fedprox", "mu": -1}}}, "mu.: must be at least 0"),
        ({"devices": {"source": "csv"}}, "devices"),
        ({"data": {"name": "digits", "min_samples": 1000}}, "min_samples = 1000"),
    ],
)
def test_what_is_wrong_with_a_job_is_said_before_anything_is_written(tmp_path, sections, message):
    with pytest.raises(JobError, match=message):
        simulate(small(**sections), tmp_path / "run", workers=1)
    assert not (tmp_path / "run").exists()
