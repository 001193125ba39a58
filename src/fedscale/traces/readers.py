"""Reading tables of devices and slots: FedScale's two published files, and CSV.

The published files map client ids to ``{'computation', 'communication'}`` (milliseconds per sample, kbit/s) and to
``{'active', 'inactive', 'finish_time', ...}`` (starts and ends of slots and their period, in seconds). They are read
as pickles, without running them, or as the same structure in JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from fedscale import limits
from fedscale.errors import JobError, TraceError
from fedscale.tables import Table
from fedscale.traces import csvfiles
from fedscale.traces.arrays import FloatArray, Where, check_slots, micros, quote
from fedscale.traces.availability import Availability
from fedscale.traces.devices import Devices, check_devices
from fedscale.traces.unpickle import load_plain

T = TypeVar("T")


def load_client_devices(path: str | Path) -> Devices:
    """Read devices from ``.csv``, FedScale's published pickle (``.pkl``, ``.pickle``, no suffix) or ``.json``.

    Raises:
        TraceError: the file cannot be read or holds an impossible value; names file, row, column and value.
    """
    return _for_suffix(DEVICE_READERS, Path(path))(Path(path))


def load_client_availability(path: str | Path) -> Availability:
    """Read slots from ``.csv``, FedScale's published pickle (``.pkl``, ``.pickle``, no suffix) or ``.json``.

    Raises:
        TraceError: the file cannot be read or holds an impossible value; names file, row, column and value.
    """
    return _for_suffix(AVAILABILITY_READERS, Path(path))(Path(path))


def source_of(path: Path | None) -> str:
    """Return the source, as a job names it, that reads ``path``; the built-in one where there is no file."""
    if path is None:
        return "builtin"
    return "csv" if _for_suffix(DEVICE_READERS, path) is csvfiles.read_devices else "fedscale"


def published_devices(path: Path) -> Devices:
    """Read devices in FedScale's published structure; its one bandwidth holds for both directions."""
    entries = _entries(path)

    def where(row: int) -> str:
        return f"{path} client {names[row]}"

    names = tuple(map(str, entries))
    ms_per_sample = _numbers((entry.get("computation") for entry in entries.values()), "computation", where)
    kbps = _numbers((entry.get("communication") for entry in entries.values()), "communication", where)
    check_devices(ms_per_sample, kbps, kbps, where)
    return Devices(ms_per_sample, kbps, kbps, names)


def published_availability(path: Path) -> Availability:
    """Read slots in FedScale's published structure.

    Slots of no length are dropped, slots that touch or overlap become one, and what lies beyond ``finish_time`` is
    cut off: the trace begins anew there, so the published runtime never gets to it.
    """
    entries = _entries(path)

    def client(row: int) -> str:
        return f"{path} client {names[row]}"

    def slot(row: int) -> str:
        return f"{client(users[row])} slot {row - np.searchsorted(users, users[row])}"

    names = tuple(map(str, entries))
    counts = _slot_counts(list(entries.values()), client)
    users = np.repeat(np.arange(len(names)), counts)
    periods = _numbers((entry.get("finish_time") for entry in entries.values()), "finish_time", client)
    check_slots(periods, periods, periods, client)
    period = periods[users]
    start = np.minimum(_numbers(chain.from_iterable(e["active"] for e in entries.values()), "active", slot), period)
    end = np.minimum(_numbers(chain.from_iterable(e["inactive"] for e in entries.values()), "inactive", slot), period)
    check_slots(start, end, period, slot)
    return Availability.from_slots(users, micros(start), micros(end), micros(periods), names)


def _slot_counts(entries: list[dict[str, Any]], where: Where) -> list[int]:
    counts = []
    for row, entry in enumerate(entries):
        starts, ends = entry.get("active"), entry.get("inactive")
        if not isinstance(starts, list) or not isinstance(ends, list):
            raise TraceError(f"{where(row)}: active and inactive must be lists of seconds")
        if len(starts) != len(ends):
            raise TraceError(
                f"{where(row)}: active has {len(starts)} entries, inactive {len(ends)}; one of each a slot"
            )
        counts.append(len(starts))
    return counts


def _numbers(values: Iterable[object], column: str, where: Where) -> FloatArray:
    """Return values as float64, refusing all that are not finite numbers."""
    found = list(values)
    for row in () if {*map(type, found)} <= {int, float} else range(len(found)):
        if type(found[row]) not in (int, float):  # a bool is no number here
            raise TraceError(f"{where(row)}: {column} is {quote(found[row])}; it must be a number")
    try:
        numbers = np.array(found, np.float64)
    except OverflowError:
        numbers = np.array([float("inf") if abs(v) > 1e300 else v for v in found], np.float64)  # type: ignore[arg-type]
    if not np.isfinite(numbers).all():
        row = int(np.argmin(np.isfinite(numbers)))
        raise TraceError(f"{where(row)}: {column} is {quote(found[row])}; it must be a finite number")
    return numbers


def _entries(path: Path) -> dict[object, dict[str, Any]]:
    try:
        content = _content(path)
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror or error}") from None
    entries = _for_suffix(STRUCTURES, path)(content, path)
    if not isinstance(entries, dict) or not 1 <= len(entries) <= limits.TRACE_ROWS:
        raise TraceError(f"{path}: must map 1 to {limits.TRACE_ROWS} client ids to their entries")
    for client, entry in entries.items():
        if not isinstance(entry, dict):
            raise TraceError(f"{path} client {client}: {quote(entry)} is not an entry with named values")
    return entries


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(limits.TRACE_WHOLE_BYTES + 1)
    if len(content) > limits.TRACE_WHOLE_BYTES:
        raise TraceError(f"{path}: more than the {limits.TRACE_WHOLE_BYTES} bytes that are read; convert it to CSV")
    return content


def _load_json(content: bytes, path: Path) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise TraceError(f"{path}: not valid JSON: {error}") from None


def _for_suffix(table: Table[T], path: Path) -> Callable[..., T]:
    try:
        return table.get(path.suffix.lower())
    except JobError as error:
        raise TraceError(f"{path}: {error}") from None


STRUCTURES: Final[Table[Any]] = Table(
    "file type", {"": load_plain, ".pkl": load_plain, ".pickle": load_plain, ".json": _load_json}
)
"""Interpreters of a file in the published structure, by suffix."""

DEVICE_READERS: Final[Table[Devices]] = Table(
    "file type", {".csv": csvfiles.read_devices, **dict.fromkeys(STRUCTURES.names(), published_devices)}
)
"""Readers of devices, by suffix."""

AVAILABILITY_READERS: Final[Table[Availability]] = Table(
    "file type", {".csv": csvfiles.read_availability, **dict.fromkeys(STRUCTURES.names(), published_availability)}
)
"""Readers of slots, by suffix."""
