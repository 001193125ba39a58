from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedscale.report import plots
from fedscale.report.canvas import POINTS, RunView, size_unit, thin, time_unit
from fedscale.report.metrics import Metrics
from fedscale.report.timeline import timeline, typical_attempt


@pytest.fixture
def run(three_clients: Path) -> RunView:
    return RunView("three <clients>", Metrics.from_log(three_clients / "log.jsonl"), "#3d7bd9")


def trace(figure: Any, name: str) -> Any:
    return next(each for each in figure.data if each.name == name)


def points(figure: Any, name: str) -> list[tuple[Any, Any]]:
    return list(zip(trace(figure, name).x, trace(figure, name).y, strict=True))


def test_score_by_round_and_by_time(run: RunView) -> None:
    assert points(plots.score([run], by_time=False), "accuracy") == [(1, 0.4), (3, 0.78)]
    by_time = plots.score([run], by_time=True)
    assert by_time.layout.xaxis.title.text == "virtual time (minutes)"
    assert points(by_time, "accuracy") == [(7 / 60, 0.4), (307 / 60, 0.78)]
    assert points(by_time, "centralised") == [(0, 0.95), (307 / 60, 0.95)]


def test_loss(run: RunView) -> None:
    figure = plots.loss([run], by_time=False)
    assert points(figure, "training") == [(1, 1.6), (2, 1.5), (3, 0.9)]
    assert points(figure, "evaluation") == [(1, 2.0), (3, 0.8)]


def test_fates_are_stacked_by_attempt(run: RunView) -> None:
    figure = plots.fates(run)
    assert list(trace(figure, "completed").y) == [2, 1, 0, 1]
    assert list(trace(figure, "straggler").y) == [1, 0, 0, 0]
    assert list(trace(figure, "dropped").y) == [0, 1, 1, 0]
    assert figure.layout.barmode == "stack"


def test_fates_of_a_long_run_are_means_of_groups(run: RunView, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "BARS", 2)
    figure = plots.fates(run)
    assert list(trace(figure, "completed").x) == [1.5, 3.5]
    assert list(trace(figure, "completed").y) == [1.5, 0.5]
    assert figure.layout.xaxis.title.text == "attempt (means of 2)"


def test_traffic_and_time_add_up(run: RunView) -> None:
    assert [y for _, y in points(plots.traffic([run]), "down")] == [375, 625, 750, 875]
    assert [y for _, y in points(plots.traffic([run]), "up")] == [250, 375, 375, 500]
    assert [y for _, y in points(plots.client_time([run]), "useful")] == [12, 17, 17, 24]
    assert [y for _, y in points(plots.client_time([run]), "wasted")] == [7, 18, 20, 20]


def test_waste_shows_the_causes_that_occurred(run: RunView) -> None:
    name = "three &lt;clients&gt;"
    assert points(plots.waste_seconds([run]), name) == [("straggler", 7), ("dropped", 13)]
    assert points(plots.waste_bytes([run]), name) == [("straggler", 125), ("dropped", 250)]


def test_nobody_is_online_during_a_jump(run: RunView) -> None:
    line = np.array(points(plots.online([run]), "three &lt;clients&gt;"))
    assert np.allclose(line * (60, 1), [(0, 3), (7, 2), (18, 1), (20, 0), (300, 1)])


def test_participation_counts_clients_by_updates(run: RunView) -> None:
    assert points(plots.participation([run]), "three &lt;clients&gt;") == [("0", 1), ("1", 0), ("2", 2)]
    curve = points(plots.lorenz([run]), "three &lt;clients&gt; (Gini 0.33)")
    assert np.allclose(curve, [(0, 0), (1 / 3, 0), (2 / 3, 0.5), (1, 1)])


def test_client_spread_is_a_cumulative_distribution(run: RunView) -> None:
    assert points(plots.client_spread([run]), "three &lt;clients&gt;") == [(0.2, 0.25), (0.6, 0.5), (0.8, 0.75), (1, 1)]
    assert [y for _, y in points(plots.worst_tenth([run]), "worst tenth")] == [0.4, 0.2]


def test_timeline_of_a_typical_attempt(run: RunView) -> None:
    """Attempts last 7, 11, 2 and 7 s; the first is nearest to the median of 7 and has a straggler."""
    assert typical_attempt(run.metrics) == 1
    figure = timeline(run)
    assert list(trace(figure, "download").y) == ["client 0", "client 1", "client 2"]
    assert list(trace(figure, "download").x) == [1, 2, 0.5]
    assert list(trace(figure, "compute").x) == [3, 5, 6]
    assert list(trace(figure, "upload").x) == [1, 0, 0.5]
    assert points(figure, "completed") == [(5, "client 0"), (7, "client 2")]
    assert points(figure, "straggler") == [(7, "client 1")]


def test_thinning_keeps_the_ends() -> None:
    assert thin(3).tolist() == [0, 1, 2]
    assert thin(0).tolist() == []
    rows = thin(100_000)
    assert (len(rows), rows[0], rows[-1]) == (POINTS, 0, 99_999)


def test_units() -> None:
    assert time_unit(90) == (1, "seconds")
    assert time_unit(7_199) == (60, "minutes")
    assert time_unit(172_800) == (86_400, "days")
    assert size_unit(2_500_000) == (1e6, "MB")
    assert size_unit(0) == (1, "bytes")
