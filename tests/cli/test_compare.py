"""``fedscale compare``: every variant with every seed, and one table that is derived from their logs."""

import csv

import pytest
import yaml
from typer.testing import CliRunner

from fedscale import Run
from fedscale.cli.main import app
from fedscale.errors import FedScaleError, JobError
from fedscale.job import Job
from fedscale.recipes import RECIPES, recipe
from fedscale.recipes.variants import VARIANTS
from fedscale.report.comparison import Comparison, Figures, as_markdown, mean_and_spread
from fedscale.simulation import setup
from fedscale.simulation.compare import read_variants, variants_of

JOB = """
name: small
seed: 5
data: {name: synthetic, clients: 20, samples: 20, classes: 4, shape: [6]}
model: logistic_regression
local: {epochs: 1, batch_size: 8, lr: 0.2}
rounds: {participants: 4, count: 4}
evaluate: {every: 2}
availability: off
"""

VARIANTS_FILE = """
plain: {}
proximal: {local.objective.name: fedprox, local.objective.mu: 5}
"""


@pytest.fixture
def invoke(tmp_path, monkeypatch, dataset_cache):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.yaml").write_text(JOB)
    (tmp_path / "variants.yaml").write_text(VARIANTS_FILE)

    def run(*arguments):
        return CliRunner().invoke(app, ["compare", *map(str, arguments)])

    return run


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_all_variants_run_with_all_seeds_and_their_figures_are_those_of_the_logs(invoke, tmp_path):
    done = invoke(
        "job.yaml", "--variants", "variants.yaml", "--seeds", 2, "--target", 0.5, "--out", "out", "--workers", 1
    )
    assert done.exit_code == 0, done.output
    rows = table(tmp_path / "out" / "comparison.csv")
    assert [(row["variant"], row["seed"]) for row in rows] == [(n, s) for n in ("plain", "proximal") for s in "56"]
    for row in rows:
        run = Run(tmp_path / "out" / row["variant"] / f"seed-{row['seed']}")
        head = run.metrics.headline
        assert float(row["final"]) == head["final"]
        plain = Run(tmp_path / "out" / "plain" / f"seed-{row['seed']}").metrics.headline
        assert float(row["difference"]) == head["final"] - plain["final"]
        assert float(row["gigabytes"]) == (head["bytes_down"] + head["bytes_up"]) / 1e9
        reached = run.metrics.time_to(0.5)
        assert row["rounds_to_target"] == ("" if reached is None else str(reached[0]))
        assert run.job.local.objective.name == {"plain": "plain", "proximal": "fedprox"}[row["variant"]]
    assert any(float(row["difference"]) for row in rows)  # else its sign would not matter
    assert "| plain |" in done.output
    assert (tmp_path / "out" / "comparison.html").stat().st_size > 10_000


def test_it_goes_on_where_it_was_stopped_and_adds_seeds(invoke, tmp_path):
    common = ("job.yaml", "--variants", "variants.yaml", "--out", "out", "--workers", 1)
    assert invoke(*common, "--seeds", 1).exit_code == 0
    first = tmp_path / "out" / "plain" / "seed-5" / "model.safetensors"
    before = first.stat().st_mtime_ns
    (tmp_path / "out" / "proximal" / "seed-5" / "model.safetensors").unlink()  # as if it had been stopped at the end
    again = invoke(*common, "--seeds", 2)
    assert again.exit_code == 0, again.output
    assert first.stat().st_mtime_ns == before
    assert len(table(tmp_path / "out" / "comparison.csv")) == 4


def test_a_directory_with_another_job_is_refused(invoke):
    common = (
        "job.yaml",
        "--variants",
        "variants.yaml",
        "--only",
        "plain",
        "--seeds",
        1,
        "--out",
        "out",
        "--workers",
        1,
    )
    assert invoke(*common).exit_code == 0
    other = invoke(*common, "--set", "local.lr=0.1")
    assert isinstance(other.exception, JobError)
    assert "seed-5: holds a run of another job" in str(other.exception)


def test_a_variant_that_diverges_is_a_line_of_the_table(invoke, tmp_path):
    (tmp_path / "variants.yaml").write_text("plain: {}\nwild: {local.lr: 1.0e+30, server.lr: 1.0e+30}\n")
    done = invoke("job.yaml", "--variants", "variants.yaml", "--seeds", 1, "--out", "out", "--workers", 1)
    assert done.exit_code == 0, done.output
    assert "| wild | failed:" in (tmp_path / "out" / "comparison.md").read_text()
    assert [row["variant"] for row in table(tmp_path / "out" / "comparison.csv")] == ["plain"]


def test_means_and_standard_deviations_by_hand():
    values = {
        "final": [0.5, 0.7],
        "difference": [-0.01, 0.03],
        "worst10": [None, None],
        "attack_success": [0.0, 0.25],
        "rounds_to_target": [10, None],
        "hours_to_target": [1.0, 3.0],
        "hours": [2.0, 2.0],
        "gigabytes": [0.25, 0.25],
        "waste_share": [0.1, 0.3],
        "epsilon": [None, None],
    }
    found = Comparison("accuracy", 0.6, (1, 2), [Figures("one", values), Figures("two", {}, "it broke")], [])
    lines = as_markdown(found).splitlines()
    head, line = (lines[place].strip("| ").split(" | ") for place in (0, 2))
    assert dict(zip(head, line, strict=True)) == {
        "variant": "one",
        "accuracy at the end": "0.600 ± 0.141",
        "difference from one": "+0.0100 ± 0.0283",
        "success of the attack": "0.125 ± 0.177",
        "rounds to 0.6": "– (1 of 2)",
        "virtual hours to 0.6": "2.00 ± 1.41",
        "virtual hours in all": "2.00",
        "GB moved": "0.250",
        "wasted client time": "20.0% ± 14.1%",
    }  # nobody has a worst tenth, or ε
    assert "| two | failed: it broke |" in as_markdown(found)
    assert mean_and_spread([3.0]) == (3.0, 0.0)


def test_the_built_in_variants_can_be_run(invoke):
    job = recipe("digits")
    for variant in variants_of(VARIANTS):
        setup.prepare(variant.of(job, 1), {})
    listed = invoke("digits", "--list", "--only", "fedprox")
    assert yaml.safe_load(listed.output) == {"fedprox": VARIANTS["fedprox"]}
    assert RECIPES.names()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a/b: {}", r"the name 'a/b' holds other than letters"),
        ("plain: [1]", r"plain: \[1\] is no mapping of settings"),
        ("- 1", r"variants\.yaml"),
    ],
)
def test_files_that_are_no_variants(text, message, tmp_path):
    path = tmp_path / "variants.yaml"
    path.write_text(text)
    with pytest.raises(FedScaleError, match=message):
        read_variants(path)


def test_unknown_settings_and_names_are_named(invoke):
    unknown = invoke("digits", "--only", "scafold")
    assert "no variant is called 'scafold'" in str(unknown.exception)
    with pytest.raises(JobError, match="locall"):
        variants_of({"x": {"locall.lr": 1}})[0].of(Job.parse({"data": "digits"}), 1)
