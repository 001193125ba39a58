"""Whole jobs with JAX: as with torch, on any number of workers, and on resume."""

import numpy as np
import pytest
from safetensors.torch import load_file

from fedscale import Job, resume, simulate
from fedscale.errors import JobError
from fedscale.report.log import read_log

pytest.importorskip("jax", reason="JAX is not installed: pip install 'fedscale[jax]'")


def job(**changes):
    """Clients of 1 to 60 samples, three rounds, tests after each."""
    sizes = np.random.default_rng(2).integers(1, 60, 40).tolist()
    values = {
        "data": {"name": "synthetic", "sizes": sizes},
        "model": {"name": "mlp", "hidden": 8},
        "local": {"steps": 4, "batch_size": 16, "lr": 0.1},
        "rounds": {"participants": 6, "count": 3},
        "availability": "off",
        "evaluate": {"every": 1},
        "checkpoint_every": 1,
        "engine": "plain",
        "backend": "jax",
    }
    return Job.parse({**values, **changes})


def of_kind(run, kind):
    return [record for record in read_log(run.log) if record["kind"] == kind]


def without(record, *keys):
    return {key: value for key, value in record.items() if key not in {"chain", *keys}}


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "logistic_regression"},
        {"local": {"epochs": 2, "batch_size": 16, "lr": 0.1, "momentum": 0.5, "objective": {"name": "fedprox"}}},
    ],
    ids=["logistic regression by steps", "mlp by epochs with fedprox"],
)
def test_a_job_comes_to_the_same_as_with_torch(tmp_path, changes):
    one, other = (simulate(job(backend=name, **changes), tmp_path / name, workers=1) for name in ("torch", "jax"))
    for kind, floating in (("select", ()), ("task", ["loss"]), ("commit", ["loss", "params"]), ("end", ["params"])):
        pair = [[without(record, *floating) for record in of_kind(run, kind)] for run in (one, other)]
        assert pair[0] == pair[1] != []
    losses = [[task["loss"] for task in of_kind(run, "task") if task["fate"] == "completed"] for run in (one, other)]
    assert len(losses[0]) == 18
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    tests = [[record["metrics"]["loss"] for record in of_kind(run, "evaluate")] for run in (one, other)]
    assert len(tests[0]) == 3
    assert tests[1] == pytest.approx(tests[0], abs=1e-5)
    models = [load_file(run.directory / "model.safetensors") for run in (one, other)]
    assert list(models[0]) == list(models[1])
    for name, tensor in models[0].items():
        assert float((models[1][name] - tensor).abs().max()) < 1e-5


def test_the_log_says_what_computed(tmp_path):
    import jax

    run = simulate(job(engine="auto", rounds={"participants": 2, "count": 1}), tmp_path / "run", workers=1)
    head, population = list(read_log(run.log))[:2]
    assert head["job"]["backend"] == "jax"
    assert head["versions"]["jax"] == jax.__version__
    assert population["engine"] == {"name": "plain", "why": "JaxModel has no other engine"}


def test_a_run_resumed_by_two_workers_writes_the_bytes_of_one(tmp_path, stop_after):
    alone = simulate(job(), tmp_path / "alone", workers=1)
    stopped = simulate(job(), tmp_path / "stopped", workers=1, observer=stop_after(1))
    assert not stopped.finished
    resumed = resume(stopped.directory, workers=2)
    for name in ("log.jsonl", "model.safetensors"):
        assert (resumed.directory / name).read_bytes() == (alone.directory / name).read_bytes()


def test_what_jax_does_not_know_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(JobError, match="does not know the model 'cnn'"):
        simulate(job(model="cnn"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
