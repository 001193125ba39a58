"""Devices as columns: how fast each computes, downloads and uploads (§3.2, Figure 4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedscale import limits
from fedscale.errors import TraceError
from fedscale.traces.arrays import FloatArray, IntArray, Where, check_between


@dataclass(frozen=True, eq=False)
class Devices:
    """One row per device.

    Attributes:
        ms_per_sample: float64 (n,), milliseconds of inference per sample.
        down_kbps: float64 (n,), download bandwidth in kbit/s (1 kbit = 1,000 bits).
        up_kbps: float64 (n,), upload bandwidth in kbit/s.
        names: client names of the file that the rows were read from, in row order; may be empty.

    Raises:
        TraceError: columns of different lengths, no row, or a value outside ``limits``.
    """

    ms_per_sample: FloatArray
    down_kbps: FloatArray
    up_kbps: FloatArray
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_devices(self.ms_per_sample, self.down_kbps, self.up_kbps, lambda row: f"devices row {row}")
        if self.names and len(self.names) != len(self):
            raise TraceError(f"devices: {len(self.names)} names for {len(self)} rows")

    def __len__(self) -> int:
        return len(self.ms_per_sample)

    def take(self, rows: IntArray) -> Devices:
        """Return the devices of ``rows``, in that order, repeated or not; they lose their names."""
        return Devices(self.ms_per_sample[rows], self.down_kbps[rows], self.up_kbps[rows])


def alike(count: int, ms_per_sample: float, kbps: float) -> Devices:
    """Return ``count`` devices that are all the same, with one bandwidth for both directions."""
    links = np.full(count, kbps)
    return Devices(np.full(count, ms_per_sample), links, links)


def check_devices(ms_per_sample: FloatArray, down_kbps: FloatArray, up_kbps: FloatArray, where: Where) -> None:
    """Refuse columns of different lengths, empty ones, and values outside ``limits``; ``where`` names a row."""
    if not len(ms_per_sample) == len(down_kbps) == len(up_kbps):
        raise TraceError(f"devices: columns of {len(ms_per_sample)}, {len(down_kbps)} and {len(up_kbps)} rows")
    if not 1 <= len(ms_per_sample) <= limits.TRACE_ROWS:
        raise TraceError(f"devices: {len(ms_per_sample)} rows; a table has 1 to {limits.TRACE_ROWS}")
    check_between(ms_per_sample, limits.DEVICE_MS_PER_SAMPLE, "ms_per_sample", where)
    check_between(down_kbps, limits.DEVICE_KBPS, "down_kbps", where)
    check_between(up_kbps, limits.DEVICE_KBPS, "up_kbps", where)
