"""Two rounds of every task on a small store: its metric is in the log, the check finds nothing, reports tell of it."""

import importlib
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from fedscale import Job, simulate
from fedscale.cli.main import app
from fedscale.data.writer import StoreWriter
from fedscale.report.check import check_log
from fedscale.report.log import read_log
from fedscale.simulation.progress import Silent
from toys import DETECTION, TOYS, scenes, write_toy

NOT_RUN = ("reviews", "boards", "videos", "sentences", "commands")
"""More models of tasks that other tests run."""


def job_of(path, name, lr=None, **settings):
    given = {
        "data": {"name": str(path), "split": {"train": 0.5, "validation": 0.0, "test": 0.5}},
        "local": {"steps": 3, "batch_size": 4, "lr": lr or TOYS[name][2]},
        "rounds": {"participants": 3, "count": 2},
        "availability": "off",
        "evaluate": {"every": 1},
        **settings,
    }
    return Job.parse(given)


@pytest.fixture
def store(tmp_path):
    def write(name):
        write_toy(tmp_path / name, name)
        return tmp_path / name

    return write


def evaluations(log):
    return [record for record in read_log(log) if record["kind"] == "evaluate"]


@pytest.mark.parametrize("name", [name for name in TOYS if name not in NOT_RUN])
def test_two_rounds(name, store, tmp_path):
    card = TOYS[name][0]
    run = simulate(job_of(store(name), name), tmp_path / "run", workers=1, observer=Silent())
    tested = evaluations(run.log)
    assert [record["version"] for record in tested] == [1, 2]
    assert all(card.metric in record["metrics"] for record in tested)
    assert check_log(run.log).findings == []
    assert run.metrics.headline["final"] == tested[-1]["metrics"][card.metric]


@pytest.mark.parametrize(("name", "shown"), [("click", "AUC"), ("places", " km")])
def test_the_report_shows_units_and_does_without_metrics_of_single_clients(name, shown, store, tmp_path):
    run = simulate(job_of(store(name), name), tmp_path / "run", workers=1, observer=Silent())
    done = CliRunner().invoke(app, ["report", str(run.directory)])
    assert done.exit_code == 0, done.output
    page = (run.directory / "report.html").read_text()
    assert shown in page
    assert ">nan<" not in page


def altered(log, out, change):
    """Write a log with a change of its last test, chained anew."""
    from fedscale.report.log import ROOT, link

    chain = ROOT
    records = [json.loads(line) for line in log.read_text().splitlines()]
    change([record for record in records if record["kind"] == "evaluate"][-1])
    lines = []
    for record in records:
        body = json.dumps({name: value for name, value in record.items() if name != "chain"}, separators=(",", ":"))
        chain = link(chain, body)
        lines.append(f'{body[:-1]},"chain":"{chain}"}}')
    out.write_text("\n".join(lines) + "\n")
    return out


@pytest.fixture
def many(tmp_path):
    """A job with more clients to test than a worker tests in one go, so that totals come in parts."""
    write_toy(tmp_path / "many", "multilabel", clients=40)
    return job_of(tmp_path / "many", "multilabel")


@pytest.mark.soak
def test_pooled_counts_are_the_same_for_any_number_of_workers(many, tmp_path):
    one, two = (simulate(many, tmp_path / str(n), workers=n, observer=Silent()) for n in (1, 2))
    assert one.log.read_bytes() == two.log.read_bytes()


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.soak)])
@pytest.mark.parametrize(("name", "metric"), [("multilabel", "macro_ap"), ("click", "auc")])
def test_whoever_tests_the_same_weights_on_the_same_clients_finds_the_same_curves(name, metric, workers, tmp_path):
    write_toy(tmp_path / "store", name, clients=40)
    trained = simulate(job_of(tmp_path / "store", name), tmp_path / "trained", workers=1, observer=Silent())
    settings = {
        "initial": str(tmp_path / "trained" / "model.safetensors"),
        "rounds": {"participants": 20, "count": 1, "over_commitment": 1},
    }
    job = job_of(tmp_path / "store", name, testing={}, devices="off", **settings)
    tested = simulate(job, tmp_path / "tested", workers=workers, observer=Silent())
    (found,), expected = evaluations(tested.log), evaluations(trained.log)[-1]
    assert found["totals"] == expected["totals"]
    assert found["metrics"] == expected["metrics"] and metric in found["metrics"]
    assert check_log(tested.log).findings == []


def test_pooled_counts_are_checked(many, tmp_path):
    one = simulate(many, tmp_path / "one", workers=1, observer=Silent())
    record = evaluations(one.log)[-1]
    total = record["totals"]["label_scores"]
    assert (total["size"], sum(total["counts"])) == (6 * 2 * 200, 6 * sum(record["count"]))

    def more(found):
        found["totals"]["label_scores"]["counts"][-1] += 40

    (finding,) = check_log(altered(one.log, tmp_path / "other.jsonl", more)).findings
    assert "macro_ap is" in finding


def test_a_metric_that_the_sums_do_not_give_is_found(store, tmp_path):
    run = simulate(job_of(store("numbers"), "numbers"), tmp_path / "run", workers=1, observer=Silent())

    def better(found):
        found["metrics"]["rmse"] *= 0.9

    (finding,) = check_log(altered(run.log, tmp_path / "other.jsonl", better)).findings
    assert "rmse is" in finding
    assert "what the sums give" in finding


def test_two_rounds_of_detection(tmp_path):
    try:
        importlib.import_module("torchvision.models")
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"torchvision cannot be imported: {error}")
    with StoreWriter(tmp_path / "store", DETECTION) as writer:
        for client in range(6):
            writer.append(np.array([3]), scenes(client, 3))
    run = simulate(job_of(tmp_path / "store", None, lr=0.02), tmp_path / "run", workers=1, observer=Silent())
    tested = evaluations(run.log)[-1]
    assert tested["totals"]["box_scores"]["size"] == 3 * 11 * 201
    assert {"map", "map50", "loss"} <= tested["metrics"].keys()
    assert check_log(run.log).findings == []
