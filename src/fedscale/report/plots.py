"""The figures of a report, one function each; all of them draw one run or several.

Titles and explanations stand in the page around a figure. Colours of text and grid are set by the page, for light and
dark. What is drawn is thinned to a few hundred points, however long the run was.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from fedscale.report.canvas import (
    FATE_COLORS,
    QUIET,
    RUN_COLORS,
    RunView,
    blank,
    draw,
    size_unit,
    stroke,
    thin,
    time_unit,
)
from fedscale.report.evaluations import gini
from fedscale.report.facts import FATES, called

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

BARS: Final = 80
"""Most bars of a stacked chart."""


def score(runs: Sequence[RunView], *, by_time: bool) -> Figure:
    """Draw the dataset's metric against rounds or virtual time; baselines dashed; one run with its clients' spread."""
    metric = runs[0].metrics.metric
    text, y_format = called(metric), ".0%" if metric == "accuracy" else None
    figure = blank(_x_title(runs, by_time), text, runs=len(runs), y_format=y_format)
    for run in runs:
        x, rows = _evaluation_axis(run, runs, by_time)
        if len(runs) == 1:
            _band(figure, run, x, rows)
        y = run.metrics.evaluations[metric].to_numpy()[rows]
        name = run.text if len(runs) > 1 else text
        figure.add_scatter(x=x, y=y, name=name, mode="lines+markers", line=stroke(run), marker={"size": 5})
    _baselines(figure, runs, by_time)
    return figure


def loss(runs: Sequence[RunView], *, by_time: bool) -> Figure:
    """Draw training loss (lines) and the loss of evaluations (dots) against rounds or virtual time."""
    figure = blank(_x_title(runs, by_time), "loss", runs=len(runs))
    divisor, _ = time_unit(_longest(runs))
    for run in runs:
        rounds = run.metrics.rounds.filter(run.metrics.rounds["committed"])
        rows = thin(rounds.num_rows)
        x = (rounds["end"].to_numpy() / divisor if by_time else rounds["version"].to_numpy())[rows]
        y = rounds["loss"].to_numpy()[rows]
        draw(figure, runs, run, "training", x, y, "solid")
        if "loss" in run.metrics.evaluations.column_names:
            x, rows = _evaluation_axis(run, runs, by_time)
            y = run.metrics.evaluations["loss"].to_numpy()[rows]
            dots = {"color": run.color, "size": 6, "symbol": "circle-open"}
            name = "evaluation" if len(runs) == 1 else f"{run.text}, evaluation"
            figure.add_scatter(x=x, y=y, name=name, mode="markers", marker=dots, showlegend=len(runs) == 1)
    return figure


def statistic(run: RunView, name: str) -> Figure:
    """Draw the sum over the clients of the last round of what they reported under ``name``, an array."""
    table = run.metrics.statistics
    latest = table["version"].to_numpy() == max(table["version"].to_pylist())
    rows = table.filter(latest & np.array([each == name for each in table["name"].to_pylist()]))
    figure = blank(name, "sum")
    figure.add_bar(x=rows["place"].to_numpy(), y=rows["total"].to_numpy(), name=run.text, marker_color=run.color)
    figure.update_layout(showlegend=False, bargap=0.12)
    return figure


def attack_success(runs: Sequence[RunView]) -> Figure:
    """Draw on which share of the samples that it was made for an attack succeeds, against rounds."""
    figure = blank(_x_title(runs, False), "attack success", runs=len(runs), y_format=".0%")
    for run in runs:
        x, rows = _evaluation_axis(run, runs, False)
        y = run.metrics.evaluations["attack_success"].to_numpy()[rows]
        figure.add_scatter(x=x, y=y, name=run.text, mode="lines+markers", line=stroke(run), marker={"size": 5})
    return figure


def fates(run: RunView) -> Figure:
    """Draw how the tasks of every attempt ended, stacked; long runs in groups of attempts, each their mean."""
    return stacked({fate: run.metrics.rounds[fate].to_numpy() for fate in FATES}, FATE_COLORS, "tasks")


def clusters(run: RunView) -> Figure:
    """Draw how many clients trained the model of each cluster in every attempt, as `fates` does."""
    parts = {name.replace("_", " "): sizes for name, sizes in run.metrics.clusters.items()}
    colors = {name: RUN_COLORS[place % len(RUN_COLORS)] for place, name in enumerate(parts)}
    return stacked(parts, colors, "clients")


def stacked(parts: Mapping[str, npt.NDArray[Any]], colors: Mapping[str, str], title: str) -> Figure:
    """Draw parts of a whole, one value per attempt; long runs in groups of attempts, each their mean."""
    attempts = len(next(iter(parts.values())))
    group = -(-attempts // BARS) or 1
    figure = blank("attempt" if group == 1 else f"attempt (means of {group})", title)
    starts = np.arange(0, attempts, group)
    sizes = np.diff([*starts, attempts])
    for name, values in parts.items():
        if values.any():
            y = np.add.reduceat(values, starts) / sizes
            figure.add_bar(x=starts + (group + 1) / 2, y=y, width=group * 0.86, name=name, marker_color=colors[name])
    figure.update_layout(barmode="stack", bargap=0)
    return figure


def staleness(runs: Sequence[RunView]) -> Figure:
    """Draw how many versions the results of every commit were behind: the mean, against rounds."""
    return _by_round(runs, "versions behind", "staleness")


def epsilon(runs: Sequence[RunView]) -> Figure:
    """Draw what all versions so far have spent of privacy, against rounds."""
    return _by_round(runs, "ε", "epsilon")


def local_epsilon(runs: Sequence[RunView]) -> Figure:
    """Draw what clients have spent of their samples' privacy: the greatest, dotted the median, against rounds."""
    return _by_round(runs, "ε", "local_epsilon", "local_epsilon_median")


def _by_round(runs: Sequence[RunView], title: str, column: str, dotted: str | None = None) -> Figure:
    figure = blank("round", title, runs=len(runs))
    for run in runs:
        rounds = run.metrics.rounds.filter(run.metrics.rounds["committed"])
        rows = thin(rounds.num_rows)
        x, y = rounds["version"].to_numpy()[rows], rounds[column].to_numpy()[rows]
        figure.add_scatter(x=x, y=y, name=run.text, mode="lines", line=stroke(run))
        if dotted is not None:
            y = rounds[dotted].to_numpy()[rows]
            figure.add_scatter(x=x, y=y, mode="lines", line=stroke(run, "dot"), showlegend=False)
    figure.update_layout(showlegend=len(runs) > 1)
    figure.update_yaxes(rangemode="tozero")
    return figure


def stale_tasks(runs: Sequence[RunView]) -> Figure:
    """Draw how many results counted, by how many versions they were behind."""
    figure = blank("versions behind", "results that counted", runs=len(runs))
    for run in runs:
        done = run.metrics.tasks.filter(
            np.array([fate == "completed" for fate in run.metrics.tasks["fate"].to_pylist()])
        )
        counts = np.bincount(done["staleness"].to_numpy())
        figure.add_bar(x=np.arange(len(counts)), y=counts, name=run.text, marker_color=run.color)
    figure.update_layout(barmode="group", bargap=0.12, showlegend=len(runs) > 1)
    return figure


def traffic(runs: Sequence[RunView]) -> Figure:
    """Draw bytes sent down (lines) and up (dashes) since the job began, against attempts."""
    most = max(max(run.metrics.ledger.get(way, 0) for way in ("bytes_down", "bytes_up")) for run in runs)
    divisor, unit = size_unit(most)
    figure = blank("attempt", f"traffic ({unit})", runs=len(runs))
    for run in runs:
        rows = thin(run.metrics.rounds.num_rows)
        for way, dash in (("down", "solid"), ("up", "dot")):
            y = np.cumsum(run.metrics.rounds[f"bytes_{way}"].to_numpy())[rows] / divisor
            draw(figure, runs, run, way, rows + 1, y, dash)
    return figure


def client_time(runs: Sequence[RunView]) -> Figure:
    """Draw client time since the job began, useful (lines) and wasted (dots), against attempts."""
    most = max(float(run.metrics.headline["client_seconds"]) for run in runs)
    divisor, unit = time_unit(most)
    figure = blank("attempt", f"client {unit}", runs=len(runs))
    for run in runs:
        rows = thin(run.metrics.rounds.num_rows)
        for kind, dash in (("useful", "solid"), ("wasted", "dot")):
            y = np.cumsum(run.metrics.rounds[f"{kind}_seconds"].to_numpy())[rows] / divisor
            draw(figure, runs, run, kind, rows + 1, y, dash)
    return figure


def waste_seconds(runs: Sequence[RunView]) -> Figure:
    """Draw client time that made no version, by cause."""
    most = max(float(np.max(run.metrics.waste_by_cause()["seconds"].to_numpy())) for run in runs)
    divisor, unit = time_unit(most)
    return _waste(runs, ("seconds",), divisor, f"client {unit}")


def waste_bytes(runs: Sequence[RunView]) -> Figure:
    """Draw traffic that made no version, down and up together, by cause."""
    both = ("bytes_down", "bytes_up")
    most = max(max(float(np.max(run.metrics.waste_by_cause()[name].to_numpy())) for name in both) for run in runs)
    divisor, unit = size_unit(most)
    return _waste(runs, both, divisor, unit)


def online(runs: Sequence[RunView]) -> Figure:
    """Draw how many clients were online when each attempt began; none during waits."""
    divisor, unit = time_unit(_longest(runs))
    figure = blank(f"virtual time ({unit})", "clients online", runs=len(runs))
    for run in runs:
        rounds, jumps = run.metrics.rounds, run.metrics.jumps
        t = np.concatenate([rounds["start"].to_numpy(), jumps["t"].to_numpy()])
        count = np.concatenate([rounds["online"].to_numpy(), np.zeros(jumps.num_rows, dtype=np.int64)])
        order = np.lexsort((count == 0, t))
        order = order[thin(len(order))]
        line = stroke(run) | {"shape": "hv"}
        figure.add_scatter(x=t[order] / divisor, y=count[order], name=run.text, mode="lines", line=line)
    figure.update_layout(showlegend=len(runs) > 1)
    figure.update_yaxes(rangemode="tozero")
    return figure


def participation(runs: Sequence[RunView]) -> Figure:
    """Draw how many training clients contributed how often."""
    most = max(int(run.metrics.contributions.max(initial=0)) for run in runs)
    width = -(-most // 30) or 1
    figure = blank("updates of a client that counted", "clients", runs=len(runs))
    lows = np.arange(1, most + 1, width)
    names = ["0", *(str(low) if width == 1 else f"{low}–{low + width - 1}" for low in lows)]
    for run in runs:
        bins = -(-run.metrics.contributions.astype(np.int64) // width)  # 0 is a bin of its own
        counts = np.bincount(bins, minlength=len(names))
        figure.add_bar(x=names, y=counts, name=run.text, marker_color=run.color)
    figure.update_layout(barmode="group", bargap=0.12, showlegend=len(runs) > 1)
    figure.update_xaxes(type="category", nticks=10, tickangle=0)
    return figure


def lorenz(runs: Sequence[RunView]) -> Figure:
    """Draw the Lorenz curve of participation: which share of all updates came from which share of clients."""
    figure = blank("share of clients, least active first", "share of updates", runs=len(runs), y_format=".0%")
    figure.add_scatter(
        x=[0, 1], y=[0, 1], name="equal", mode="lines", line={"color": QUIET, "dash": "dot", "width": 1.5}
    )
    for run in runs:
        values = np.sort(run.metrics.contributions)
        share = np.concatenate([[0.0], np.cumsum(values) / max(values.sum(), 1)])
        rows = thin(len(share), 200)
        name = f"{run.text} (Gini {gini(values):.2f})"
        figure.add_scatter(x=rows / max(len(values), 1), y=share[rows], name=name, mode="lines", line=stroke(run))
    figure.update_xaxes(tickformat=".0%")
    return figure


def client_spread(runs: Sequence[RunView]) -> Figure:
    """Draw the cumulative distribution of the dataset's metric over clients, at the last evaluation."""
    metric = runs[0].metrics.metric
    figure = blank(f"{called(metric)} of a client", "share of clients", runs=len(runs), y_format=".0%")
    for run in runs:
        if metric not in run.metrics.client_accuracy.column_names:
            continue
        values = np.sort(run.metrics.client_accuracy[metric].to_numpy())
        rows = thin(len(values))
        y = (rows + 1) / len(values)
        figure.add_scatter(x=values[rows], y=y, name=run.text, mode="lines", line=stroke(run) | {"shape": "hv"})
    figure.update_layout(showlegend=len(runs) > 1)
    figure.update_xaxes(tickformat=".0%" if metric == "accuracy" else None)
    return figure


def worst_tenth(runs: Sequence[RunView]) -> Figure:
    """Draw the mean metric of the worst-served tenth of the clients, and of all clients, against rounds."""
    metric = runs[0].metrics.metric
    figure = blank("round", called(metric), runs=len(runs), y_format=".0%" if metric == "accuracy" else None)
    for run in runs:
        x, rows = _evaluation_axis(run, runs, by_time=False)
        for name, column, dash in (("mean of clients", "mean", "solid"), ("worst tenth", "worst10", "dot")):
            y = run.metrics.evaluations[column].to_numpy()[rows] if len(rows) else rows
            draw(figure, runs, run, name, x, y, dash)
    return figure


def _longest(runs: Sequence[RunView]) -> float:
    return max(float(run.metrics.headline["virtual_seconds"]) for run in runs)


def _x_title(runs: Sequence[RunView], by_time: bool) -> str:
    return f"virtual time ({time_unit(_longest(runs))[1]})" if by_time else "round"


def _evaluation_axis(
    run: RunView, runs: Sequence[RunView], by_time: bool
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    table = run.metrics.evaluations
    rows = thin(table.num_rows)
    x = table["t"].to_numpy() / time_unit(_longest(runs))[0] if by_time else table["version"].to_numpy()
    return x[rows], rows


def _band(figure: Figure, run: RunView, x: npt.NDArray[Any], rows: npt.NDArray[np.int64]) -> None:
    line = {"width": 0, "color": run.color}
    fill = {"fill": "tonexty", "fillcolor": f"{run.color}26"}
    for column, name, style in (("p10", "10th percentile", {}), ("p90", "90th percentile", fill)):
        y = run.metrics.evaluations[column].to_numpy()[rows] if len(rows) else rows
        figure.add_scatter(x=x, y=y, mode="lines", line=line, name=name, showlegend=False, **style)


def _baselines(figure: Figure, runs: Sequence[RunView], by_time: bool) -> None:
    """Draw each baseline once, though several runs may name it."""
    end = _longest(runs) / time_unit(_longest(runs))[0]
    last = end if by_time else max(int(run.metrics.headline["versions"]) for run in runs)
    known = {(name, value) for run in runs for name, value in run.metrics.headline["baselines"].items()}
    dashes = ("dash", "dot", "dashdot", "longdash")
    for index, (name, value) in enumerate(sorted(known, key=lambda item: -item[1])):
        line = {"color": QUIET, "dash": dashes[index % len(dashes)], "width": 1.5}
        figure.add_scatter(x=[0, last], y=[value, value], name=html.escape(name), mode="lines", line=line)


def _waste(runs: Sequence[RunView], columns: Sequence[str], divisor: float, unit: str) -> Figure:
    figure = blank("", unit, runs=len(runs))
    tables = [run.metrics.waste_by_cause() for run in runs]
    met = [index for index in range(len(FATES) - 1) if any(table["tasks"][index].as_py() for table in tables)]
    for run, table in zip(runs, tables, strict=True):
        total = sum(table[name].to_numpy() for name in columns) / divisor
        names = [FATES[index + 1] for index in met]
        colors = [FATE_COLORS[name] for name in names] if len(runs) == 1 else run.color
        figure.add_bar(x=names, y=total[met], name=run.text, marker_color=colors)
    figure.update_layout(barmode="group", bargap=max(0.35, 0.8 - 0.15 * len(met)), showlegend=len(runs) > 1)
    return figure
