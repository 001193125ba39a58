"""``fedscale convert-job`` and ``fedscale convert-map``: files of the original FedScale made into ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fedscale.job import Job
    from fedscale.legacy.oldjob import Note


def convert_job(
    old: Annotated[Path, typer.Argument(metavar="OLD.yml", help="A job of the original FedScale (with job_conf).")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write; else standard output.")] = None,
    home: Annotated[Path | None, typer.Option(help="What $FEDSCALE_HOME stands for in its paths.")] = None,
) -> None:
    """Make a job of one for the original FedScale, and say what became of every key.

    Example: fedscale convert-job benchmark/configs/femnist/conf.yml --out femnist.yaml
    """
    import yaml

    from fedscale.data.catalogue import DATASETS
    from fedscale.files import write_text
    from fedscale.job import Job
    from fedscale.learn.models import MODELS
    from fedscale.legacy.oldjob import read_old_job
    from fedscale.legacy.translate import translate

    read = read_old_job(old, home)
    values = translate(read, DATASETS.names(), MODELS.names())
    text = f"# Made of {old.name} by `fedscale convert-job`.\n{yaml.safe_dump(values, sort_keys=False)}"
    _check(Job.parse(yaml.safe_load(text), str(old)))
    _report(old, read.notes)
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_text(out, text)
        typer.echo(f"wrote {out}", err=True)


def _check(job: Job) -> None:
    """See to it that what the job names takes the options that it gives."""
    from fedscale.learn.objectives import OBJECTIVES
    from fedscale.learn.server import SERVER_OPTIMIZERS
    from fedscale.select import SELECTORS

    OBJECTIVES.build(job.local.objective.name, job.local.objective.options)
    SERVER_OPTIMIZERS.build(job.server.name, job.server.options)
    SELECTORS.build(job.selector.name, job.selector.options)


def _report(old: Path, notes: list[Note]) -> None:
    from fedscale.legacy.oldjob import OUTCOMES

    by_outcome = {outcome: [note for note in notes if note.outcome == outcome] for outcome in OUTCOMES}
    counts = [f"{len(found)} {outcome}" for outcome, found in by_outcome.items() if found]
    typer.echo(f"{old}: {', '.join(counts)}", err=True)
    for found in by_outcome.values():
        for note in found:
            typer.echo(f"  {note}", err=True)


def convert_map(
    old: Annotated[Path, typer.Argument(metavar="FILE", help="The pickle clientDataMap, or imageToAuthor.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where client_data_mapping/ goes.")],
) -> None:
    """Make the CSV file of which client has which samples from the pickle of early releases; say how sizes are spread.

    With the folder beside the media, `fedscale data import` reads both. Images of objects (<image>__<class>.jpg) that
    are in train/ and test/ of the folder are listed with their classes. Example:
    fedscale convert-map speech_commands/clientDataMap --out speech_commands
    """
    from fedscale.data.census import size_quantiles
    from fedscale.legacy.clientmap import read_client_map, write_image_lists, write_mapping

    found = read_client_map(old)
    lists = write_image_lists(found, out)
    paths = [f"{path}: {rows:,} objects, {others:,} of classes that classTags lacks" for path, rows, others in lists]
    paths = paths or [str(write_mapping(found, out))]
    sizes = " · ".join(f"{name} {size:,}" for name, size in size_quantiles(found.counts()).items())
    typer.echo(f"{len(found.counts()):,} clients, {len(found.names):,} samples; per client: {sizes}")
    for path in paths:
        typer.echo(f"wrote {path}")
