"""Where devices and slots come from: the tables of names that a job's ``source`` is looked up in."""

from __future__ import annotations

from pathlib import Path

from fedscale import limits
from fedscale.errors import JobError
from fedscale.tables import Table
from fedscale.traces import csvfiles, published, readers
from fedscale.traces.availability import Availability
from fedscale.traces.builtin import builtin_availability, builtin_devices
from fedscale.traces.devices import Devices, alike


def _builtin_devices(file: Path | None, clients: int, seed: int) -> Devices:
    _no_file("devices", "builtin", file)
    return builtin_devices(min(clients, limits.BUILTIN_ROWS), seed)


def _csv_devices(file: Path | None) -> Devices:
    return csvfiles.read_devices(_file("devices", "csv", file, "devices.csv"))


def _fedscale_devices(file: Path | None) -> Devices:
    return readers.published_devices(_file("devices", "fedscale", file, "client_device_capacity"))


def _no_devices(file: Path | None) -> Devices:
    """Switch device traces off: all devices alike, with the published means."""
    _no_file("devices", "none", file)
    return alike(1, published.MEAN_MS_PER_SAMPLE, published.MEAN_KBPS)


def _builtin_slots(file: Path | None, clients: int, seed: int) -> Availability:
    _no_file("availability", "builtin", file)
    return builtin_availability(min(clients, limits.BUILTIN_ROWS), seed)


def _csv_slots(file: Path | None) -> Availability:
    return csvfiles.read_availability(_file("availability", "csv", file, "availability.csv"))


def _fedscale_slots(file: Path | None) -> Availability:
    return readers.published_availability(_file("availability", "fedscale", file, "client_behave_trace"))


def _no_slots(file: Path | None) -> None:
    """Switch availability off: everybody is always online."""
    _no_file("availability", "none", file)


def _file(section: str, source: str, file: Path | None, example: str) -> Path:
    if file is None:
        raise JobError(f"{section}: source {source!r} needs a file; give one, e.g. {section}.file={example}")
    return file


def _no_file(section: str, source: str, file: Path | None) -> None:
    if file is not None:
        raise JobError(
            f"{section}: source {source!r} takes no file, but {section}.file is {str(file)!r}; "
            f"to read it, give {section}.source=csv or {section}.source=fedscale"
        )


DEVICE_SOURCES: Table[Devices] = Table(
    "devices source",
    {"builtin": _builtin_devices, "csv": _csv_devices, "fedscale": _fedscale_devices, "none": _no_devices},
)
"""``builtin``: calibrated generator; ``csv``: a table; ``fedscale``: the published file; ``none``: all alike."""

AVAILABILITY_SOURCES: Table[Availability | None] = Table(
    "availability source",
    {"builtin": _builtin_slots, "csv": _csv_slots, "fedscale": _fedscale_slots, "none": _no_slots},
)
"""Likewise for slots; ``none``: always online."""
