"""`fedscale tune`, as one types it."""

import json

import pytest
from typer.testing import CliRunner

from fedscale import Job, recipe
from fedscale.cli.main import app
from fedscale.errors import RunError
from fedscale.learn.conf import TrainConf
from fedscale.simulation.tune import PLAIN, VECTORISED, Findings, Row, Way, _Bench, _Even, _row, tune

MLP = ["synthetic", "--set", "model.name=mlp", "--set", "data.clients=100", "--set", "rounds.participants=16"]
QUICK = ["--seconds", "0.5", "--workers", "1"]


def fedscale(*arguments):
    return CliRunner().invoke(app, ["tune", *map(str, arguments)])


def found(*arguments):
    done = fedscale(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def test_both_engines_are_measured_where_both_are_possible():
    findings = found(*MLP, *QUICK)
    assert findings["auto"]["name"] == "vectorised"
    assert findings["refused"] is None
    assert findings["turns"] >= 3
    rows = {tuple(row["way"].values()): row for row in findings["rows"]}
    blocks = [block for block in (4, 8, 16) if block <= findings["clients"]]
    assert list(rows) == [("plain", None, 1), *(("vectorised", block, 1) for block in (None, *blocks))]
    assert rows["plain", None, 1]["ratio"] == 1
    for row in rows.values():
        assert row["clients_per_second"] * row["ms_per_client"] == pytest.approx(1000)
    assert findings["faster"] == ("vectorised" if rows["vectorised", None, 1]["ratio"] > 1 else "plain")


def test_the_rule_is_said_beside_what_was_quicker():
    done = fedscale("digits", *QUICK)
    assert done.exit_code == 0, done.output
    assert "`engine: auto` takes plain: Conv2d is slower for a block of clients on a CPU." in done.output
    faster = "vectorised" if "Here vectorised was quicker" in done.output else "plain"
    assert f"Here {faster} was quicker" in done.output
    assert ("To have it: --set engine=vectorised" in done.output) == (faster == "vectorised")


def test_a_class_that_trains_in_its_own_way_has_one_engine_only(tmp_path):
    plugin = tmp_path / "own.py"
    plugin.write_text(
        "from fedscale.core.client import Client\n\n\n"
        "class Own(Client):\n"
        "    def train(self, client_data, model, conf):\n"
        "        return super().train(client_data, model, conf)\n"
    )
    done = fedscale(*MLP, *QUICK, "--plugin", plugin)
    assert done.exit_code == 0, done.output
    why = "Own trains in its own way, one client after another."
    assert f"`engine: auto` takes plain: {why}\nThe vectorised engine cannot train this job: {why}" in done.output
    assert "clients at once" not in done.output


def test_the_number_of_clients_is_limited_by_the_option_the_job_and_the_time(monkeypatch):
    """Ten minutes are enough on any machine; the turns themselves get no more time than they need."""
    measure = _Bench.measure
    monkeypatch.setattr(_Bench, "measure", lambda bench, ways, tasks, seconds: measure(bench, ways, tasks, 0.0))
    job = recipe("synthetic").with_settings(["data.clients=100", "rounds.participants=6"])
    assert tune(job, 600.0, 100, workers=1).clients == 6
    assert tune(job, 600.0, 5, workers=1).clients == 5
    assert tune(job.with_settings(["rounds.participants=50"]), 0.001, 50, workers=1).clients == 4


def test_engine_and_dry_run_of_the_job_do_not_matter_and_processes_are_compared():
    job = recipe("synthetic").with_settings(["data.clients=100", "engine=plain", "dry_run=true"])
    findings = tune(job, 0.1, 4, workers=2)
    assert findings.auto.name == "vectorised"
    ways = [PLAIN, VECTORISED, Way("vectorised", 4), Way("vectorised", processes=2)]
    assert [row.way for row in findings.rows] == ways


def test_what_cannot_be_trained_cannot_be_measured(tmp_path):
    plugin = tmp_path / "broken.py"
    plugin.write_text(
        "from fedscale.core.client import Client\n\n\n"
        "class Broken(Client):\n"
        "    def train(self, client_data, model, conf):\n"
        "        raise ValueError('no')\n"
    )
    done = fedscale(*MLP, *QUICK, "--plugin", plugin)
    assert isinstance(done.exception, RunError)
    assert "no client can be trained: ValueError: no" in str(done.exception)


def test_ratios_are_medians_over_turns_of_ratios_within_a_turn():
    """Turns of 10 clients: plain 1, 2 and 6 s; vectorised 0.5, 2 and 2 s: ratios 2, 1 and 3, medians 2 and 2 s."""
    turns = [{PLAIN: plain, VECTORISED: other} for plain, other in ((1.0, 0.5), (2.0, 2.0), (6.0, 2.0))]
    assert _row(VECTORISED, turns, 10) == Row(VECTORISED, clients_per_second=5, ms_per_client=200, ratio=2)
    assert _row(PLAIN, turns, 10).ratio == 1


def test_the_faster_engine_is_judged_in_one_process_and_by_the_blocks_of_a_run():
    rows = [(PLAIN, 1.0), (VECTORISED, 0.9), (Way("vectorised", 8), 1.5), (Way("vectorised", processes=2), 1.8)]
    findings = Findings(10, 16, 3, tuple(Row(way, 1, 1, ratio) for way, ratio in rows), None, None)
    assert findings.faster == "plain"
    assert findings.ratio(Way("vectorised", 8)) == 1.5


def test_blocks_of_one_size_hold_all_tasks_those_with_most_work_first():
    local = Job.parse({"data": "digits"}).local
    confs = [
        TrainConf(task=n, client=n, version=0, seed=1, lr=local.lr, batch_size=8, steps=None, epochs=1)
        for n in range(5)
    ]
    planner = _Even(samples=[10, 50, 20, 40, 30], block=2)
    assert [[conf.client for conf in block] for block in planner.blocks(confs)] == [[1, 3], [4, 2], [0]]
