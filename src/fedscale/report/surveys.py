"""What datasets are like, as a page of plots (Figure 3) and as tables for other programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv

from fedscale import files
from fedscale.data.survey import Survey
from fedscale.report.canvas import FONT, RUN_COLORS

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

POINTS: Final = 256
"""Points of a curve."""

PANELS: Final = (
    ("samples per client", "Samples per client (Figure 3a)", True),
    ("label distance (JS)", "Distance of two clients' labels (Figure 3b)", False),
    ("label entropy, bits", "Label entropy of a client, bits", False),
    ("feature mean", "Mean of a client's features", False),
)
"""What is drawn: the quantity, the panel's title, and whether its axis is logarithmic."""


def write_surveys(surveys: Sequence[Survey], out: Path | str) -> list[Path]:
    """Write ``statistics.html``, ``statistics.json``, ``clients.csv`` and ``pairs.csv`` into ``out``; return them."""
    page, figures, clients, pairs = (
        Path(out) / name for name in ("statistics.html", "statistics.json", "clients.csv", "pairs.csv")
    )
    files.write_text(page, figure(surveys).to_html(include_plotlyjs=True, full_html=True))
    facts = {survey.name: _facts(survey) for survey in surveys}
    files.write_text(figures, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
    _write_csv(clients, [_clients(survey) for survey in surveys])
    _write_csv(pairs, [_pairs(survey) for survey in surveys])
    return [page, figures, clients, pairs]


def figure(surveys: Sequence[Survey]) -> Figure:
    """Draw the density over clients (over pairs, for distances) of every quantity, all sets in the same panels."""
    from plotly.graph_objects import Scatter
    from plotly.subplots import make_subplots

    titles = [title for _, title, _ in PANELS]
    drawn = make_subplots(rows=2, cols=2, subplot_titles=titles, horizontal_spacing=0.08, vertical_spacing=0.14)
    for place, (quantity, _, logarithmic) in enumerate(PANELS):
        at = {"row": place // 2 + 1, "col": place % 2 + 1}
        for number, survey in enumerate(surveys):
            if (values := survey.quantities.get(quantity)) is None:
                continue
            x, y = density(np.log10(values) if logarithmic else values)
            line = {"color": RUN_COLORS[number % len(RUN_COLORS)], "width": 2.2}
            x = 10**x if logarithmic else x
            curve = Scatter(x=x, y=y, name=survey.name, legendgroup=survey.name, line=line, showlegend=place == 0)
            drawn.add_trace(curve, **at)
        drawn.update_xaxes(type="log" if logarithmic else "linear", **at)
        drawn.update_yaxes(title_text="density per decade" if logarithmic else "density", rangemode="tozero", **at)
    drawn.update_layout(template="plotly_white", height=820, font={"family": FONT})
    return drawn


def density(values: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return points and an estimate of the density there: a histogram smoothed by a Gaussian kernel.

    Its width is Silverman's, 0.9 min(sd, IQR / 1.34) n^(−1/5), but not below a bin; a single value is one bin wide.
    """
    low, high = float(values.min()), float(values.max())
    quartiles = np.quantile(values, [0.25, 0.75])
    spread = min(values.std(), (quartiles[1] - quartiles[0]) / 1.34) or values.std()
    width = 0.9 * spread * len(values) ** -0.2
    margin = 3 * width or abs(low) * 1e-3 or 1e-3
    counts, edges = np.histogram(values, bins=POINTS, range=(low - margin, high + margin))
    step = edges[1] - edges[0]
    reach = np.arange(-POINTS, POINTS + 1) * step
    kernel = np.exp(-0.5 * (reach / max(width, step)) ** 2)
    smooth = np.convolve(counts, kernel / kernel.sum())
    return (edges[:-1] + edges[1:]) / 2, smooth[POINTS : 2 * POINTS] / (len(values) * step)


def _facts(survey: Survey) -> dict[str, Any]:
    pairs = 0 if survey.distance is None else len(survey.distance)
    whole = {"clients": len(survey.counts), "samples": int(survey.counts.sum()), "pairs": pairs}
    return whole | {"all_pairs": survey.all_pairs, "quantities": survey.summary()}


def _clients(survey: Survey) -> dict[str, Any]:
    columns = {
        "client": np.arange(len(survey.counts)),
        "samples": survey.counts,
        "label_entropy": survey.entropy,
        "feature_mean": survey.feature_mean,
        "feature_sd": survey.feature_sd,
    }
    return _named(survey, {name: values for name, values in columns.items() if values is not None})


def _pairs(survey: Survey) -> dict[str, Any]:
    return _named(survey, {"jensen_shannon_distance": survey.distance} if survey.distance is not None else {})


def _named(survey: Survey, columns: dict[str, Any]) -> dict[str, Any]:
    rows = len(next(iter(columns.values()), ()))
    return {"dataset": pa.array([survey.name]).take(pa.array(np.zeros(rows, dtype=np.int64))), **columns}


def _write_csv(path: Path, parts: Sequence[dict[str, Any]]) -> None:
    table = pa.concat_tables([pa.table(part) for part in parts], promote_options="default")
    with files.replacing(path) as file:
        pa_csv.write_csv(table, file, pa_csv.WriteOptions(quoting_style="needed"))
