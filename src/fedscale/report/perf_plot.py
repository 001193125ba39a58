"""A drawing of the original's test results, one line per file."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fedscale.report.canvas import RUN_COLORS, time_unit
from fedscale.report.testing_perf import Perf

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def figure(files: Mapping[str, Perf]) -> Figure:
    """Return two panels, top-1 in percent by round and by virtual time, with a line for each file, by its name."""
    from plotly.subplots import make_subplots

    longest = max((test.clock for perf in files.values() for test in perf.perf), default=0.0)
    divisor, unit = time_unit(longest)
    drawn: Figure = make_subplots(cols=2, shared_yaxes=True)
    for number, (name, perf) in enumerate(files.items()):
        line = {"color": RUN_COLORS[number % len(RUN_COLORS)]}
        for column, x in enumerate(([t.round for t in perf.perf], [t.clock / divisor for t in perf.perf]), start=1):
            y = [test.top_1 for test in perf.perf]
            shown = {"name": html.escape(name), "line": line, "showlegend": column == 1}
            drawn.add_scatter(x=x, y=y, mode="lines+markers", row=1, col=column, **shown)
    drawn.update_xaxes(title="round", row=1, col=1)
    drawn.update_xaxes(title=f"virtual {unit}", row=1, col=2)
    drawn.update_yaxes(title="top-1 (%)", row=1, col=1)
    return drawn
