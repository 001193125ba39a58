"""A report's figures in words: cards, tables, and what differs between jobs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fedscale.report.facts import FATES, LOWER_IS_BETTER
from fedscale.report.metrics import Metrics
from fedscale.report.plots import Run, thin
from fedscale.units import human_bytes, human_seconds

TABLE_ROWS: Final = 40
"""Most rows of a table beside a plot."""

_SHARES: Final = (0.5, 0.75, 0.9, 0.95, 1.0)


@dataclass(frozen=True)
class Card:
    """A headline number."""

    title: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class TextTable:
    """A small table of texts; the first cell of a row is its head."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def show(metric: str, value: float | None) -> str:
    """Format a metric: accuracy in percent, others with four digits."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.1%}".replace("%", " %") if metric == "accuracy" else f"{value:.4g}"


def real_seconds(timings: Path) -> float | None:
    """Return the real time a run took, from its ``timings.jsonl``; ``None`` if there is none.

    ``elapsed`` counts from the start of a session; a resumed run has several.
    """
    try:
        lines = [json.loads(line) for line in timings.read_text(encoding="utf-8").splitlines()]
        elapsed = [float(line["elapsed"]) for line in lines]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    ends = [now for now, after in zip(elapsed, [*elapsed[1:], 0.0], strict=True) if after < now]
    return sum(ends) if ends else None


def state(metrics: Metrics) -> str:
    """Say whether a run is finished, and why it ended."""
    if metrics.end is not None:
        return f"finished: {metrics.end['why']}"
    return f"unfinished: the log ends at version {metrics.headline['versions']}"


def cards(metrics: Metrics, real: float | None) -> list[Card]:
    """Return the headline numbers of one run."""
    head, metric = metrics.headline, metrics.metric
    baselines = " · ".join(f"{name} {show(metric, value)}" for name, value in head["baselines"].items())
    wasted = (
        f"of {human_seconds(head['client_seconds'])} client time; {human_bytes(head['wasted_bytes'])} moved in vain"
    )
    took_part = f"of {head['clients']:,} contributed; {head['clients_selected']:,} were selected"
    return [
        Card(f"final {metric}", show(metric, head["final"]), baselines),
        Card("rounds", f"{head['versions']:,}", f"{head['abandoned']:,} abandoned · {head['selected']:,} tasks"),
        Card("virtual time", human_seconds(head["virtual_seconds"]), _real(real)),
        Card("traffic", human_bytes(head["bytes_down"] + head["bytes_up"]), _ways(head)),
        Card("wasted work", show("accuracy", head["waste_share"]), wasted),
        Card("clients", f"{head['clients_completed']:,}", took_part),
        Card("fairness (Jain)", _number(head["jain"]), f"worst tenth of clients {show(metric, head['worst10'])}"),
    ]


def comparison(runs: Sequence[Run], real: Sequence[float | None]) -> TextTable:
    """Return the headline numbers of several runs, one column each."""
    columns = [[card.value for card in cards(run.metrics, None)] for run in runs]
    titles = [card.title for card in cards(runs[0].metrics, None)]
    titles[titles.index("clients")] = "clients that contributed"
    metric = runs[0].metrics.metric
    extra = [
        ["state", *("finished" if run.metrics.end else "unfinished" for run in runs)],
        [f"best {metric}", *(show(metric, run.metrics.headline["best"]) for run in runs)],
        ["real time", *(human_seconds(seconds) if seconds else "–" for seconds in real)],
    ]
    rows = [[title, *values] for title, *values in zip(titles, *columns, strict=True)]
    return TextTable(
        "Headline numbers", ["", *(run.label for run in runs)], rows[:1] + extra[1:2] + rows[1:] + extra[::2]
    )


def time_to_targets(runs: Sequence[Run]) -> TextTable:
    """Return when each run reached shares of the best value that all of them reached."""
    metric = runs[0].metrics.metric
    bests = [run.metrics.headline["best"] for run in runs if run.metrics.headline["best"] is not None]
    header = [f"{metric} of", *(run.label for run in runs)]
    if not bests:
        return TextTable(f"Time to {metric}", header, [])
    lower = metric in LOWER_IS_BETTER
    common = max(bests) if lower else min(bests)
    targets = [common / share if lower else common * share for share in _SHARES]
    rows = [[show(metric, target), *_reach(runs, target, metric)] for target in targets]
    return TextTable(f"Time to {metric}: virtual time and round of the first evaluation at least as good", header, rows)


def differences(runs: Sequence[Run]) -> TextTable:
    """Return the keys in which the jobs of the runs differ."""
    flat = [dict(_flatten(run.metrics.job["job"])) for run in runs]
    keys = list(dict.fromkeys(key for job in flat for key in job))
    differing = [key for key in keys if len({job.get(key, "–") for job in flat}) > 1]
    rows = [[key, *(job.get(key, "–") for job in flat)] for key in differing]
    return TextTable("Where the jobs differ", ["key", *(run.label for run in runs)], rows)


def evaluations(run: Run) -> TextTable:
    """Return evaluations, thinned."""
    metrics = run.metrics
    names = [metrics.metric, "p10", "p50", "p90", "worst10"]
    rows = metrics.evaluations.take(thin(metrics.evaluations.num_rows, TABLE_ROWS)).to_pylist()
    texts = [
        [str(row["version"]), human_seconds(row["t"]), *(show(metrics.metric, row[name]) for name in names)]
        + [_number(row["jain"])]
        for row in rows
    ]
    head = ["round", "virtual time", metrics.metric, "10th", "median", "90th percentile", "worst tenth", "Jain"]
    return TextTable(f"{run.label}: evaluations", head, texts)


def spread(runs: Sequence[Run]) -> TextTable:
    """Return the distribution of the metric over clients at the last evaluation of each run."""
    metric = runs[0].metrics.metric
    names = {
        "p5": "5th percentile",
        "p25": "25th",
        "p50": "median",
        "p75": "75th",
        "p95": "95th",
        "std": "std. deviation",
    }
    last = [run.metrics.evaluations.slice(max(run.metrics.evaluations.num_rows - 1, 0)).to_pylist() for run in runs]
    rows = [[title, *(show(metric, row[0][name]) if row else "–" for row in last)] for name, title in names.items()]
    rows.append(["mean of the worst tenth", *(show(metric, run.metrics.headline["worst10"]) for run in runs)])
    rows.append(["Jain's index", *(_number(run.metrics.headline["jain"]) for run in runs)])
    return TextTable(f"{metric} over clients", ["", *(run.label for run in runs)], rows)


def ledger(runs: Sequence[Run]) -> TextTable:
    """Return the last ledger of each run."""
    names = ["selected", *FATES, "useful_seconds", "wasted_seconds", "bytes_down", "bytes_up"]
    names += ["wasted_bytes_down", "wasted_bytes_up"]
    rows = [[name.replace("_", " "), *(f"{run.metrics.ledger.get(name, 0):,}" for run in runs)] for name in names]
    return TextTable("Ledger", ["", *(run.label for run in runs)], rows)


def provenance(runs: Sequence[Run]) -> TextTable:
    """Return what made each run: digest, data, model, versions, plug-ins."""
    facts = [_origin(run.metrics) for run in runs]
    names = list(dict.fromkeys(name for fact in facts for name in fact))
    rows = [[name, *(fact.get(name, "–") for fact in facts)] for name in names]
    return TextTable("Origin", ["", *(run.label for run in runs)], rows)


def _origin(metrics: Metrics) -> dict[str, str]:
    population = metrics.population
    clients = ", ".join(f"{count:,} {split}" for split, count in population["clients"].items() if count)
    return {
        "job digest": str(metrics.job["digest"]),
        "dataset": f"{population['dataset']} ({population['fingerprint']})",
        "model": f"{population['model']}, {population['parameters']:,} trainable parameters",
        "clients": clients,
        "devices": str(population["devices"]),
        "availability": str(population["availability"]),
        **{str(name): str(version) for name, version in metrics.job["versions"].items()},
        **{f"plug-in {name}": str(digest) for name, digest in metrics.job["plugins"].items()},
    }


def _reach(runs: Sequence[Run], target: float, metric: str) -> list[str]:
    """Say when each run reached a target, and from the second run on how much faster than the first."""
    found = [run.metrics.time_to(target, metric) for run in runs]
    texts = [f"{human_seconds(hit[1])} (round {hit[0]})" if hit else "–" for hit in found]
    first = found[0]
    for index, hit in enumerate(found[1:], start=1):
        if hit and first and hit[1] and first[1]:
            texts[index] += f", {first[1] / hit[1]:.2g}× as fast"
    return texts


def _flatten(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flatten(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _number(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def _real(seconds: float | None) -> str:
    return f"{human_seconds(seconds)} of real time" if seconds else ""


def _ways(head: Mapping[str, Any]) -> str:
    return f"{human_bytes(head['bytes_down'])} down · {human_bytes(head['bytes_up'])} up"
