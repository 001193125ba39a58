"""``fedscale report`` and ``fedscale check``: what came of runs, and whether their logs add up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fedscale.report.testing_perf import Perf

Runs = Annotated[list[Path], typer.Argument(metavar="DIR...", help="Run directories (each with its log.jsonl).")]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="HTML file to write; else DIR/report.html, for several runs comparison.html."),
]
Events = Annotated[
    Path | None, typer.Option(help="Write TensorBoard events into this directory too (one folder per run if several).")
]
PerfFile = Annotated[
    Path | None,
    typer.Option("--testing-perf", metavar="FILE", help="Write the tests of one run as the original FedScale did."),
]


def report(dirs: Runs, out: Out = None, tensorboard: Events = None, testing_perf: PerfFile = None) -> None:
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
    if testing_perf is not None:
        _write_perf(dirs, testing_perf)


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


def _write_perf(dirs: list[Path], out: Path) -> None:
    from fedscale.report.metrics import Metrics
    from fedscale.report.testing_perf import perf_of, write_testing_perf

    if len(dirs) > 1:
        raise typer.BadParameter("a testing_perf is of one run", param_hint="--testing-perf")
    write_testing_perf(perf_of(Metrics.from_log(dirs[0] / "log.jsonl")), out)
    typer.echo(f"wrote {out}")


def testing_perf(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files testing_perf of the original.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="HTML page to draw them on; it opens offline.")
    ] = None,
) -> None:
    """Show what the original FedScale measured: a table of each file, or one page of all.

    Examples: fedscale testing-perf logs/femnist/0101_120000/aggregator/testing_perf ·
    fedscale testing-perf oort/testing_perf random/testing_perf --out old.html
    """
    from fedscale.report.testing_perf import read_testing_perf

    found = {str(path): read_testing_perf(path) for path in files}
    if out is None:
        for name, perf in found.items():
            _print_perf(name, perf)
        return
    from fedscale.files import write_text
    from fedscale.report.perf_plot import figure

    write_text(out, figure(found).to_html(include_plotlyjs=True, full_html=True))
    typer.echo(f"wrote {out}")


def _print_perf(name: str, perf: Perf) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from fedscale.units import human_seconds

    words = f"{name}: {perf.data_set}, {perf.model}, {perf.sample_mode}, {perf.gradient_policy or 'fed-avg'}"
    table = Table("round", "virtual time", "top-1 %", "top-5 %", "loss", title=Text(words), title_justify="left")
    for test in perf.perf:
        figures = [f"{value:.4g}" for value in (test.top_1, test.top_5, test.loss)]
        table.add_row(str(test.round), human_seconds(test.clock), *figures)
    Console().print(table)
