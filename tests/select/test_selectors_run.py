"""Every selector in whole jobs: from the command line, stopped and resumed, and with more workers."""

import json

import pytest
from typer.testing import CliRunner

from fedscale import recipe, resume, simulate
from fedscale.cli.main import app
from fedscale.select import SELECTORS

OPTIONS = {
    "oort": "exploration: 0.5, pace_window: 2",
    "power_of_choice": "candidates: 12",
    "tifl": "tiers: 3, interval: 2, credits: 2",
}
SETTINGS = [
    "data={name: synthetic, clients: 150, samples: 20}",
    "rounds={participants: 6, count: 7, deadline: 400}",
    "cost.payload_bytes=40000000",
    "evaluate.every=100",
    "checkpoint_every=2",
]


def settings(name):
    return [*SETTINGS, f"selector={{name: {name}, {OPTIONS.get(name, '')}}}"]


def selections(log):
    return [record["clients"] for record in map(json.loads, log.read_text().splitlines()) if record["kind"] == "select"]


@pytest.mark.parametrize("name", SELECTORS.names())
def test_a_whole_job_from_the_command_line_adds_up(name, tmp_path):
    out = tmp_path / "run"
    given = [
        part
        for setting in (f"selector.name={name}", "rounds.count=2", "rounds.deadline=600")
        for part in ("--set", setting)
    ]
    done = CliRunner().invoke(app, ["run", "digits", *given, "--out", str(out), "--workers", "1"])
    assert done.exit_code == 0, done.output
    checked = CliRunner().invoke(app, ["check", str(out)])
    assert checked.exit_code == 0, checked.output
    assert all(clients == sorted(set(clients)) for clients in selections(out / "log.jsonl"))


@pytest.mark.parametrize("name", [name for name in SELECTORS.names() if name != "uniform"])
def test_stopped_and_resumed_it_writes_the_same_bytes(name, tmp_path, stop_after):
    job = recipe("synthetic").with_settings(settings(name))
    whole = simulate(job, tmp_path / "whole", workers=1)
    part = simulate(job, tmp_path / "part", workers=1, observer=stop_after(5))
    assert not part.finished
    assert resume(part.directory, workers=1).finished
    assert part.log.read_bytes() == whole.log.read_bytes()


@pytest.mark.parametrize("name", SELECTORS.names())
def test_asynchronous_rounds_ask_it_too(name, tmp_path, stop_after):
    """For a few clients at a time, those at work left out; and stopped and resumed, too."""
    own = f"selector={{name: {name}, {'deadline: 400' if name == 'deadline' else OPTIONS.get(name, '')}}}"
    given = [*SETTINGS, "rounds.deadline=null", own, "asynchronous={concurrency: 12, refill: 3}", "dry_run=true"]
    job = recipe("synthetic").with_settings(given)
    whole = simulate(job, tmp_path / "whole", workers=1)
    part = simulate(job, tmp_path / "part", workers=1, observer=stop_after(4))
    assert not part.finished
    resume(part.directory, workers=1)
    assert part.log.read_bytes() == whole.log.read_bytes()
    assert CliRunner().invoke(app, ["check", str(whole.directory)]).exit_code == 0


@pytest.mark.soak
def test_the_number_of_workers_does_not_matter(tmp_path):
    job = recipe("synthetic").with_settings(settings("tifl"))
    one, two = (simulate(job, tmp_path / str(workers), workers=workers) for workers in (1, 2))
    assert one.log.read_bytes() == two.log.read_bytes()


def test_they_choose_differently(tmp_path):
    """Those that look ahead lose no task to devices that leave, others do; the deadline selector has no stragglers."""
    ledgers, chosen = {}, set()
    for name in SELECTORS.names():
        job = recipe("synthetic").with_settings([*settings(name), "rounds.over_commitment=1.0", "dry_run=true"])
        run = simulate(job, tmp_path / name, workers=1)
        chosen.add(json.dumps(selections(run.log)))
        ledgers[name] = run.metrics.ledger
    assert len(chosen) == len(SELECTORS.names())
    assert ledgers["deadline"]["dropped"] == ledgers["deadline"]["straggler"] == ledgers["soon_offline"]["dropped"] == 0
    assert all(ledgers[name]["dropped"] for name in ("oort", "power_of_choice", "refl", "uniform"))
