"""``fedscale data``: see, get and import datasets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fedscale.data.card import Card
    from fedscale.data.federated import FederatedDataset

app = typer.Typer(no_args_is_help=True, help="See, get and import federated datasets.")

Name = Annotated[str, typer.Argument(help="A dataset of the catalogue, or the directory of a store.")]
Importable = Annotated[
    str, typer.Argument(help="A dataset of the catalogue that is made from files: qmnist, shakespeare.")
]
Settings = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An option of the dataset.")]
Seed = Annotated[int, typer.Option(help="Seed of a generated dataset.")]
Raw = Annotated[Path, typer.Option("--from", help="Directory with the files as their owner distributes them.")]


@app.command("list", epilog="Example: fedscale data list")
def list_datasets() -> None:
    """Show the catalogue: what each dataset is, and whether it is in the cache."""
    from rich import box
    from rich.console import Console
    from rich.table import Column, Table

    from fedscale.data.catalogue import DATASETS, store_path
    from fedscale.data.store import is_store

    whole = [Column(heading, no_wrap=True) for heading in ("name", "task", "default model", "in cache")]
    table = Table(*whole, "title", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in DATASETS.names():
        entry = DATASETS.build(name)
        card, present = entry.card, is_store(store_path(entry))
        table.add_row(name, card.task, card.model.name, "yes" if present else "no", card.title)
    Console().print(table)


@app.command(epilog="Examples: fedscale data info digits · fedscale data info synthetic --set clients=1000")
def info(name: Name, settings: Settings = None, seed: Seed = 1) -> None:
    """Show a dataset's card and, when it is in the cache, its figures."""
    from fedscale.data.catalogue import DATASETS, load_dataset, store_path
    from fedscale.data.store import is_store

    options = _options(settings)
    if name in DATASETS.names():
        entry = DATASETS.build(name, options, seed=seed)
        if not is_store(store_path(entry)):
            _print_rows(_card_rows(entry.card))
            typer.echo(f"Not in the cache yet: fedscale data get {name}")
            return
    dataset = load_dataset(name, seed=seed, **options)
    _print_rows(_card_rows(dataset.card) | _figure_rows(dataset))


@app.command(epilog="Examples: fedscale data get shakespeare · fedscale data get synthetic --set clients=1000000")
def get(name: Name, settings: Settings = None, seed: Seed = 1) -> None:
    """Get a dataset into the cache and say where it is; what is there already is not fetched again."""
    _get(name, seed, _options(settings))


@app.command("import", epilog="Example: fedscale data import qmnist --from ~/Downloads/qmnist")
def import_files(name: Importable, raw: Raw) -> None:
    """Import a dataset from files that you fetched yourself."""
    from fedscale.data.catalogue import DATASETS, store_path
    from fedscale.data.store import is_store
    from fedscale.errors import DataError

    path = store_path(DATASETS.build(name, {"raw": raw}))
    if is_store(path):
        raise DataError(f"{name} is in the cache already: remove {path} to import it anew")
    _get(name, 1, {"raw": raw})


def _get(name: str, seed: int, options: dict[str, Any]) -> None:
    from rich.console import Console

    from fedscale.data.catalogue import load_dataset

    with Console(stderr=True).status(f"getting {name} ..."):
        dataset = load_dataset(name, seed=seed, **options)
    typer.echo(f"{name}: {len(dataset):,} clients, {int(dataset.counts.sum()):,} samples in {dataset.path}")


def _options(settings: list[str] | None) -> dict[str, Any]:
    import yaml

    from fedscale.errors import JobError

    options = {}
    for setting in settings or ():
        key, separator, text = setting.partition("=")
        if not separator or not key:
            raise JobError(f"--set {setting!r}: write key=value, e.g. --set clients=1000")
        try:
            options[key] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise JobError(f"--set {setting!r}: the value is not valid YAML") from None
    return options


def _card_rows(card: Card) -> dict[str, str]:
    return {
        "name": card.name,
        "title": card.title,
        "description": card.description,
        "task": f"{card.task}, {card.classes} classes, measured by {card.metric}",
        "default model": card.model.name,
        "a client is": card.client_is,
        "licence": card.licence,
        "source": card.source,
        "cite": card.citation,
        "verified": card.verified,
    }


def _figure_rows(dataset: FederatedDataset) -> dict[str, str]:
    from fedscale.data.statistics import first_sample, size_quantiles
    from fedscale.data.store import client_names

    sizes = " · ".join(f"{name} {size:,}" for name, size in size_quantiles(dataset.counts).items())
    rows = {
        "clients": f"{len(dataset):,}",
        "samples": f"{int(dataset.counts.sum()):,}",
        "per client": sizes,
        "fingerprint": dataset.fingerprint,
        "path": str(dataset.path),
    }
    if names := client_names(dataset):
        rows["first clients"] = ", ".join(names[:3])
    return rows | {f"first {column}": text for column, text in first_sample(dataset).items()}


def _print_rows(rows: dict[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for key, value in rows.items():
        table.add_row(Text(key, style="bold"), Text(value))
    Console().print(table)
