"""The report: one self-contained HTML file about one run, or several side by side.

The file opens offline: plotly's script is inside, fonts are the system's, and a content policy forbids the page to
fetch anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from fedscale.errors import LogError
from fedscale.files import write_text
from fedscale.report import bounds, plots, summary
from fedscale.report.canvas import RUN_COLORS, RunView
from fedscale.report.facts import called
from fedscale.report.metrics import Metrics
from fedscale.report.summary import TextTable
from fedscale.report.timeline import timeline, typical_attempt

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True)
class Plot:
    """A figure with its title, the sentence below it, and optionally the same figures as a table."""

    title: str
    figure: Figure
    text: str
    table: TextTable | None = None
    wide: bool = False

    @property
    def data(self) -> str:
        """The figure as JSON that can stand inside a script element."""
        return str(self.figure.to_json()).replace("<", "\\u003c")


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    title: str
    text: str
    plots: Sequence[Plot] = ()
    tables: Sequence[TextTable] = field(default=())

    @property
    def anchor(self) -> str:
        """The target of links to it."""
        return self.title.lower().replace(" ", "-")


def write_report(run_dirs: Sequence[Path], out: Path) -> None:
    """Write the report on one or several run directories (each with its ``log.jsonl``) to ``out``.

    A run that is unfinished is marked as such; a run given twice is drawn twice.

    Raises:
        LogError: a log is missing or damaged, or the runs have different metrics.
    """
    runs = _load(run_dirs)
    real = [summary.real_seconds(directory / "timings.jsonl") for directory in run_dirs]
    write_text(out, _render(runs, real))


def _load(run_dirs: Sequence[Path]) -> list[RunView]:
    if not run_dirs:
        raise LogError("a report needs at least one run directory")
    metrics = [Metrics.from_log(directory / "log.jsonl") for directory in run_dirs]
    if len({each.metric for each in metrics}) > 1:
        found = ", ".join(f"{path}: {each.metric}" for path, each in zip(run_dirs, metrics, strict=True))
        raise LogError(f"runs with different metrics cannot be compared ({found}): write a report on each")
    labels = _labels([each.name for each in metrics], run_dirs)
    colors = [RUN_COLORS[index % len(RUN_COLORS)] for index in range(len(metrics))]
    return [RunView(*each) for each in zip(labels, metrics, colors, strict=True)]


def _labels(names: Sequence[str], run_dirs: Sequence[Path]) -> list[str]:
    """Return distinct labels: the job's name; where it is shared also the directory's, and a number if need be."""
    shared = Counter(names)
    labels = [
        f"{name} ({path.resolve().name})" if shared[name] > 1 else name
        for name, path in zip(names, run_dirs, strict=True)
    ]
    again: Counter[str] = Counter()
    for index, label in enumerate(labels):
        again[label] += 1
        labels[index] = label if again[label] == 1 else f"{label} #{again[label]}"
    return labels


def _render(runs: Sequence[RunView], real: Sequence[float | None]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    loader = PackageLoader("fedscale.report", "")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    first = runs[0].metrics
    return environment.get_template("page.html.j2").render(
        title=runs[0].label if len(runs) == 1 else f"{len(runs)} runs compared",
        subject=_subject(first) if len(runs) == 1 else " · ".join(run.label for run in runs),
        runs=[{"label": run.label, "color": run.color, "state": summary.state(run.metrics)} for run in runs],
        unfinished=any(run.metrics.end is None for run in runs),
        cards=summary.cards(first, real[0]) if len(runs) == 1 else [],
        comparison=summary.comparison(runs, real) if len(runs) > 1 else None,
        sections=[section for build in _SECTIONS if (section := build(runs)) is not None],
        jobs=[(run.label, yaml.safe_dump(run.metrics.job["job"], sort_keys=False, allow_unicode=True)) for run in runs],
        plotly=get_plotlyjs(),
        version=str(first.job["versions"].get("fedscale", "")),
    )


ARRAYS: Final = 6
"""Most arrays of what clients reported that are drawn for a run."""

_USUAL: Final = {
    "adapters": "none",
    "algorithm": "fedavg",
    "aggregation": "mean",
    "privacy": "none",
    "secure_aggregation": "none",
    "attack": "none",
}
"""Parts of a job that go without saying if they have this name."""


def _subject(metrics: Metrics) -> str:
    job, population = metrics.job["job"], metrics.population
    names = [population["dataset"], population["model"]]
    names += [job[part]["name"] for part in ("server", "selector") if isinstance(job.get(part), dict)]
    names += [
        f"{part} {job[part]['name']}"
        for part, usual in _USUAL.items()
        if job.get(part, {}).get("name") not in (None, usual)
    ]
    names += ["pacing"] * (job.get("pacing") is not None)
    names.append(f"{metrics.headline['clients']:,} {'clients to ask' if metrics.only_tests else 'training clients'}")
    return " · ".join(str(name) for name in names)


def _trained(runs: Sequence[RunView]) -> Sequence[RunView]:
    """Return the runs that have something to tell of learning."""
    return [run for run in runs if not run.metrics.dry_run and not run.metrics.only_tests]


def _results(every: Sequence[RunView]) -> Section | None:
    runs = [run for run in every if run.metrics.only_tests and run.metrics.statistics.num_rows]
    if not runs:
        return None
    figures = [
        Plot(_of(name, run, runs), plots.statistic(run, name), "Sums over the clients of the last round.")
        for run in runs
        for name in _arrays(run.metrics)
    ]
    if measured := [run for run in runs if run.metrics.measured]:
        metric, text = runs[0].metrics.metric, "Of those who took part in each round."
        figures.insert(0, Plot(f"{called(metric)} by round", plots.score(measured, by_time=False), text))
    text = "What those reported who were asked, and neither went away nor came too late. Nothing was trained."
    return Section("Results", text, figures, [summary.statistics(run) for run in runs])


def _arrays(metrics: Metrics) -> list[str]:
    """Return the names of arrays that clients reported."""
    pairs = zip(metrics.statistics["name"].to_pylist(), metrics.statistics["place"].to_pylist(), strict=True)
    return list(dict.fromkeys(name for name, place in pairs if place is not None))[:ARRAYS]


def _learning(every: Sequence[RunView]) -> Section | None:
    runs = _trained(every)
    if not runs:
        return None
    others = " Dry runs, in which nobody learns, are left out." if len(runs) < len(every) else ""
    metric, one = called(runs[0].metrics.metric), len(runs) == 1
    band = " The band holds the middle 80 % of clients." if one and runs[0].metrics.of_clients else ""
    table = summary.evaluations(runs[0]) if one else None
    attacked = [run for run in runs if "attack_success" in run.metrics.evaluations.column_names]
    dots = "Training loss of the updates that counted; circles are evaluations."
    wanted = "Test samples for which the model says what the attackers want, of those for which that is wrong."
    return Section(
        "Learning",
        f"What the global model has learnt, against rounds and against the virtual clock.{others}",
        [
            Plot(
                f"{metric} by round", plots.score(runs, by_time=False), f"Evaluated on the global model.{band}", table
            ),
            Plot(f"{metric} by virtual time", plots.score(runs, by_time=True), "Dashed lines are baselines."),
            Plot("loss by round", plots.loss(runs, by_time=False), dots),
            Plot("loss by virtual time", plots.loss(runs, by_time=True), dots),
            *([Plot("success of the attack", plots.attack_success(attacked), wanted)] if attacked else []),
        ],
        [summary.time_to_targets(runs)],
    )


def _rounds(runs: Sequence[RunView]) -> Section:
    text = "How the tasks of every attempt ended."
    each = [Plot(_of("fates of tasks", run, runs), plots.fates(run), text) for run in runs]
    people = Plot("clients online", plots.online(runs), "Eligible clients when each attempt began.")
    return Section("Rounds", "Who was there, and what became of those who were asked.", [*each, people])


def _clusters(every: Sequence[RunView]) -> Section | None:
    runs = [run for run in every if run.metrics.clusters]
    text = "Clients whose updates counted, by the model that they trained."
    plot = [Plot(_of("clients of clusters", run, runs), plots.clusters(run), text) for run in runs]
    return Section("Clusters", "Which of several models clients trained.", plot) if runs else None


def _time(runs: Sequence[RunView]) -> Section:
    critical = "The phases of the task that each attempt waited for last, and the wait before it began."
    dots = "Mean over a client's tasks; above the dotted line it communicates for longer than it computes."
    each = [
        plot
        for run in runs
        for plot in (
            Plot(_of("time of attempts", run, runs), bounds.critical_time(run), critical),
            Plot(_of("what bounds clients", run, runs), bounds.clients(run), dots),
        )
    ]
    tables = [table(run) for run in runs for table in (bounds.where, bounds.wasted)]
    return Section("Where the time went", "What rounds waited for, and which resource bounds whom.", each, tables)


def _behind(every: Sequence[RunView]) -> Section | None:
    runs = [run for run in every if run.metrics.stale]
    if not runs:
        return None
    others = " Runs without stale results are left out." if len(runs) < len(every) else ""
    return Section(
        "Staleness",
        f"How many versions were made between a task's start and the one that its result is part of.{others}",
        [
            Plot("staleness by round", plots.staleness(runs), "Mean over the results of each version."),
            Plot("distribution of staleness", plots.stale_tasks(runs), "Results that counted, of the whole run."),
        ],
    )


def _privacy(every: Sequence[RunView]) -> Section | None:
    runs = [run for run in every if run.metrics.privacy]
    clients = [run for run in runs if "epsilon" in run.metrics.privacy]
    samples = [run for run in runs if "local_epsilon" in run.metrics.privacy]
    if not runs:
        return None
    others = " Runs without noise are left out." if len(runs) < len(every) else ""
    of_clients = "What all versions so far may tell of any one client, at the δ of the job."
    of_samples = (
        "What a client's updates so far may tell of one of its samples: of the client that is worst off; "
        "dotted, the median of those who were ever given a task."
    )
    return Section(
        "Privacy",
        f"How much may be learnt of those who took part: the less, the better.{others}",
        [
            *([Plot("clients: ε by round", plots.epsilon(clients), of_clients)] if clients else []),
            *([Plot("samples: ε by round", plots.local_epsilon(samples), of_samples)] if samples else []),
        ],
    )


def _cost(runs: Sequence[RunView]) -> Section:
    ways = "Since the job began; solid is down, dotted up. Broken transfers count as far as they went."
    time = "Since the job began; solid is time of completed tasks, dotted of all others."
    return Section(
        "Cost",
        "What was sent and computed, and how much of it made no version.",
        [
            Plot("traffic", plots.traffic(runs), ways),
            Plot("client time", plots.client_time(runs), time),
            Plot("wasted client time by cause", plots.waste_seconds(runs), "Download, compute and upload together."),
            Plot("wasted traffic by cause", plots.waste_bytes(runs), "Down and up together."),
        ],
    )


def _clients(runs: Sequence[RunView]) -> Section:
    who = [
        Plot("participation", plots.participation(runs), "Clients that never contributed are at 0."),
        Plot("inequality of participation", plots.lorenz(runs), "On the diagonal, all contribute equally."),
    ]
    trained = [run for run in runs if run.metrics.measured and run.metrics.of_clients]
    if not trained:
        return Section("Clients", "Who contributed.", who)
    return Section(
        "Clients", "Who contributed, and whom the model serves.", [*who, *_served(trained)], [summary.spread(trained)]
    )


def _served(runs: Sequence[RunView]) -> list[Plot]:
    metric = called(runs[0].metrics.metric)
    tenth = f"Mean {metric} of single clients: solid of all, dotted of the worst tenth."
    return [
        Plot(f"{metric} over clients", plots.client_spread(runs), "Cumulative, at the last evaluation."),
        Plot("the worst-served tenth", plots.worst_tenth(runs), tenth),
    ]


def _timelines(runs: Sequence[RunView]) -> Section:
    shown = [(run, typical_attempt(run.metrics)) for run in runs]
    text = "Bars are phases up to the moment a task ended; the mark says how. At most 24 clients."
    return Section(
        "One round",
        "The phases of a few clients in an attempt of typical length.",
        [
            Plot(_of(f"attempt {attempt}", run, runs), timeline(run), text, wide=len(runs) == 1)
            for run, attempt in shown
            if attempt is not None
        ],
    )


def _origin(runs: Sequence[RunView]) -> Section:
    tables = [summary.provenance(runs), summary.ledger(runs)]
    if len(runs) > 1:
        tables.insert(0, summary.differences(runs))
    return Section("Origin", "What to run to get the same again.", (), tables)


def _of(title: str, run: RunView, runs: Sequence[RunView]) -> str:
    return title if len(runs) == 1 else f"{title}: {run.label}"


_SECTIONS: tuple[Callable[[Sequence[RunView]], Section | None], ...] = (
    _results,
    _learning,
    _rounds,
    _clusters,
    _time,
    _behind,
    _privacy,
    _cost,
    _clients,
    _timelines,
    _origin,
)
