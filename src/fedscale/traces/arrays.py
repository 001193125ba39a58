"""Types of columns, and the checks that every table of traces goes through."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedscale import limits
from fedscale.errors import TraceError
from fedscale.units import MICROS

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

Where = Callable[[int], str]
"""Says where row i of a column comes from: ``clients.csv row 17``."""


def quote(value: object) -> str:
    """Show a value in a message, shortened if it is long or deep."""
    return reprlib.repr(value)


def refuse_first(bad: BoolArray, values: NDArray[Any], column: str, where: Where, must: str) -> None:
    """Raise a ``TraceError`` about the first row that is ``bad``, if there is one."""
    if bad.any():
        row = int(np.argmax(bad))
        value = values[row]
        shown = quote(value) if isinstance(value, str) else f"{value:.12g}"
        raise TraceError(f"{where(row)}: {column} is {shown}; it must be {must}")


def check_between(values: FloatArray, bounds: tuple[float, float], column: str, where: Where) -> None:
    """Refuse values that are not numbers within ``bounds`` (both included); NaN and infinities are outside."""
    low, high = bounds
    inside = (values >= low) & (values <= high)
    refuse_first(~inside, values, column, where, f"a number from {low:g} to {high:g}")


def check_slots(start: FloatArray, end: FloatArray, period: FloatArray, where: Where) -> None:
    """Refuse slots, in seconds and each with its user's period, that do not satisfy 0 ≤ start ≤ end ≤ period."""
    longest = limits.TRACE_PERIOD_SECONDS
    positive = (period >= 1 / MICROS) & (period <= longest)
    refuse_first(~positive, period, "period", where, f"a positive number of seconds up to {longest:g}")
    refuse_first(~(start >= 0), start, "start", where, "a number of seconds from 0")
    refuse_first(~(end >= start), end, "end", where, "a number of seconds not before start")
    refuse_first(~(end <= period), end, "end", where, "no later than the period")


def micros(seconds: FloatArray) -> IntArray:
    """Convert seconds to whole microseconds, rounding half to even."""
    return np.rint(seconds * MICROS).astype(np.int64)
