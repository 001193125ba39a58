"""``fedscale data export``: a dataset in files that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedscale.cli.sections import Section, SectionSeed, SectionSettings, opened, section

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A folder that does not exist yet.")]
To = Annotated[str, typer.Option("--to", metavar="FORMAT", help="parquet, or leaf (LEAF's JSON).")]


def export(
    name: Section, folder: Folder, to: To = "parquet", settings: SectionSettings = None, seed: SectionSeed = 1
) -> None:
    """Write a dataset, or what a job makes of it, as Parquet or as LEAF's JSON."""
    from fedscale.data.exports import EXPORTS
    from fedscale.data.exports import export as write

    EXPORTS.get(to)  # before anything is fetched
    dataset = opened(section(name, settings, seed), seed)
    write(dataset, folder, to)
    typer.echo(f"wrote {len(dataset):,} clients, {int(dataset.counts.sum()):,} samples to {folder}")
