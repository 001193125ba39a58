"""A report's figures in words: cards, tables, and what differs between jobs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fedscale.report.canvas import RunView, thin
from fedscale.report.facts import FATES, LOWER_IS_BETTER, UNIT_OF, called
from fedscale.report.metrics import Metrics
from fedscale.units import human_bytes, human_seconds

TABLE_ROWS: Final = 40
"""Most rows of a table beside a plot."""

_LONGER: Final = {"clients": "clients that contributed"}
"""What a table calls a card, where no note explains it."""

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
    """Format a metric: accuracy in percent, others with four digits and their unit."""
    if value is None or math.isnan(value):
        return "–"
    if metric == "accuracy":
        return f"{value:.1%}".replace("%", " %")
    return f"{value:.4g} {UNIT_OF.get(metric, '')}".rstrip()


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
    """Say whether a run is finished, and why it ended; and if it was dry."""
    dry = "; dry run, nothing was trained or tested" if metrics.dry_run else ""
    dry = dry or ("; tests only, nothing was trained" if metrics.only_tests else "")
    if metrics.end is not None:
        return f"finished: {metrics.end['why']}{dry}"
    return f"unfinished: the log ends at version {metrics.headline['versions']}{dry}"


def cards(metrics: Metrics, real: float | None) -> list[Card]:
    """Return the headline numbers of one run; of a dry one, those that do not speak of learning."""
    head = metrics.headline
    wasted = (
        f"of {human_seconds(head['client_seconds'])} client time; {human_bytes(head['wasted_bytes'])} moved in vain"
    )
    took_part = f"of {head['clients']:,} contributed; {head['clients_selected']:,} were selected"
    work = [
        Card("rounds", f"{head['versions']:,}", f"{head['abandoned']:,} abandoned · {head['selected']:,} tasks"),
        Card("virtual time", human_seconds(head["virtual_seconds"]), _real(real)),
        _time_went(metrics),
        Card("traffic", human_bytes(head["bytes_down"] + head["bytes_up"]), _ways(head)),
        Card("wasted work", show("accuracy", head["waste_share"]), wasted),
        *([_staleness(metrics)] if metrics.stale else []),
        Card("clients", f"{head['clients_completed']:,}", took_part),
    ]
    if metrics.dry_run:
        return [Card("dry run", "no training", "nobody was trained or tested"), *work]
    if not metrics.measured:
        return [_reported(metrics), *work]
    return [
        _final(metrics),
        *work[:2],
        *([] if metrics.only_tests else [_almost_there(metrics)]),
        *work[2:],
        *([_fairness(metrics)] if metrics.of_clients else []),
    ]


def _fairness(metrics: Metrics) -> Card:
    worst = show(metrics.metric, metrics.headline["worst10"])
    return Card("fairness (Jain)", _number(metrics.headline["jain"]), f"worst tenth of clients {worst}")


def _time_went(metrics: Metrics) -> Card:
    """Say what the virtual time went into, the most first."""
    seconds = metrics.headline["critical_seconds"]
    total = sum(seconds.values())
    if not total:
        return Card("time went into", "–")
    most_first = sorted(seconds.items(), key=lambda item: -item[1])
    first, *rest = (f"{name} {show('accuracy', value / total)}" for name, value in most_first)
    return Card("time went into", first.replace(" %", "\u00a0%"), " · ".join(rest))


def _staleness(metrics: Metrics) -> Card:
    job = metrics.job["job"]
    mean, most = metrics.headline["staleness"], (job.get("asynchronous") or job["rounds"]["stale"])["max_staleness"]
    late = f"versions, mean of what counted; {metrics.ledger.get('late', 0):,} more than {most} behind"
    return Card("staleness", "–" if mean is None else f"{mean:.2f}", late)


def _final(metrics: Metrics) -> Card:
    head, metric = metrics.headline, metrics.metric
    baselines = " · ".join(f"{name} {show(metric, value)}" for name, value in head["baselines"].items())
    title = f"{called(metric)} in the last round" if metrics.only_tests else f"final {called(metric)}"
    return Card(title, show(metric, head["final"]), baselines)


def _reported(metrics: Metrics) -> Card:
    """Say what clients reported that did not test the dataset's metric."""
    names = list(dict.fromkeys(metrics.statistics["name"].to_pylist()))
    asked = f"of {metrics.statistics['clients'][-1].as_py():,} clients in the last round" if names else ""
    return Card("reported", ", ".join(names[:3]) + " …" * (len(names) > 3) if names else "–", asked)


def _almost_there(metrics: Metrics) -> Card:
    """Say when nine tenths of what was reached were reached: what came after was slow."""
    best, metric = metrics.headline["best"], metrics.metric
    title = f"time to 90 % of the best {called(metric)}"
    if best is None:
        return Card(title, "–")
    target = best / 0.9 if metric in LOWER_IS_BETTER else best * 0.9
    hit = metrics.time_to(target, metric)
    return Card(title, human_seconds(hit[1]), f"{show(metric, target)} in round {hit[0]}") if hit else Card(title, "–")


def comparison(runs: Sequence[RunView], real: Sequence[float | None]) -> TextTable:
    """Return the headline numbers of several runs, one column each."""
    columns = [{card.title: card.value for card in cards(run.metrics, None)} for run in runs]
    titles = dict.fromkeys(title for column in sorted(columns, key=len, reverse=True) for title in column)
    rows = [[_LONGER.get(title, title), *(column.get(title, "–") for column in columns)] for title in titles]
    if any(run.metrics.measured for run in runs):
        metric = runs[0].metrics.metric
        rows.insert(1, [f"best {called(metric)}", *(show(metric, run.metrics.headline["best"]) for run in runs)])
    if any(real):
        rows.append(["real time", *(human_seconds(seconds) if seconds else "–" for seconds in real)])
    rows.append(["state", *("finished" if run.metrics.end else "unfinished" for run in runs)])
    return TextTable("Headline numbers", ["", *(run.label for run in runs)], rows)


def time_to_targets(runs: Sequence[RunView]) -> TextTable:
    """Return when each run reached shares of the best value that all of them reached."""
    metric = runs[0].metrics.metric
    bests = [run.metrics.headline["best"] for run in runs if run.metrics.headline["best"] is not None]
    if not bests:
        return TextTable(f"Time to {called(metric)}: not evaluated yet", [""], [])
    lower = metric in LOWER_IS_BETTER
    common = max(bests) if lower else min(bests)
    targets = [common / share if lower else common * share for share in _SHARES]
    header = ["", *(show(metric, target) for target in targets)]
    found = [[run.metrics.time_to(target, metric) for target in targets] for run in runs]
    rows = [
        [run.label, *(_hit(*pair) for pair in zip(hits, found[0], strict=True))]
        for run, hits in zip(runs, found, strict=True)
    ]
    return TextTable(f"Time to {called(metric)}: the first evaluation that is at least as good", header, rows)


def differences(runs: Sequence[RunView]) -> TextTable:
    """Return the keys in which the jobs of the runs differ."""
    flat = [dict(_flatten(run.metrics.job["job"])) for run in runs]
    keys = list(dict.fromkeys(key for job in flat for key in job))
    differing = [key for key in keys if len({job.get(key, "–") for job in flat}) > 1]
    rows = [[key, *(job.get(key, "–") for job in flat)] for key in differing]
    return TextTable("Where the jobs differ", ["key", *(run.label for run in runs)], rows)


def evaluations(run: RunView) -> TextTable:
    """Return evaluations, thinned."""
    metrics = run.metrics
    spread = {"p10": "10th", "p50": "median", "p90": "90th percentile", "worst10": "worst tenth"}
    names = [metrics.metric, *(spread if metrics.of_clients else ())]
    rows = metrics.evaluations.take(thin(metrics.evaluations.num_rows, TABLE_ROWS)).to_pylist()
    texts = []
    for row in rows:
        values = [show(metrics.metric, row[name]) for name in names]
        fairness = [_number(row["jain"])] if metrics.of_clients else []
        texts.append([str(row["version"]), human_seconds(row["t"]), *values, *fairness])
    whole = ["round", "virtual time", called(metrics.metric)]
    head = [*whole, *spread.values(), "Jain"] if metrics.of_clients else whole
    on = f" on {rows[-1]['clients']:,} clients" if rows else ""
    return TextTable(f"{run.label}: evaluations{on}", head, texts)


def statistics(run: RunView) -> TextTable:
    """Return what the clients of the last round reported together, the first numbers of it."""
    table = run.metrics.statistics
    last = table.filter(table["version"].to_numpy() == max(table["version"].to_pylist(), default=0)).to_pylist()
    rows = [
        [
            row["name"] if row["place"] is None else f"{row['name']}[{row['place']}]",
            f"{row['total']:,.6g}",
            f"{row['mean']:,.6g}",
        ]
        for row in last[:TABLE_ROWS]
    ]
    on = f" of {last[0]['clients']:,} clients with {last[0]['count']:,} samples" if last else ""
    return TextTable(f"{run.label}: what was reported in the last round{on}", ["", "sum", "per sample"], rows)


def spread(runs: Sequence[RunView]) -> TextTable:
    """Return the distribution of the metric over clients at the last evaluation of each run."""
    metric = runs[0].metrics.metric
    names = {"p5": "5th percentile", "p25": "25th", "p50": "median", "p75": "75th", "p95": "95th"}
    names |= {"std": "std. deviation", "worst10": "worst tenth", "jain": "Jain's index"}
    rows = [[run.label, *(_cell(run.metrics, name) for name in names)] for run in runs]
    return TextTable(f"{called(metric)} over clients at the last evaluation", ["", *names.values()], rows)


def ledger(runs: Sequence[RunView]) -> TextTable:
    """Return the last ledger of each run."""
    names = ["selected", *FATES, "useful_seconds", "wasted_seconds", "bytes_down", "bytes_up"]
    names += ["wasted_bytes_down", "wasted_bytes_up"]
    rows = [[name.replace("_", " "), *(f"{run.metrics.ledger.get(name, 0):,}" for run in runs)] for name in names]
    return TextTable("Ledger", ["", *(run.label for run in runs)], rows)


def provenance(runs: Sequence[RunView]) -> TextTable:
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
        **_adapters(metrics),
        "clients": clients,
        "devices": str(population["devices"]),
        "availability": str(population["availability"]),
        **{str(name): str(version) for name, version in metrics.job["versions"].items()},
        **{f"content of {key}": str(digest) for key, digest in metrics.job["files"].items()},
    }


def _adapters(metrics: Metrics) -> dict[str, str]:
    if (adapters := metrics.population.get("adapters")) is None:
        return {}
    base = "a random base" if adapters["base"] is None else "a base"
    size, clients = adapters["base_bytes"], metrics.headline["clients_selected"]
    total = f"no part of the traffic, {human_bytes(size * clients)} for {clients:,} clients that were selected"
    return {"adapters": f"{adapters['name']}, on {base} of {human_bytes(size)} that devices have: {total}"}


def _hit(hit: tuple[int, float] | None, first: tuple[int, float] | None) -> str:
    """Say when a target was reached, and how much faster than by the first run."""
    if hit is None:
        return "–"
    text = f"{human_seconds(hit[1])}, round {hit[0]}"
    return f"{text} ({first[1] / hit[1]:.2g}× as fast)" if first and hit[1] and first != hit else text


def _flatten(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flatten(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cell(metrics: Metrics, column: str) -> str:
    last = metrics.evaluations[column].to_pylist()[-1:] if metrics.evaluations.num_rows else []
    value = last[0] if last else None
    return _number(value) if column == "jain" else show(metrics.metric, value)


def _number(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def _real(seconds: float | None) -> str:
    return f"{human_seconds(seconds)} of real time" if seconds else ""


def _ways(head: Mapping[str, Any]) -> str:
    return f"{human_bytes(head['bytes_down'])} down · {human_bytes(head['bytes_up'])} up"
