"""``fedscale tune``: the engines, measured on a job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedscale.cli.run import read_job

if TYPE_CHECKING:
    from fedscale.simulation.tune import Findings, Way


def tune(
    job: Annotated[str, typer.Argument(help="A YAML file, or the name of a recipe.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="section.key=value, as often as you like.")
    ] = None,
    plugin: Annotated[list[Path] | None, typer.Option(help="Python file with your own classes.")] = None,
    clients: Annotated[int, typer.Option(help="Training clients to measure on, at most.", min=4)] = 100,
    seconds: Annotated[float, typer.Option(help="Real time to measure for, about.", min=0.1)] = 10.0,
    workers: Annotated[
        int | None, typer.Option(help="Processes to compare with one; by default one per core.", min=1)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Measure which engine trains a job's clients more quickly on this machine; nothing is written.

    The plain engine trains one client after another, the vectorised one blocks of clients at once. Both take turns
    on the same clients of the job, with its own model and settings, since machines are noisy. `auto` goes by the
    model alone, so that a job means the same everywhere; where the other engine is quicker for you, name it.

    Examples:

        fedscale tune digits

        fedscale tune my_job.yaml --plugin my_client.py --seconds 30

        fedscale tune synthetic --set model.name=mlp --json
    """
    from fedscale.simulation.tune import tune

    findings = tune(read_job(job, settings or [], plugin or []), seconds, clients, workers)
    if as_json:
        typer.echo(json.dumps(_values(findings), indent=2))
    else:
        _print(findings)


def _values(findings: Findings) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(findings), "faster": findings.faster}


def _print(findings: Findings) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Column, Table

    figures = [Column(name, justify="right") for name in ("clients/s", "ms/client", "times plain")]
    table = Table("way of training", *figures, box=box.SIMPLE_HEAD)
    for row in findings.rows:
        table.add_row(_name(row.way), f"{row.clients_per_second:,.1f}", f"{row.ms_per_client:,.2f}", f"{row.ratio:.2f}")
    turns = f"{findings.clients} clients, {findings.turns} turns, {findings.parameters:,} trainable parameters"
    console = Console(soft_wrap=True, highlight=False)
    console.print(turns, table, _verdict(findings), sep="\n", markup=False)


def _name(way: Way) -> str:
    if way.processes > 1:
        return f"{way.engine}, {way.processes} processes"
    return f"{way.engine}, {way.block} clients at once" if way.block else way.engine


def _verdict(findings: Findings) -> str:
    """Say what `auto` takes and why, what was quicker, and how to choose."""
    from fedscale.simulation.tune import VECTORISED

    auto = findings.auto
    lines = [f"`engine: auto` takes {auto.name}: {auto.why}."]
    if findings.refused is not None:
        return f"{lines[0]}\nThe vectorised engine cannot train this job: {findings.refused}."
    ratio = findings.ratio(VECTORISED)
    lines.append(f"Here {findings.faster} was quicker, {max(ratio, 1 / ratio):.2f} times, in one process.")
    if findings.faster != auto.name:
        lines.append(f"To have it: --set engine={findings.faster}")
    lines.append("How many clients are trained at once is the engine's own choice, since last digits depend on it.")
    return "\n".join(lines)
