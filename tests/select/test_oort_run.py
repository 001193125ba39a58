"""Oort in a whole job: from the command line, and stopped and resumed."""

import json

from typer.testing import CliRunner

from fedscale import recipe, resume, simulate
from fedscale.cli.main import app

SETTINGS = [
    "data={name: synthetic, clients: 60, samples: 20}",
    "selector={name: oort, exploration_min: 0.1, exploration_decay: 0.7, pace_window: 2, max_selections: 3}",
    "rounds={participants: 8, count: 8}",
    "evaluate.every=100",
    "checkpoint_every=3",
    "availability=off",
]


def lines(log, kind):
    return [record for record in map(json.loads, log.read_text().splitlines()) if record["kind"] == kind]


def test_a_whole_job_from_the_command_line_adds_up(tmp_path):
    out = tmp_path / "run"
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    done = CliRunner().invoke(app, ["run", "synthetic", *settings, "--out", str(out), "--workers", "1"])
    assert done.exit_code == 0, done.output
    checked = CliRunner().invoke(app, ["check", str(out)])
    assert checked.exit_code == 0, checked.output
    rounds = [record["clients"] for record in lines(out / "log.jsonl", "select")]
    assert len(lines(out / "log.jsonl", "commit")) == 8
    assert all(clients == sorted(set(clients)) for clients in rounds)
    uniform = simulate(
        recipe("synthetic").with_settings([*SETTINGS, "selector=uniform"]), tmp_path / "uniform", workers=1
    )
    assert rounds != [record["clients"] for record in lines(uniform.log, "select")]


def test_stopped_and_resumed_it_writes_the_same_bytes(tmp_path, stop_after):
    job = recipe("synthetic").with_settings(SETTINGS)
    whole = simulate(job, tmp_path / "whole", workers=1)
    part = simulate(job, tmp_path / "part", workers=1, observer=stop_after(5))
    assert not part.finished
    assert resume(part.directory, workers=1).finished
    assert part.log.read_bytes() == whole.log.read_bytes()
