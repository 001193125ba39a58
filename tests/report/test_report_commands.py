from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fedscale.cli import report as commands

app = typer.Typer()
app.command()(commands.report)
app.command()(commands.check)


def call(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    return result.exit_code, result.output


def test_check_passes_and_fails(three_clients: Path) -> None:
    code, output = call("check", three_clients)
    assert code == 0
    assert "finished" in output
    log = three_clients / "log.jsonl"
    log.write_text(log.read_text().replace('"compute":5.0', '"compute":6.0', 1))
    code, output = call("check", three_clients)
    assert code == 1
    assert "log.jsonl line 5: altered, or a line before it is missing (chain is broken)" in output
    assert "log.jsonl line 5: download + compute + upload is 8.0, but end − start is 7.0" in output


def test_report_is_written_into_the_run_by_default(three_clients: Path) -> None:
    assert call("report", three_clients)[0] == 0
    assert (three_clients / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_several_runs_go_into_a_comparison(
    three_clients: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("report", three_clients, three_clients) == (0, "wrote comparison.html\n")
    assert (tmp_path / "comparison.html").exists()


def test_tensorboard_beside_the_page(three_clients: Path, tmp_path: Path) -> None:
    out, events = tmp_path / "page.html", tmp_path / "events"
    code, _ = call("report", three_clients, "--out", out, "--tensorboard", events)
    assert (code, out.exists()) == (0, True)
    assert [path.name.startswith("events.out.tfevents") for path in events.iterdir()] == [True]


def test_help_has_examples() -> None:
    for command in ("report", "check"):
        code, output = call(command, "--help")
        assert (code, "Examples" in output) == (0, True)


def test_commands_load_no_heavy_library() -> None:
    heavy = ["torch", "plotly", "pandas", "numpy", "pyarrow"]
    script = f"import sys, fedscale.cli.report; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
