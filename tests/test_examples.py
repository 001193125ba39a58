"""The examples run, each the way its docstring says, with small settings."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fedscale import Run
from fedscale.report.check import check_log

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"


@pytest.fixture
def run_in(tmp_path):
    """Run a command in an empty folder, as a user would, and return its output."""

    def run(*command: object, seconds: float = 120) -> str:
        done = subprocess.run(
            [sys.executable, *map(str, command)],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def fedscale(run_in, *arguments: object) -> str:
    return run_in("-m", "fedscale.cli.main", *arguments)


def test_every_example_is_tried_here():
    text = Path(__file__).read_text(encoding="utf-8")
    assert [
        path.name for path in EXAMPLES.iterdir() if f'"{path.name}"' not in text and path.name != "__pycache__"
    ] == []


def test_own_algorithm_gives_the_same_on_two_workers_and_changes_the_model(run_in, tmp_path):
    plugin = EXAMPLES / "own_algorithm.py"
    small = ("--set", "rounds.count=1")
    for out, workers in (("one", 1), ("two", 2)):
        fedscale(run_in, "run", "digits", "--plugin", plugin, *small, "--out", out, "--workers", workers)
    fedscale(run_in, "run", "digits", *small, "--out", "plain", "--workers", 1)

    def model(name: str) -> bytes:
        return (tmp_path / name / "model.safetensors").read_bytes()

    assert model("one") == model("two") != model("plain")
    assert check_log(tmp_path / "one" / "log.jsonl").ok


def test_own_selector_spreads_the_work(run_in, tmp_path):
    settings = ("--set", "rounds.count=6", "--set", "rounds.over_commitment=1", "--set", "devices=off")
    chosen = ("--plugin", EXAMPLES / "own_selector.py", "--set", "selector.name=least_served")
    fedscale(run_in, "run", "digits", *settings, *chosen, "--out", "served", "--workers", 1)
    counts = Run(tmp_path / "served").metrics.contributions
    # Six rounds of 4 are 24 updates over 11 clients, all online and alike: the most even shares are 2 and 3.
    assert sorted(counts) == [2.0] * 9 + [3.0] * 2


STOPPED = """
import sys
from pathlib import Path
from fedscale import recipe, resume, simulate
from fedscale.simulation.progress import Silent

class Stopping(Silent):
    def __init__(self):
        self.attempts = 0

    def attempt(self, progress):
        self.attempts += 1

    def stop_asked(self):
        return self.attempts == 2

job = recipe("digits").with_settings(["rounds.count=4", "selector.name=least_served"])
job = job.model_copy(update={"plugins": (Path(sys.argv[1]),)})
simulate(job, "whole", workers=1)
assert not simulate(job, "stopped", workers=1, observer=Stopping()).finished
assert resume("stopped", workers=1).finished
"""


def test_own_selector_goes_on_after_a_stop_as_if_there_had_been_none(run_in, tmp_path):
    run_in("-c", STOPPED, EXAMPLES / "own_selector.py")
    assert (tmp_path / "stopped" / "log.jsonl").read_bytes() == (tmp_path / "whole" / "log.jsonl").read_bytes()


def test_own_selector_refuses_an_impossible_chance(tmp_path):
    command = ["-m", "fedscale.cli.main", "run", "digits", "--plugin", EXAMPLES / "own_selector.py"]
    command += ["--set", "selector.name=least_served", "--set", "selector.chance=2", "--out", tmp_path / "out"]
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "chance must lie in [0, 1] (got 2)" in done.stderr


def test_compare_writes_one_page_about_three_runs(run_in, tmp_path):
    output = run_in(EXAMPLES / "compare.py", "--out", "compared", "--rounds", 2, "--workers", 1)
    assert [line.split()[0] for line in output.splitlines()[:3]] == ["fedavg", "fedprox", "fedyogi"]
    assert output.splitlines()[-1] == "Report: compared/comparison.html"
    page = (tmp_path / "compared" / "comparison.html").read_text(encoding="utf-8")
    assert all(name in page for name in ("fedavg", "fedprox", "fedyogi"))


def test_own_traces_is_the_run_worked_out_by_hand(run_in, tmp_path):
    fedscale(run_in, "run", EXAMPLES / "own_traces" / "job.yaml", "--out", "traced", "--workers", 1)
    metrics = Run(tmp_path / "traced").metrics
    assert metrics.rounds["end"].to_pylist() == [7.0, 18.0, 20.0, 307.0]
    assert metrics.rounds["completed"].to_pylist() == [2, 1, 0, 1]
    assert (metrics.ledger["useful_seconds"], metrics.ledger["wasted_seconds"]) == (24.0, 20.0)


@pytest.mark.parametrize("table", ["devices.csv", "availability.csv"])
def test_the_tables_of_own_traces_name_the_same_clients(table):
    with (EXAMPLES / "own_traces" / table).open(newline="") as file:
        assert [row["client_id"] for row in csv.DictReader(file)] == ["A", "B", "C"]
