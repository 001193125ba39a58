"""The two figures of the paper about devices and availability (Figures 4 and 5), drawn from any tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from fedscale.traces.arrays import FloatArray
from fedscale.traces.availability import Availability
from fedscale.traces.compare import HOUR, slot_seconds
from fedscale.traces.devices import Devices

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

POINTS: Final = 400
"""Points of a curve of shares, however many rows there are."""

DAYS: Final = 7
"""Days over which online users are counted, every half-hour."""

COLOR: Final = "#3d7bd9"

TITLES: Final = (
    "Compute: share of devices (Figure 4a)",
    "Bandwidth: share of devices (Figure 4b)",
    "Online users over time (Figure 5a)",
    "Slot length: share of slots (Figure 5b)",
)


def figure(devices: Devices, availability: Availability, title: str) -> Figure:
    """Draw the distributions of compute, bandwidth and slot length, and online users over a week."""
    from plotly.graph_objects import Scatter
    from plotly.subplots import make_subplots

    drawn = make_subplots(rows=2, cols=2, subplot_titles=TITLES, horizontal_spacing=0.08, vertical_spacing=0.14)
    curves: tuple[tuple[FloatArray, FloatArray, str, dict[str, object]], ...] = (
        (*_shares(devices.ms_per_sample), "inference, ms per sample", {}),
        (*_shares(devices.down_kbps), "kbit/s", {"type": "log"}),
        (*_online(availability), "days since the trace began", {"dtick": 1}),
        (*_shares(slot_seconds(availability)), "seconds", {"type": "log"}),
    )
    for place, (x, y, label, axis) in enumerate(curves):
        at = {"row": place // 2 + 1, "col": place % 2 + 1}
        drawn.add_trace(Scatter(x=x, y=y, mode="lines", line={"color": COLOR}, showlegend=False), **at)
        drawn.update_xaxes(title_text=label, **axis, **at)
        drawn.update_yaxes(tickformat=".0%", rangemode="tozero", **at)
    drawn.update_layout(title=title, template="plotly_white", height=820, font={"family": "system-ui, sans-serif"})
    return drawn


def _shares(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return values and the share of rows that are no greater: an empirical distribution, thinned."""
    shares = np.linspace(0, 1, min(POINTS, len(values) + 1))
    return (np.quantile(values, shares), shares) if len(values) else (values, values)


def _online(availability: Availability) -> tuple[FloatArray, FloatArray]:
    times = np.arange(0, DAYS * 24 * HOUR + 1, HOUR // 2)
    return times / (24 * HOUR), np.array([availability.online(int(time)).mean() for time in times])
