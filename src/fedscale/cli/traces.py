"""``fedscale traces``: see, draw and write devices and availability."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fedscale.traces.availability import Availability
    from fedscale.traces.compare import Fact
    from fedscale.traces.devices import Devices

app = typer.Typer(no_args_is_help=True, help="See, draw and write the traces of devices and availability.")

DevicesFile = Annotated[
    Path | None,
    typer.Option("--devices", metavar="FILE", help="CSV, or FedScale's published file; else the built-in devices."),
]
AvailabilityFile = Annotated[
    Path | None,
    typer.Option("--availability", metavar="FILE", help="CSV, or FedScale's published file; else the built-in users."),
]
Seed = Annotated[int, typer.Option(help="Seed of the built-in population.")]

PLOTTED = 20_000
"""Devices and users of the built-in population that are drawn."""


@app.command(epilog="Examples: fedscale traces info · fedscale traces info --availability slots.csv")
def info(devices: DevicesFile = None, availability: AvailabilityFile = None, seed: Seed = 1) -> None:
    """Print figures of devices and slots, beside those of FedScale's published traces."""
    from fedscale.traces import compare, published

    table, slots = _tables(devices, availability, published.USERS, seed)
    title = f"Devices: {devices or 'built-in'}, {len(table):,} rows"
    _print(title, compare.device_facts(table), claims=devices is None)
    title = f"Availability: {availability or 'built-in'}, {len(slots):,} users"
    _print(title, compare.availability_facts(slots), claims=availability is None)


@app.command(epilog="Examples: fedscale traces plot · fedscale traces plot --devices phones.csv --out phones.html")
def plot(
    devices: DevicesFile = None,
    availability: AvailabilityFile = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page to write; it opens offline.")] = Path(
        "traces.html"
    ),
    seed: Seed = 1,
) -> None:
    """Draw compute, bandwidth, online users over a week and slot lengths (Figures 4 and 5) as one HTML page."""
    from fedscale.files import write_text
    from fedscale.traces.plots import figure

    table, slots = _tables(devices, availability, PLOTTED, seed)
    title = f"Devices: {devices or 'built-in'} · availability: {availability or 'built-in'}"
    write_text(out, figure(table, slots, title).to_html(include_plotlyjs=True, full_html=True))
    typer.echo(f"Wrote {out}")


@app.command(epilog="Example: fedscale traces sample --clients 1000 --out traces")
def sample(
    clients: Annotated[int, typer.Option(min=1, help="Clients to write.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where devices.csv and availability.csv go.")],
    devices: DevicesFile = None,
    availability: AvailabilityFile = None,
    seed: Seed = 1,
) -> None:
    """Write devices and slots of some clients as two CSV files, which a job reads with source ``csv``.

    The clients are those that a job with this seed has, numbered from 0.
    """
    from fedscale.job import AvailabilityConf, DevicesConf
    from fedscale.traces import csvfiles, readers
    from fedscale.traces.population import build_population

    population = build_population(
        clients,
        DevicesConf(source=readers.source_of(devices), file=devices),
        AvailabilityConf(source=readers.source_of(availability), file=availability),
        seed,
    )
    csvfiles.write_devices(out / "devices.csv", population.devices.take(population.device_rows))
    if population.availability is not None:
        csvfiles.write_availability(out / "availability.csv", population.availability.take(population.slot_rows))
    typer.echo(f"Wrote {out / 'devices.csv'} and {out / 'availability.csv'}; in a job:")
    typer.echo(f"  devices: {{source: csv, file: {out / 'devices.csv'}, assign: in_order}}")
    typer.echo(f"  availability: {{source: csv, file: {out / 'availability.csv'}, assign: in_order}}")


def _tables(
    devices: Path | None, availability: Path | None, builtin_rows: int, seed: int
) -> tuple[Devices, Availability]:
    from fedscale.traces import readers
    from fedscale.traces.builtin import builtin_availability, builtin_devices

    return (
        readers.load_client_devices(devices) if devices else builtin_devices(builtin_rows, seed),
        readers.load_client_availability(availability) if availability else builtin_availability(builtin_rows, seed),
    )


def _print(title: str, facts: list[Fact], *, claims: bool) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    numbers = [Column(name, justify="right") for name in ("published", "here", *(["may be"] if claims else []))]
    table = Table(Column("", no_wrap=True), *numbers, title=title, title_justify="left")
    for fact in facts:
        allowed = "not matched" if fact.allowed is None else " to ".join(map(_number, fact.allowed))
        table.add_row(fact.name, _number(fact.published), _number(fact.here), *([allowed] if claims else []))
    Console().print(table)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"
