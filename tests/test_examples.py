"""The examples run, each the way its docstring says, with small settings."""

import ast
import csv
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from fedscale import Run, load_dataset, recipe, resume, seeds, simulate
from fedscale.cli.main import app
from fedscale.errors import JobError
from fedscale.report.check import check_log
from fedscale.report.log import read_log

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


@pytest.fixture
def fedscale(tmp_path, monkeypatch):
    """Run a command of ours in an empty folder; here, since an interpreter of its own would take most of the time."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> None:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, f"{result.output} {result.exception}"

    return run


def test_every_example_is_tried_here():
    text = Path(__file__).read_text(encoding="utf-8")
    assert [
        path.name
        for path in EXAMPLES.iterdir()
        if f'"{path.name}"' not in text and path.name not in {"__pycache__", "jobs"}  # those: test_example_jobs.py
    ] == []


def test_label_histogram_counts_the_labels_of_those_who_completed(fedscale, tmp_path):
    plugin = EXAMPLES / "label_histogram.py"
    settings = ("testing.download=false", "evaluate.split=train", "availability=off", "rounds.count=1")
    chosen = [part for setting in settings for part in ("--set", setting)]
    fedscale("run", "digits", "--plugin", plugin, *chosen, "--out", "run", "--workers", 1)
    dataset = load_dataset("digits")
    (evaluated,) = [record for record in read_log(tmp_path / "run" / "log.jsonl") if record["kind"] == "evaluate"]
    labels = np.concatenate([dataset.client(client).columns["y"] for client in evaluated["clients"]])
    totals = Run(tmp_path / "run").metrics.statistics["total"].to_pylist()
    assert totals == np.bincount(labels, minlength=10).tolist()
    assert check_log(tmp_path / "run" / "log.jsonl").ok


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.soak)])
def test_own_algorithm_gives_the_same_again_and_changes_the_model(workers, fedscale, tmp_path):
    plugin = EXAMPLES / "own_algorithm.py"
    small = ("--set", "rounds.count=1")
    for out, count in (("one", 1), ("two", workers)):
        fedscale("run", "digits", "--plugin", plugin, *small, "--out", out, "--workers", count)
    fedscale("run", "digits", *small, "--out", "plain", "--workers", 1)

    def model(name: str) -> bytes:
        return (tmp_path / name / "model.safetensors").read_bytes()

    assert model("one") == model("two") != model("plain")
    assert check_log(tmp_path / "one" / "log.jsonl").ok


def test_own_selector_spreads_the_work(fedscale, tmp_path):
    settings = ("--set", "rounds.count=6", "--set", "rounds.over_commitment=1", "--set", "devices=off")
    chosen = ("--plugin", EXAMPLES / "own_selector.py", "--set", "selector.name=least_served")
    fedscale("run", "digits", *settings, *chosen, "--out", "served", "--workers", 1)
    counts = Run(tmp_path / "served").metrics.contributions
    # Six rounds of 4 are 24 updates over 11 clients, all online and alike: the most even shares are 2 and 3.
    assert sorted(counts) == [2.0] * 9 + [3.0] * 2


def test_own_selector_goes_on_after_a_stop_as_if_there_had_been_none(stop_after, tmp_path):
    job = recipe("digits").with_settings(["rounds.count=4", "selector.name=least_served"])
    job = job.model_copy(update={"plugins": (EXAMPLES / "own_selector.py",)})
    whole = simulate(job, tmp_path / "whole", workers=1)
    assert not simulate(job, tmp_path / "stopped", workers=1, observer=stop_after(2)).finished
    assert resume(tmp_path / "stopped", workers=1).log.read_bytes() == whole.log.read_bytes()


def test_own_selector_refuses_an_impossible_chance(tmp_path):
    job = recipe("digits").with_settings(["selector.name=least_served", "selector.chance=2"])
    message = r"selector 'least_served', option 'chance': must be from 0 to 1 \(got 2\)"
    with pytest.raises(JobError, match=message):
        simulate(job.model_copy(update={"plugins": (EXAMPLES / "own_selector.py",)}), tmp_path / "out", workers=1)


def test_real_clients_in_other_programs(run_in):
    output = run_in(EXAMPLES / "elsewhere.py").splitlines()
    assert [line.split(":")[0] for line in output] == ["numpy", "torch", "hugging face", "flower", "pandas"]
    assert output[0].split()[1:4] == ["(130,", "8,", "8)"]
    assert output[2:4] == ["hugging face: 130 samples of this client", "flower: 14 104 26"]


def test_compare_writes_one_page_about_three_runs(run_in, tmp_path):
    output = run_in(EXAMPLES / "compare.py", "--out", "compared", "--rounds", 2, "--workers", 1)
    assert [line.split()[0] for line in output.splitlines()[:3]] == ["fedavg", "fedprox", "fedyogi"]
    assert output.splitlines()[-1] == "Report: compared/comparison.html"
    page = (tmp_path / "compared" / "comparison.html").read_text(encoding="utf-8")
    assert all(name in page for name in ("fedavg", "fedprox", "fedyogi"))


def test_own_traces_is_the_run_worked_out_by_hand(fedscale, tmp_path):
    fedscale("run", EXAMPLES / "own_traces" / "job.yaml", "--out", "traced", "--workers", 1)
    metrics = Run(tmp_path / "traced").metrics
    assert metrics.rounds["end"].to_pylist() == [7.0, 18.0, 20.0, 307.0]
    assert metrics.rounds["completed"].to_pylist() == [2, 1, 0, 1]
    assert (metrics.ledger["useful_seconds"], metrics.ledger["wasted_seconds"]) == (24.0, 20.0)


@pytest.mark.parametrize("table", ["devices.csv", "availability.csv"])
def test_the_tables_of_own_traces_name_the_same_clients(table):
    with (EXAMPLES / "own_traces" / table).open(newline="") as file:
        assert [row["client_id"] for row in csv.DictReader(file)] == ["A", "B", "C"]


LISTINGS = {
    "6": "figure_6_mobile.py",
    "9": "figure_9_client.py",
    "17": "figure_17_selection.py",
    "18": "figure_18_compression.py",
    "19": "figure_19_security.py",
}
"""The figures of the paper that show code."""


def lines_of_code(source: str) -> int:
    """Count lines that hold code: no docstrings, imports, comments or blank lines."""
    tree, skipped = ast.parse(source), set()
    for node in ast.walk(tree):
        words = (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        )
        if words or isinstance(node, ast.Import | ast.ImportFrom):
            skipped.update(range(node.lineno, node.end_lineno + 1))
    numbered = enumerate(source.splitlines(), 1)
    return sum(bool(line.split("#")[0].strip()) for number, line in numbered if number not in skipped)


def test_lines_of_code_are_those_that_are_neither_words_nor_imports():
    assert (
        lines_of_code('"""Two\nlines."""\nimport a\n\n# why\nx = 1  # here\ndef f():\n    """Is."""\n    return x\n')
        == 3
    )


@pytest.mark.parametrize("name", LISTINGS.values())
def test_a_listing_of_the_paper_takes_a_few_lines(name):
    assert 3 <= lines_of_code((EXAMPLES / name).read_text(encoding="utf-8")) <= 15


@pytest.fixture
def digits(tmp_path):
    """Run the digits recipe by the command line, two rounds of it; return its directory."""

    def run(out: str, *settings: str, figure: str | None = None) -> Path:
        plugin = [] if figure is None else ["--plugin", str(EXAMPLES / LISTINGS[figure])]
        given = [word for setting in ("rounds.count=2", "engine=plain", *settings) for word in ("--set", setting)]
        command = ["run", "digits", *plugin, *given, "--out", str(tmp_path / out), "--workers", "1"]
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, f"{result.output} {result.exception}"
        assert check_log(tmp_path / out / "log.jsonl").ok
        return tmp_path / out

    return run


def lines(run: Path, kind: str) -> list[dict]:
    return [record for record in read_log(run / "log.jsonl") if record["kind"] == kind]


def digests(run: Path) -> list[str]:
    return [commit["params"] for commit in lines(run, "commit")]


def weights(run: Path) -> np.ndarray:
    """Return the parameters of the last version, in the order of the model's vector."""
    tensors = load_file(run / "model.safetensors")
    layers = sorted({int(name.split(".")[0]) for name in tensors})
    return np.concatenate([tensors[f"{layer}.{part}"].ravel() for layer in layers for part in ("weight", "bias")])


def test_figure_6_takes_the_steps_that_fedscale_takes_by_itself(digits):
    by_hand, built_in = digits("by_hand", figure="6"), digits("built_in")
    # Not digests: linear layers that step by themselves round differently.
    np.testing.assert_allclose(weights(by_hand), weights(built_in), rtol=0, atol=1e-6)
    one, other = ([task.get("loss") for task in lines(run, "task")] for run in (by_hand, built_in))
    assert one == pytest.approx(other, abs=1e-6)


def test_figure_9_trains_as_if_the_job_had_said_so(digits):
    everyone = "rounds.over_commitment=1"  # passes that are priced differently have other stragglers
    plugin, plain = digits("plugin", everyone, figure="9"), digits("plain", everyone)
    by_job = digits("by_job", everyone, "local.epochs=1", "local.steps=null")
    losses = [[task["loss"] for task in lines(run, "task")] for run in (plugin, by_job, plain)]
    assert losses[0] == losses[1] != losses[2]
    # Not digests: the order in which updates are added up goes by what their tasks are expected to take.
    np.testing.assert_allclose(weights(plugin), weights(by_job), rtol=0, atol=1e-6)


def test_figure_17_selects_by_what_came_back(digits):
    run = digits("run", "rounds.count=6", figure="17")
    tasks, utility, everybody = lines(run, "task"), {}, [0, 1, 2, 4, 5, 6, 7, 8, 10, 11, 12]
    for attempt in lines(run, "select"):
        ranked = sorted(everybody, key=lambda client: -utility.get(client, math.inf))
        assert attempt["clients"] == ranked[:6]
        for task in tasks:
            if task["attempt"] == attempt["attempt"]:  # of an unfinished task, weight and loss are not known
                gain = task.get("weight", 0) * task.get("loss", 0)
                utility[task["client"]] = gain / (task["end"] - task["start"])
    assert len(utility) == len(everybody)


def test_figure_18_sends_a_bit_for_each_number(digits):
    run, plain = digits("signs", figure="18"), digits("plain")
    numbers = lines(run, "population")[0]["parameters"]
    sent = {task["bytes_up"] for task in lines(run, "task") if task["fate"] == "completed"}
    assert sent == {math.ceil(numbers / 8) + 4} == {2298}
    whole = {task["bytes_up"] for task in lines(plain, "task") if task["fate"] == "completed"}
    assert 31 < whole.pop() / 2298 < 32
    assert digests(run) != digests(plain)


def test_figure_19_is_clipping_and_a_noise_that_is_known(digits):
    noisy = digits("noisy", "rounds.count=1", figure="19")
    clipped = digits("clipped", "rounds.count=1", "aggregation.name=norm_clipping", "aggregation.bound=0.1")
    noise = weights(noisy) - weights(clipped)
    expected = seeds.rng(19, "noise", 1).normal(0, 0.001, len(noise))
    np.testing.assert_allclose(noise, expected, rtol=0, atol=1e-6)
    assert np.linalg.norm(weights(clipped) - weights(digits("plain", "rounds.count=1"))) > 0.01


def test_fine_tuning_begins_with_what_was_learnt_and_sends_less(tmp_path, monkeypatch):
    """The jobs of "finetune", on data that needs no network."""
    monkeypatch.chdir(tmp_path)
    offline = ["--set", "data={name: digits}", "--set", "model={name: mlp, hidden: 32}", "--set", "rounds.count=1"]
    offline += ["--set", "local.lr=0.1", "--workers", "1"]
    finetune = EXAMPLES / "finetune"
    common = ["--set", "initial=base/model.safetensors", "--variants", str(finetune / "variants.yaml"), "--seeds", "1"]
    for command in (
        ["run", str(finetune / "base.yaml"), *offline, "--out", "base"],
        ["compare", str(finetune / "tuned.yaml"), *offline, *common, "--out", "compared"],
    ):
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, f"{done.output} {done.exception}"
    weights = {name: load_file(tmp_path / name / "model.safetensors") for name in ("base", "compared/base/seed-2")}
    for name, value in weights["base"].items():
        np.testing.assert_allclose(weights["compared/base/seed-2"][name], value, rtol=0, atol=1e-6)
    # Rank 4 of 64 → 32 → 10: A and B, or B alone.
    numbers = {"full": 64 * 32 + 32 + 32 * 10 + 10, "lora": 4 * (96 + 42), "ffa_lora": 4 * (32 + 10)}
    for name, count in numbers.items():
        (population,) = lines(tmp_path / "compared" / name / "seed-2", "population")
        assert population["parameters"] == count
        assert population["bytes_up"] - 4 * count in (72, 80)  # the header of safetensors
