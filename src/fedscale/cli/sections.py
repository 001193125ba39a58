"""Datasets as commands name them: by name, by the directory of a store, or as the ``data`` section of a job."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from fedscale.data.federated import FederatedDataset
    from fedscale.dataset import DataConf

NAME: Final = (
    "A dataset of the catalogue, the directory of a store, or a job's data section: '{name: digits, partition: iid}'."
)
Section = Annotated[str, typer.Argument(metavar="NAME", help=NAME)]
Sections = Annotated[list[str], typer.Argument(metavar="NAME...", help=NAME)]
SectionSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Anything of a job's data section: partition=iid, partition.alpha=0.1, min_samples=20, max_clients=100, "
        "or an option of the dataset.",
    ),
]
SectionSeed = Annotated[int, typer.Option(help="Seed of what is generated or drawn.")]


def section(name: str, settings: Sequence[str] | None, seed: int) -> DataConf:
    """Read the data section of a job from a command line.

    Raises:
        JobError: it is none.
    """
    from fedscale.job import Job
    from fedscale.jobfile import apply_setting, read_yaml

    values = read_yaml(name, f"data {name!r}") if name.lstrip().startswith("{") else {"name": name}
    for setting in settings or ():
        apply_setting(values, setting)
    return Job.parse({"data": values, "seed": seed}, "data").data


def opened(conf: DataConf, seed: int) -> FederatedDataset:
    """Open a dataset as a job would see it: with its samples dealt out, and the clients that take part."""
    from fedscale.data.catalogue import open_data
    from fedscale.data.split import taking_part

    return taking_part(open_data(conf, seed), conf, seed)


def labels(sections: Sequence[DataConf]) -> list[str]:
    """Return a label for each: its name, with the partition if it is not natural, and numbered where two are alike."""
    plain = [
        Path(conf.name).name + ("" if conf.partition.name == "natural" else f" ({conf.partition.name})")
        for conf in sections
    ]
    return [
        label if plain.count(label) == 1 else f"{label} #{plain[: place + 1].count(label)}"
        for place, label in enumerate(plain)
    ]
