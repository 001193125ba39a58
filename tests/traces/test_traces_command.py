"""The ``traces`` commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from fedscale.cli.traces import app
from fedscale.job import AvailabilityConf, DevicesConf
from fedscale.traces.population import build_population
from fedscale.traces.readers import load_client_availability, load_client_devices


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def rows(shown: str) -> dict[str, list[str]]:
    lines = [line.strip() for line in shown.splitlines() if "│" in line]
    cells = [[cell.strip() for cell in line[1:-1].split("│")] for line in lines]
    return {name: values for name, *values in cells}


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    devices, slots = tmp_path / "devices.csv", tmp_path / "slots.csv"
    devices.write_text("client_id,ms_per_sample,down_kbps,up_kbps\nA,10,1000,900\nB,50,500,400\nC,30,2000,1900\n")
    slots.write_text("client_id,start,end,period\nA,0,20,1000\nB,0,18,500\nC,0,7,300\n")
    return str(devices), str(slots)


def test_info_shows_the_built_in_population_beside_the_published(wide: None) -> None:
    shown = run("info").stdout
    assert "Devices: built-in, 107,749 rows" in shown
    table = rows(shown)
    assert table["ms per sample, p25"] == ["24", "24", "20.87 to 27.6"]
    assert table["online seconds, mean"][0] == "79,688"
    assert table["top 100, gap seconds, p75"][2] == "not matched"


def test_the_table_in_the_docs_is_the_one_that_info_prints() -> None:
    shown = rows(run("info").stdout)
    page = (Path(__file__).parents[2] / "docs" / "traces.md").read_text()
    documented = rows(page[page.index("| | published |") :].replace("|", "│"))
    assert len(documented) > 50
    for name, values in shown.items():
        if name:
            published, here, claim = documented[name]
            assert [published, claim] == [values[0], values[2]]
            assert float(here.replace(",", "")) == pytest.approx(float(values[1].replace(",", "")), rel=0.02, abs=0.01)


def test_info_of_files_claims_nothing(files: tuple[str, str]) -> None:
    shown = run("info", "--devices", files[0], "--availability", files[1]).stdout
    table = rows(shown)
    assert "3 rows" in shown
    assert table["ms per sample, mean"] == ["78.02", "30"]
    assert table["online seconds, mean"] == ["79,688", "15"]
    assert "not matched" not in shown


def test_plot_is_one_page_that_fetches_nothing(files: tuple[str, str], tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    assert run("plot", "--devices", files[0], "--availability", files[1], "--out", str(out)).exit_code == 0
    page = out.read_text()
    assert "<script src" not in page
    assert "plotly.js" in page[:100_000]
    for title in ("Figure 4a", "Figure 4b", "Figure 5a", "Figure 5b"):
        assert title in page


def test_a_sample_is_what_a_job_with_this_seed_has(tmp_path: Path) -> None:
    result = run("sample", "--clients", "40", "--out", str(tmp_path), "--seed", "3")
    assert "assign: in_order" in result.stdout
    clients, time = np.arange(40), 50_000_000_000
    drawn = build_population(40, DevicesConf(), AvailabilityConf(), 3)
    read = build_population(
        40,
        DevicesConf(source="csv", file=tmp_path / "devices.csv", assign="in_order"),
        AvailabilityConf(source="csv", file=tmp_path / "availability.csv", assign="in_order"),
        seed=99,
    )
    for one, other in zip(drawn.speeds(clients), read.speeds(clients), strict=True):
        assert one.tolist() == other.tolist()
    assert drawn.until(time, clients).tolist() == read.until(time, clients).tolist()
    assert drawn.online(time).any()


def test_a_sample_of_files_has_their_rows(files: tuple[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("sample", "--clients", "3", "--out", str(out), "--devices", files[0], "--availability", files[1])
    assert sorted(load_client_devices(out / "devices.csv").ms_per_sample) == [10, 30, 50]
    assert sorted(load_client_availability(out / "availability.csv").periods // 1_000_000) == [300, 500, 1000]


def test_help_has_examples() -> None:
    for command in ("info", "plot", "sample"):
        assert f"fedscale traces {command}" in run(command, "--help").stdout


def test_the_command_starts_without_heavy_libraries() -> None:
    code = "import sys, fedscale.cli.traces; print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"torch", "plotly", "pyarrow", "numpy"} & set(shown.split())
