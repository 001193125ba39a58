"""The command line: one thin file per group of commands, gathered here."""

from __future__ import annotations

import sys

import typer

from fedscale.cli import compare, convert, data, export, report, run, statistics, traces, tune
from fedscale.errors import FedScaleError

app = typer.Typer(
    name="fedscale",
    help="Benchmark and run federated learning: real training, realistic clients, a virtual clock.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("resume")(run.resume)
app.command("tune")(tune.tune)
app.command("compare")(compare.compare)
app.command("check")(report.check)
app.command("report")(report.report)
data.app.command(
    "stats", epilog="Examples: fedscale data stats digits · fedscale data stats digits shakespeare --out statistics"
)(statistics.stats)
data.app.command(
    "export",
    epilog="Examples: fedscale data export digits digits-parquet · fedscale data export digits digits-leaf --to leaf "
    "--set partition=iid",
)(export.export)
app.command("convert-job")(convert.convert_job)
app.command("convert-map")(convert.convert_map)
app.command("testing-perf")(report.testing_perf)
app.add_typer(data.app, name="data")
app.add_typer(traces.app, name="traces")


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and leave.")) -> None:
    if version:
        from fedscale import __version__

        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; errors raised on purpose are printed without a traceback, with exit status 1."""
    try:
        app()
    except FedScaleError as error:
        typer.secho(f"error: {error}", fg=typer.colors.RED, err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
