"""``fedscale data stats``: what clients of datasets are like, as tables, plots and files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedscale import limits
from fedscale.cli.sections import Sections, SectionSeed, SectionSettings, labels, opened, section

if TYPE_CHECKING:
    from fedscale.data.survey import Survey

Pairs = Annotated[int, typer.Option(min=1, help="Pairs of clients to compare; drawn at random if there are more.")]
Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Write plots (statistics.html) and figures (JSON, CSV) into this directory."),
]


def stats(
    names: Sections,
    settings: SectionSettings = None,
    pairs: Pairs = limits.SURVEY_PAIRS,
    seed: SectionSeed = 1,
    out: Out = None,
) -> None:
    """Show how clients differ: samples, labels, features, and the distance of their label distributions."""
    from fedscale.data.survey import survey

    sections = [section(name, settings, seed) for name in names]
    found = []
    for label, conf in zip(labels(sections), sections, strict=True):
        found.append(survey(opened(conf, seed), label, pairs=pairs, seed=seed))
        _print(found[-1])
    if out is not None:
        from fedscale.report.surveys import write_surveys

        for path in write_surveys(found, out):
            typer.echo(f"wrote {path}")


def _print(found: Survey) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Column, Table

    heads = ("min", "p5", "p25", "median", "p75", "p95", "max", "mean")
    title = f"{found.name}: {len(found.counts):,} clients, {int(found.counts.sum()):,} samples"
    numbers = [Column(head, justify="right", no_wrap=True) for head in heads]
    table = Table(
        Column("", no_wrap=True), *numbers, title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for quantity, figures in found.summary().items():
        table.add_row(quantity, *(_number(figures[head]) for head in heads))
    Console().print(table)
    if found.distance is not None and not found.all_pairs:
        figures = found.summary()["label distance (JS)"]
        typer.echo(
            f"Distances are of {len(found.distance):,} pairs drawn at random: standard error of the median "
            f"{figures['median_error']:.2g}, of the mean {figures['mean_error']:.2g}."
        )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 100 else f"{value:.3g}"
