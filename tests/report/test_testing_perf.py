"""Test results as the original FedScale kept them."""

from __future__ import annotations

import math
import pickle
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

import fedscale
from fedscale import limits
from fedscale.cli.main import app
from fedscale.errors import DataError, LogError
from fedscale.report.testing_perf import Perf, PerfRow, perf_of, read_testing_perf, write_testing_perf

ROWS = OrderedDict(
    (
        (1, {"round": 1, "clock": 0.0, "loss": 3.9, "top_1": 2.5, "top_5": 9.75, "test_len": 400}),
        (10, {"round": 10, "clock": np.float64(812.25), "loss": np.float32(2.5), "top_1": 31.0, "top_5": 60.5}),
    )
)
HISTORY = {"data_set": "femnist", "model": "resnet18", "sample_mode": "oort", "gradient_policy": None, "task": "cv"}


def dump(folder: Path, content: object, protocol: int | None = None) -> Path:
    path = folder / "testing_perf"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_a_file_of_the_original(tmp_path: Path, protocol: int) -> None:
    found = read_testing_perf(dump(tmp_path, {**HISTORY, "perf": ROWS}, protocol))
    assert found == Perf(
        "femnist",
        "resnet18",
        "oort",
        "",
        "cv",
        (PerfRow(1, 0.0, 3.9, 2.5, 9.75, 400.0), PerfRow(10, 812.25, 2.5, 31.0, 60.5, 0.0)),
    )


def test_what_is_written_is_read_by_pickle_and_by_us(tmp_path: Path) -> None:
    perf = Perf("a", "b", "c", "d", "e", (PerfRow(2, 1.5, 0.25, 50.0, math.inf, 8),))
    write_testing_perf(perf, tmp_path / "testing_perf")
    assert read_testing_perf(tmp_path / "testing_perf") == perf
    content = pickle.loads((tmp_path / "testing_perf").read_bytes())
    row = {"round": 2, "clock": 1.5, "loss": 0.25, "top_1": 50.0, "top_5": math.inf, "test_len": 8}
    words = {"data_set": "a", "model": "b", "sample_mode": "c", "gradient_policy": "d", "task": "e"}
    assert content == {**words, "perf": OrderedDict({2: row})}
    assert type(content["perf"]) is OrderedDict


class Anything:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ([1], "must be a dictionary with perf, a dictionary of tests, in it"),
        ({"perf": 1}, "must be a dictionary with perf"),
        ({"perf": {3: 4}}, "round 3: must be a dictionary, not 4"),
        (
            {"perf": {3: {"clock": 1.0, "loss": 1.0, "top_1": "high", "top_5": 1.0}}},
            "round 3: top_1 is 'high'; it must",
        ),
        ({"perf": {3: {"clock": 1.0, "loss": 1.0, "top_1": 1.0}}}, "round 3: top_5 is None; it must be a number"),
        ({"perf": {3: {"clock": True, "loss": 1, "top_1": 1, "top_5": 1}}}, "round 3: clock is True"),
        ({"perf": {"x": {"clock": 1, "loss": 1, "top_1": 1, "top_5": 1}}}, "round 'x': round is 'x'"),
        ({"perf": {2.5: {"clock": 1, "loss": 1, "top_1": 1, "top_5": 1}}}, r"round is 2\.5; it must be a whole number"),
        ({"perf": {1: Anything()}}, "global .*print.* is refused"),
        ({"perf": OrderedDict, "x": 1}, "does not end|must be a dictionary"),
    ],
)
def test_what_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: object, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        read_testing_perf(dump(tmp_path, content))
    assert capsys.readouterr().out == ""


def test_a_dictionary_that_is_called_with_something(tmp_path: Path) -> None:
    path = tmp_path / "testing_perf"
    path.write_bytes(b"\x80\x02ccollections\nOrderedDict\n]\x85R.")
    with pytest.raises(DataError, match="that is not filled key by key is refused"):
        read_testing_perf(path)


def test_files_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_testing_perf(tmp_path / "absent")
    path = dump(tmp_path, HISTORY)
    monkeypatch.setattr(limits, "TESTING_PERF_BYTES", 5)
    with pytest.raises(DataError, match="more than the 5 bytes that are read"):
        read_testing_perf(path)


def metrics_of(metric: str, rows: list[dict[str, object]]) -> SimpleNamespace:
    """What `perf_of` looks at of a run's metrics, with the tests given."""
    job = {"data": {"name": "d"}, "model": None, "server": {"name": "fedavg"}, "selector": {"name": "uniform"}}
    return SimpleNamespace(job={"job": job}, evaluations=pa.Table.from_pylist(rows), metric=metric)


def test_metrics_by_their_names_in_the_original() -> None:
    row = {"version": 5, "t": 60.0, "samples": 40, "loss": 1.5, "wer": 0.5, "cer": 0.25}
    (test,) = perf_of(metrics_of("wer", [row])).perf
    assert test == PerfRow(5, 60.0, 1.5, 50.0, 25.0, 40)
    with pytest.raises(LogError, match="testing_perf keeps accuracy, wer, map, and this run was tested by perplexity"):
        perf_of(metrics_of("perplexity", [{"version": 5, "t": 60.0, "samples": 40, "perplexity": 8.0}]))


def test_from_a_run_to_a_table_and_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    job = fedscale.recipe("digits").with_settings(["rounds.count=2", "rounds.participants=2", "evaluate.every=1"])
    run = fedscale.simulate(job, tmp_path / "run", workers=1)
    path = tmp_path / "testing_perf"
    result = CliRunner().invoke(app, ["report", str(tmp_path / "run"), "--testing-perf", str(path)])
    assert result.exit_code == 0, result.exception
    perf = read_testing_perf(path)
    accuracy = run.metrics.evaluations["accuracy"].to_pylist()
    assert [test.top_1 for test in perf.perf] == [100 * value for value in accuracy]
    assert [test.clock for test in perf.perf] == run.metrics.evaluations["t"].to_pylist()
    assert [test.round for test in perf.perf] == run.metrics.evaluations["version"].to_pylist()
    shown = CliRunner().invoke(app, ["testing-perf", str(path)]).stdout
    assert "digits" in shown
    assert f"{100 * accuracy[-1]:.4g}" in shown
    page = tmp_path / "old.html"
    assert CliRunner().invoke(app, ["testing-perf", str(path), str(path), "--out", str(page)]).exit_code == 0
    assert "top-1 (%)" in page.read_text(encoding="utf-8")


def test_one_run_at_a_time(tmp_path: Path) -> None:
    arguments = ["report", str(tmp_path), str(tmp_path), "--testing-perf", "x"]
    assert CliRunner().invoke(app, arguments).exit_code != 0
