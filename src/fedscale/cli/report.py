"""``fedscale report`` and ``fedscale check``: what came of runs, and whether their logs add up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Runs = Annotated[list[Path], typer.Argument(metavar="DIR...", help="Run directories (each with its log.jsonl).")]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="HTML file to write; else DIR/report.html, for several runs comparison.html."),
]
Events = Annotated[
    Path | None, typer.Option(help="Write TensorBoard events into this directory too (one folder per run if several).")
]


def report(dirs: Runs, out: Out = None, tensorboard: Events = None) -> None:
    """Write one HTML page about a run, or about several side by side; it opens offline.

    Examples: fedscale report runs/digits · fedscale report runs/fedavg runs/fedprox -o compared.html ·
    fedscale report runs/digits --tensorboard events
    """
    from fedscale.report.page import write_report

    target = out or (dirs[0] / "report.html" if len(dirs) == 1 else Path("comparison.html"))
    write_report(dirs, target)
    typer.echo(f"wrote {target}")
    if tensorboard is not None:
        _write_events(dirs, tensorboard)


def check(dirs: Runs) -> None:
    """Check that the logs of runs are whole and that their arithmetic adds up; exit with 1 if not.

    Examples: fedscale check runs/digits · fedscale check runs/*
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from fedscale.report.check import check_log

    results = {directory: check_log(directory / "log.jsonl") for directory in dirs}
    table = Table("run", "lines", "tasks", "state", "findings")
    for directory, result in results.items():
        state = "finished" if result.finished else "unfinished"
        table.add_row(
            escape(str(directory)), f"{result.lines:,}", f"{result.tasks:,}", state, str(len(result.findings))
        )
    Console().print(table)
    for directory, result in results.items():
        for finding in result.findings:
            typer.echo(f"{directory / 'log.jsonl'} {finding}")
    if not all(result.ok for result in results.values()):
        raise typer.Exit(1)


def _write_events(dirs: list[Path], out: Path) -> None:
    from fedscale.report.tensorboard import write_tensorboard

    for number, directory in enumerate(dirs, start=1):
        target = out if len(dirs) == 1 else out / f"{number}-{directory.resolve().name}"
        write_tensorboard(directory / "log.jsonl", target)
        typer.echo(f"wrote TensorBoard events to {target}")
