"""``fedscale data``: see, get and import datasets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fedscale.data.card import Card
    from fedscale.data.entry import Entry
    from fedscale.data.federated import FederatedDataset

app = typer.Typer(no_args_is_help=True, help="See, get and import federated datasets.")

Name = Annotated[str, typer.Argument(help="A dataset of the catalogue, or the directory of a store.")]
Importable = Annotated[str, typer.Argument(help="A dataset of the catalogue that is made from files.")]
Settings = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An option of the dataset.")]
Page = Annotated[bool, typer.Option("--page", help="Print a page of Markdown with all cards instead.")]
Seed = Annotated[int, typer.Option(help="Seed of a generated dataset.")]
RawTo = Annotated[
    Path | None,
    typer.Option("--raw", metavar="DIR", help="Where raw files go, and stay; by default the cache, until imported."),
]
Keep = Annotated[bool, typer.Option("--keep-raw", help="Leave downloaded raw files in the cache.")]
Raw = Annotated[
    Path,
    typer.Option(
        "--from", help="Directory with the owner's files as distributed; or one such file, or an archive of them."
    ),
]
Clients = Annotated[int | None, typer.Option(help="Keep only so many clients, always the same ones.")]
Limit = Annotated[int | None, typer.Option(help="Stop after so many usable rows.")]
To = Annotated[Path | None, typer.Option(help="Write the store here, not into the cache.")]


@app.command("list", epilog="Examples: fedscale data list · fedscale data list --page > catalogue.md")
def list_datasets(page: Page = False) -> None:
    """Show the catalogue: what each dataset is, and whether it is in the cache."""
    if page:
        _print_page()
        return
    from rich import box
    from rich.console import Console
    from rich.table import Column, Table

    from fedscale.data.catalogue import DATASETS, store_path
    from fedscale.data.store import is_store

    whole = [Column(heading, no_wrap=True) for heading in ("name", "task", "in cache")]
    title = Column("title", no_wrap=True, overflow="ellipsis", ratio=1)
    table = Table(*whole, title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), expand=True)
    for name in DATASETS.names():
        entry = DATASETS.build(name)
        card, present = entry.card, is_store(store_path(entry))
        table.add_row(name, card.task, "yes" if present else "no", card.title)
    Console().print(table)


def _print_page() -> None:
    from fedscale.data.catalogue import DATASETS
    from fedscale.data.overview import page

    typer.echo(page([DATASETS.build(name).card for name in DATASETS.names()]), nl=False)


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


@app.command(
    epilog="Examples: fedscale data get shakespeare · fedscale data get qmnist --raw ~/Downloads/qmnist · "
    "fedscale data get synthetic --set clients=1000000"
)
def get(name: Name, settings: Settings = None, seed: Seed = 1, raw: RawTo = None, keep_raw: Keep = False) -> None:
    """Get a dataset into the cache and say where it is; what is there already is not fetched again.

    A download that was cut off goes on where it was. Where terms must be accepted by hand, it says what to fetch.
    """
    from fedscale.cli.fetching import raw_files
    from fedscale.data.catalogue import DATASETS, store_path
    from fedscale.data.store import is_store

    options = _options(settings)
    entry = DATASETS.build(name, options, seed=seed)
    if options.get("raw") or not (entry.card.files or entry.card.terms) or is_store(store_path(entry)):
        _get(name, seed, options)
        return
    with raw_files(entry.card, raw, keep=keep_raw) as directory:
        _get(name, seed, {**options, "raw": directory})


@app.command(
    "import",
    epilog="Examples: fedscale data import qmnist --from ~/Downloads/qmnist · "
    "fedscale data import taxi --from ~/Downloads/taxi --clients 100",
)
def import_files(
    name: Importable,
    raw: Raw,
    clients: Clients = None,
    limit: Limit = None,
    to: To = None,
    settings: Settings = None,
) -> None:
    """Import a dataset from files that you fetched yourself."""
    from fedscale.data.catalogue import DATASETS, store_path
    from fedscale.data.store import is_store
    from fedscale.errors import DataError

    given = {"clients": clients, "limit": limit}
    options = _options(settings) | {key: value for key, value in given.items() if value is not None}
    path = to or store_path(DATASETS.build(name, options))
    if is_store(path):
        raise DataError(f"{path}: {name} is there already: remove it to import it anew")
    _write(name, DATASETS.build(name, options | {"raw": raw}), path)
    typer.echo(f"use it in a job as  data: {_in_job(name, options) if to is None else path.absolute()}")


def _get(name: str, seed: int, options: dict[str, Any]) -> None:
    from fedscale.data.catalogue import DATASETS, store_path

    entry = DATASETS.build(name, options, seed=seed)
    _write(name, entry, store_path(entry))


def _write(name: str, entry: Entry, path: Path) -> None:
    """Make a store, if there is none yet, and say what is in it and what was left out."""
    from fedscale.cli.importing import progress, summary
    from fedscale.data.catalogue import obtain
    from fedscale.data.notes import Notes

    with progress(name) as told:
        notes = Notes(told)
        dataset = obtain(entry, path, notes)
    for line in summary(notes):
        typer.echo(line, err=True)
    typer.echo(f"{name}: {len(dataset):,} clients, {int(dataset.counts.sum()):,} samples in {dataset.path}")


def _in_job(name: str, options: dict[str, Any]) -> str:
    beside = "".join(f", {key}: {value}" for key, value in options.items())
    return f"{{name: {name}{beside}}}" if beside else name


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
    from fedscale.data.overview import VERIFIED, file_line

    classes = f", {card.classes:,} classes" if card.classes else ""
    paper = f"{card.paper.clients:,} clients, {card.paper.samples:,} samples" if card.paper else ""
    rows = {
        "name": card.name,
        "title": card.title,
        "description": card.description,
        "task": f"{card.task}{classes}, measured by {card.metric}",
        "default model": card.model.name,
        "a client is": card.client_is,
        "a sample": card.sample,
        "preprocessing": card.preprocessing,
        "split": card.split_rule,
        "in the paper": paper,
        "licence": card.licence,
        "terms": card.terms or "",
        "source": card.source,
        "raw files": "\n".join(map(file_line, card.files)),
        "raw layout": card.layout,
        "cite": card.citation,
        "verified": f"{VERIFIED[card.verification]}: {card.verified}",
    }
    return {key: value for key, value in rows.items() if value}


def _spread(occurrences: Sequence[int], card: Card) -> str:
    """Say how many of the labels or tokens occur, and which one most often."""
    total, most = max(1, sum(occurrences)), max(range(len(occurrences)), key=occurrences.__getitem__)
    names = card.label_names or card.vocabulary
    name = f"{most} ({names[most]!r})" if names else str(most)
    present = sum(count > 0 for count in occurrences)
    return f"{present:,} of {len(occurrences):,} occur; most often {name}, {occurrences[most] / total:.1%}"


def _figure_rows(dataset: FederatedDataset) -> dict[str, str]:
    from fedscale.data.census import size_quantiles
    from fedscale.data.statistics import first_sample
    from fedscale.data.store import client_names, told_of

    sizes = " · ".join(f"{name} {size:,}" for name, size in size_quantiles(dataset.counts).items())
    rows = {
        "clients": f"{len(dataset):,}",
        "samples": f"{int(dataset.counts.sum()):,}",
        "per client": sizes,
        "fingerprint": dataset.fingerprint,
        "path": str(dataset.path),
    }
    census, notes = told_of(dataset)
    if "occurrences" in census:
        rows[f"in {census['column']}"] = _spread(census["occurrences"], dataset.card)
    if notes.get("read"):
        left = " · ".join(f"{count:,} {reason}" for reason, count in notes["skipped"].items())
        rows["imported from"] = f"{notes['read']:,} rows; left out: {left or 'none'}"
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
