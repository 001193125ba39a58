"""Device and availability tables as CSV files.

Devices: ``client_id,ms_per_sample,down_kbps,up_kbps``, or ``client_id,computation_ms_per_sample,communication_kbps``
with one bandwidth for both directions. Availability: ``client_id,start,end,period``, one row per slot, in seconds; a
client that is never online has one row with ``start`` and ``end`` left empty. Columns come in any order.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from fedscale import files, limits
from fedscale.errors import TraceError, nearest
from fedscale.traces.arrays import FloatArray, IntArray, check_slots, micros, quote, refuse_first
from fedscale.traces.availability import Availability
from fedscale.traces.devices import Devices, check_devices
from fedscale.units import MICROS

DEVICE_COLUMNS: Final = ("client_id", "ms_per_sample", "down_kbps", "up_kbps")
ONE_LINK_COLUMNS: Final = ("client_id", "computation_ms_per_sample", "communication_kbps")
SLOT_COLUMNS: Final = ("client_id", "start", "end", "period")


def read_devices(path: Path) -> Devices:
    """Read a table of devices.

    Raises:
        TraceError: naming file, row (as a spreadsheet counts them), column and value.
    """
    sheet = _read(path, (DEVICE_COLUMNS, ONE_LINK_COLUMNS))
    clients, names = sheet.clients()
    repeated = ~_first_of_each(clients)
    refuse_first(repeated, sheet.texts("client_id"), "client_id", sheet.where, "the only row of its client")
    ms_per_sample, down, *up = (sheet.numbers(column) for column in sheet.layout[1:])
    up_kbps = up[0] if up else down
    check_devices(ms_per_sample, down, up_kbps, sheet.where)
    return Devices(ms_per_sample, down, up_kbps, names)


def read_availability(path: Path) -> Availability:
    """Read a table of slots; users are numbered in the order in which they first appear.

    Raises:
        TraceError: naming file, row (as a spreadsheet counts them), column and value.
    """
    sheet = _read(path, (SLOT_COLUMNS,))
    users, names = sheet.clients()
    no_slot = (sheet.texts("start") == "") & (sheet.texts("end") == "")
    start, end = (sheet.numbers(column, "0", no_slot) for column in ("start", "end"))
    period = sheet.numbers("period")
    check_slots(start, end, period, sheet.where)
    refuse_first(~no_slot & (start == end), end, "end", sheet.where, "later than start")
    periods = period[_first_of_each(users)]
    refuse_first(period != periods[users], period, "period", sheet.where, "the same in all rows of a client")
    starts, ends = micros(start), micros(end)
    _refuse_overlaps(users, starts, ends, sheet)
    return Availability.from_slots(users, starts, ends, micros(periods), names)


def write_devices(path: Path, devices: Devices) -> None:
    """Write a table that ``read_devices`` reads back; clients without names are numbered from 0."""
    names = devices.names or range(len(devices))
    _write(path, DEVICE_COLUMNS, [pa.array(names), devices.ms_per_sample, devices.down_kbps, devices.up_kbps])


def write_availability(path: Path, availability: Availability) -> None:
    """Write a table that ``read_availability`` reads back; clients without names are numbered from 0."""
    slots = np.diff(availability.offsets)
    rows = np.repeat(np.arange(len(availability)), np.maximum(slots, 1))
    empty = (slots == 0)[rows]
    bounds = []
    for values in (availability.starts, availability.ends):
        filled = np.zeros(len(rows))
        filled[~empty] = values / MICROS
        bounds.append(pa.array(filled, mask=empty))
    names = pa.array(availability.names or range(len(availability))).take(pa.array(rows))
    _write(path, SLOT_COLUMNS, [names, *bounds, availability.periods[rows] / MICROS])


def _write(path: Path, columns: tuple[str, ...], values: list[Any]) -> None:
    options = pa_csv.WriteOptions(quoting_style="needed")
    with files.replacing(path) as file:
        pa_csv.write_csv(pa.table(dict(zip(columns, values, strict=True))), file, options)


@dataclass(frozen=True)
class _Sheet:
    """The columns of a file as text, and which layout they follow."""

    path: Path
    layout: tuple[str, ...]
    columns: dict[str, Any]

    def where(self, row: int) -> str:
        """Name the row of the file that holds data row ``row``."""
        return f"{self.path} row {self.line(row)}"

    def line(self, row: int) -> int:
        """Return the line of the file that holds data row ``row``, counting as a spreadsheet does: the header is 1."""
        return next((line for number, (line, _) in enumerate(_lines(self.path), start=-1) if number == row), row + 2)

    def texts(self, column: str) -> Any:
        """Return a column as numpy strings."""
        return self.columns[column].to_numpy(zero_copy_only=False)

    def numbers(self, column: str, default: str = "", missing: Any = None) -> FloatArray:
        """Return a column as float64, with ``default`` where ``missing``."""
        values = self.columns[column]
        if missing is not None:
            values = pc.if_else(pa.array(missing), default, values)
        try:
            return np.asarray(pc.cast(values, pa.float64()).to_numpy(zero_copy_only=False))
        except pa.ArrowInvalid:
            row, text = next((row, text) for row, text in enumerate(values.to_pylist()) if not _is_number(text))
            raise TraceError(f"{self.where(row)}: {column} is {quote(text)}; it must be a number") from None

    def clients(self) -> tuple[IntArray, tuple[str, ...]]:
        """Return for each row the number of its client, by first appearance, and the clients' names."""
        encoded = self.columns["client_id"].dictionary_encode()
        numbers = encoded.indices.to_numpy().astype(np.int64)
        names = tuple(encoded.dictionary.to_pylist())
        if "" in names:
            raise TraceError(f"{self.where(int(np.argmax(numbers == names.index(''))))}: client_id is empty")
        return numbers, names


def _read(path: Path, layouts: tuple[tuple[str, ...], ...]) -> _Sheet:
    try:
        size = path.stat().st_size
        if size > limits.TRACE_FILE_BYTES:
            raise TraceError(f"{path}: {size} bytes, more than the {limits.TRACE_FILE_BYTES} that are read")
        header = next(_lines(path), (0, []))[1]
        layout = _layout(path, header, layouts)
        table = _parse(path, header)
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise TraceError(f"{path}: not a CSV file in UTF-8: {error}") from None
    if not 1 <= table.num_rows <= limits.TRACE_ROWS:
        raise TraceError(f"{path}: {table.num_rows} rows below the header; there must be 1 to {limits.TRACE_ROWS}")
    columns = {name: pc.utf8_trim_whitespace(table[name].combine_chunks()) for name in layout}
    return _Sheet(path, layout, columns)


def _layout(path: Path, header: list[str], layouts: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    known = {column for layout in layouts for column in layout}
    for column in header:
        if column not in known:
            raise TraceError(f"{path} row 1: unknown column {quote(column)}: {nearest(column, known)}")
        if header.count(column) > 1:
            raise TraceError(f"{path} row 1: column {column!r} comes {header.count(column)} times")
    for layout in layouts:
        if set(layout) == set(header):
            return layout
    wanted = " or ".join(",".join(layout) for layout in layouts)
    raise TraceError(f"{path} row 1: columns {','.join(header) or 'none'}; there must be {wanted}")


def _parse(path: Path, header: list[str]) -> Any:
    convert = pa_csv.ConvertOptions(
        column_types={name: pa.large_string() for name in header}, strings_can_be_null=False
    )
    read = pa_csv.ReadOptions(column_names=header, skip_rows=0, skip_rows_after_names=1)
    try:
        return pa_csv.read_csv(path, read_options=read, convert_options=convert)
    except pa.ArrowInvalid as error:
        for line, fields in _lines(path):
            if len(fields) != len(header):
                raise TraceError(f"{path} row {line}: {len(fields)} fields; there must be {len(header)}") from None
        raise TraceError(f"{path}: not a CSV file in UTF-8: {error}") from None


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield number and fields of every row that is not empty, the header first; only messages need the others."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        try:
            for fields in reader:
                if fields:
                    yield reader.line_num, [field.strip() for field in fields]
        except csv.Error as error:
            raise TraceError(f"{path} row {reader.line_num}: not CSV: {error}") from None


def _is_number(text: str) -> bool:
    try:
        pa.scalar(text).cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _first_of_each(numbers: IntArray) -> Any:
    """Return which rows are the first of their client; ``numbers`` count clients by first appearance."""
    highest = np.maximum.accumulate(numbers)
    return np.append(True, highest[1:] > highest[:-1])


def _refuse_overlaps(users: IntArray, starts: IntArray, ends: IntArray, sheet: _Sheet) -> None:
    order = np.lexsort((starts, users))
    before, after = order[:-1], order[1:]
    overlap = np.flatnonzero((users[before] == users[after]) & (starts[after] < ends[before]))
    if len(overlap):
        one, other = before[overlap[0]], after[overlap[0]]
        raise TraceError(
            f"{sheet.where(int(other))}: start is {starts[other] / MICROS:.12g}; it must not be before "
            f"{ends[one] / MICROS:.12g}, where the client's slot of row {sheet.line(int(one))} ends"
        )
