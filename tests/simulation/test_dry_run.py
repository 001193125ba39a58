"""Dry runs: the same clients, times and fates as the run they stand for, with a model that nobody trains."""

import json

import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner
from worked import lines

from fedscale import Job, load_dataset, resume, simulate
from fedscale.cli.main import app
from fedscale.core.client import Client
from fedscale.errors import CheckpointError, JobError
from fedscale.learn.build import build_model
from fedscale.report.check import check_log
from fedscale.report.log import LogWriter

TRAINED = {"weight", "loss", "params", "chain"}


def job(**changes):
    """Return a job with drops, stragglers, a deadline and an optimizer that keeps moments."""
    values = {
        "data": {"name": "synthetic", "clients": 60, "samples": 20},
        "local": {"steps": 2, "batch_size": 8},
        "server": {"name": "fedyogi"},
        "rounds": {"participants": 8, "count": 4, "deadline": 140, "min_share": 0.8},
        "cost": {"payload_bytes": 10_000_000},
        "evaluate": {"every": 2},
        "seed": 3,
    }
    return Job.parse(values | changes)


def facts(run, *kinds):
    """Return the records of some kinds, without what training makes of them."""
    records = [record for record in lines(run.log) if record["kind"] in kinds]
    return [{key: value for key, value in record.items() if key not in TRAINED} for record in records]


@pytest.fixture(scope="module")
def dry(tmp_path_factory):
    return simulate(job(dry_run=True), tmp_path_factory.mktemp("dry") / "run")


def test_selection_times_and_fates_are_those_of_the_trained_run(dry, tmp_path):
    trained = simulate(job(), tmp_path / "trained", workers=1)
    kinds = ("select", "task", "commit", "abandon", "jump", "end")
    assert facts(dry, *kinds) == facts(trained, *kinds)
    assert {record["fate"] for record in lines(dry.log, "task")} >= {"completed", "straggler", "dropped", "cancelled"}


def test_nothing_is_trained_tested_or_compared_with_baselines(dry):
    records = lines(dry.log)
    assert not [record for record in records if record["kind"] == "evaluate"]
    assert not [record for record in records if record["kind"] == "task" and TRAINED & set(record) > {"chain"}]
    assert [record["loss"] for record in records if record["kind"] == "commit"] == [None] * 4
    assert lines(dry.log, "population")[0]["baselines"] == {}


def test_the_model_stays_as_it_is_built(dry):
    assert len({record["params"] for record in lines(dry.log, "commit")}) == 1
    initial = build_model(load_dataset("synthetic", seed=3, clients=60, samples=20).card, None, 3)
    saved = load_file(dry.directory / "model.safetensors")
    assert all((saved[name] == tensor).all() for name, tensor in initial.named_tensors(initial.vector).items())


def test_the_log_says_that_the_run_is_dry_and_adds_up(dry):
    assert lines(dry.log, "job")[0]["job"]["dry_run"] is True
    assert check_log(dry.log).ok
    assert dry.metrics.dry_run
    assert dry.metrics.rounds["loss"].null_count == dry.metrics.rounds.num_rows


def test_a_stopped_dry_run_goes_on_dry_to_the_same_bytes(dry, tmp_path, stop_after):
    run = simulate(job(dry_run=True), tmp_path / "part", observer=stop_after(2))
    assert not run.finished
    assert resume(run.directory).finished
    assert run.log.read_bytes() == dry.log.read_bytes()


def test_a_run_cannot_be_made_dry_halfway(tmp_path, stop_after):
    run = simulate(job(), tmp_path / "part", workers=1, observer=stop_after(2))
    (run.directory / "job.yaml").write_text(job(dry_run=True).to_yaml())
    with pytest.raises(CheckpointError, match="dry_run: False, now True"):
        resume(run.directory)


class Compressing(Client):
    """Sends what it likes."""

    def serialize_results(self, result):
        return b""


def test_a_client_that_must_train_to_be_priced_is_refused_with_a_remedy(tmp_path):
    with pytest.raises(JobError, match=r"Compressing uploads is known only after training.*cost\.payload_bytes"):
        simulate(job(dry_run=True), tmp_path / "run", client=Compressing)


class Untrainable(Client):
    """Would fail at once if it were asked for anything."""

    def train(self, client_data, model, conf):
        raise AssertionError

    def test(self, client_data, model, conf):
        raise AssertionError


def test_no_client_program_is_run(dry, tmp_path):
    run = simulate(job(dry_run=True), tmp_path / "run", client=Untrainable)
    assert run.log.read_bytes() == dry.log.read_bytes()


@pytest.mark.parametrize(
    ("kind", "change", "finding"),
    [
        ("task", {"loss": 0.5}, "loss is 0.5, but the run is dry"),
        ("task", {"weight": 1.0}, "weight is 1.0, but the run is dry"),
        ("commit", {"loss": 0.5}, "loss is 0.5, but the run is dry"),
        ("commit", {"params": "f" * 32}, "params is"),
    ],
)
def test_the_check_finds_training_in_a_dry_log(dry, tmp_path, kind, change, finding):
    records = [json.loads(line) for line in dry.log.read_text().splitlines()]
    last = max(index for index, record in enumerate(records) if record["kind"] == kind)
    records[last] |= change
    writer = LogWriter(tmp_path / "forged.jsonl")
    for record in records:
        writer.append({key: value for key, value in record.items() if key != "chain"})
    writer.close()
    (found,) = check_log(tmp_path / "forged.jsonl").findings
    assert f"line {last + 1}: {finding}" in found


def test_the_command_line_makes_a_job_dry(tmp_path):
    arguments = ["run", "synthetic", "--set", "data.clients=40", "--set", "rounds={participants: 4, count: 2}"]
    result = CliRunner().invoke(app, [*arguments, "--dry-run", "--out", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    assert Job.load(tmp_path / "run" / "job.yaml").dry_run
