"""Units and their conversions, each with one name.

Virtual time is an integer number of microseconds inside the runtime, so that sums and comparisons are exact;
files and users see seconds as decimals with six places. Bandwidth is kbit/s with 1 kbit = 1,000 bits, as in
FedScale's published traces; sizes are bytes.
"""

from __future__ import annotations

from typing import Final

Micros = int
"""Virtual time or a duration, in microseconds."""

MICROS: Final = 1_000_000
"""Microseconds in a second."""

NEVER: Final[Micros] = (1 << 63) - 1
"""An instant that does not come (the largest int64)."""

EARTH_KM: Final = 6371.0088
"""The mean radius of the Earth (IUGG), in kilometres."""


def to_micros(seconds: float) -> Micros:
    """Convert seconds to whole microseconds, rounding half to even."""
    return round(seconds * MICROS)


def to_seconds(micros: Micros) -> float:
    """Convert microseconds to seconds; the shortest decimal of the result has at most six places."""
    return micros / MICROS


def human_bytes(size: float) -> str:
    """Format a size with decimal prefixes, e.g. ``1.2 MB``."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(size) < 1000 or unit == "TB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError("unreachable")


def human_seconds(seconds: float) -> str:
    """Format a duration for people: ``42 s``, ``3 min 05 s``, ``2 h 07 min``, ``5 d 03 h``."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes_left = divmod(minutes, 60)
    days, hours_left = divmod(hours, 24)
    if days:
        return f"{days} d {hours_left:02d} h"
    if hours:
        return f"{hours} h {minutes_left:02d} min"
    if minutes:
        return f"{minutes} min {rest:02d} s"
    return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
