"""From raw files to a trained model, as a user would: an import on the command line, two rounds, the metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedscale.cli.main import app
from fedscale.data.catalogue import DATASETS
from fedscale.recipes import recipe
from fedscale.report.check import check_log
from fedscale.report.facts import called
from fedscale.report.log import read_log
from fedscale.simulation.progress import Silent
from fedscale.simulation.run import simulate

CLIENTS = 8
"""How many clients the raw files should have."""

POOLED = {"auc", "map", "macro_ap"}
"""Metrics of all clients' scores together, which no client has alone."""

OF_SINGLE_CLIENTS = ("fairness (Jain)", "whom the model serves", "The band holds")

SPLIT = "data.split={train: 0.5, validation: 0, test: 0.5}"
SMALL = (
    "rounds.count=2",
    "rounds.participants=2",
    "local.steps=2",
    "availability=off",
    "engine=plain",
    "evaluate.every=1",
    "data.min_samples=1",
    SPLIT,
)


def imported_and_trained(
    name: str, raw: Path, metric: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: Sequence[str] = ()
) -> None:
    """Import ``raw`` as the dataset ``name`` and take two rounds of its recipe: its metric is there, and adds up."""
    monkeypatch.setenv("FEDSCALE_CACHE", str(tmp_path / "cache"))
    done = CliRunner().invoke(app, ["data", "import", name, "--from", str(raw)])
    assert done.exit_code == 0, done.output
    assert f"{name}: {CLIENTS} clients" in done.output
    job = recipe(name).with_settings([*SMALL, *changes])
    run = simulate(job, tmp_path / "run", workers=1, observer=Silent())
    tested = [record for record in read_log(run.log) if record["kind"] == "evaluate"]
    assert DATASETS.build(name).card.metric == metric
    assert [math.isfinite(record["metrics"][metric]) for record in tested] == [True, True]
    assert check_log(run.log).findings == []
    page = run.report().read_text(encoding="utf-8")
    assert f"{called(metric)} by round" in page
    assert [text in page for text in OF_SINGLE_CLIENTS] == [metric not in POOLED] * len(OF_SINGLE_CLIENTS)
