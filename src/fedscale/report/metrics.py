"""Metrics of a run, all derived from its log, as Arrow tables.

What every column means is in ``docs/metrics.md``. Times are virtual seconds, sizes bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fedscale.errors import LogError, MissingExtraError, nearest
from fedscale.report import bottlenecks
from fedscale.report.bottlenecks import PHASES
from fedscale.report.columns import PRIVACY, Columns, LogColumns
from fedscale.report.evaluations import gini, per_client
from fedscale.report.facts import FATES, LOWER_IS_BETTER, reached
from fedscale.report.log import Record
from fedscale.units import MICROS

_SIZES: Final = ("bytes_down", "bytes_up")
TABLES: Final = ("rounds", "evaluations", "tasks", "clients", "client_accuracy", "jumps", "critical", "statistics")
"""Names of the tables of `Metrics`."""


_STATISTICS: Final = pa.schema(
    [
        *((name, pa.int64()) for name in ("version", "clients", "count", "place")),
        *((name, pa.float64()) for name in ("t", "total", "mean")),
        ("name", pa.string()),
    ]
)


@dataclass(frozen=True)
class Metrics:
    """Everything that can be said about a run from its log.

    ``job``, ``population`` and ``end`` are those lines of the log (``end`` is ``None`` while a run is unfinished),
    ``ledger`` is its last ledger; the tables and ``headline`` are derived when first used.
    """

    job: Record
    population: Record
    end: Record | None
    ledger: Record
    _columns: LogColumns

    @classmethod
    def from_log(cls, path: Path) -> Metrics:
        """Read a log.

        Raises:
            LogError: it cannot be read, is damaged, or ends before its second line.
        """
        columns = LogColumns(path)
        return cls(columns.job, columns.population, columns.end, columns.ledger, columns)

    @property
    def metric(self) -> str:
        """Name of the dataset's metric, for example ``accuracy``."""
        return str(self.population["metric"])

    @property
    def facts(self) -> Mapping[str, float]:
        """What the job's stages said of the latest version, by name; for example ``epsilon``."""
        return self._columns.facts

    @property
    def dry_run(self) -> bool:
        """Whether the run trained and tested nothing."""
        return bool(self.job["job"].get("dry_run"))

    @property
    def stale(self) -> bool:
        """Whether results could count that were some versions behind."""
        job = self.job["job"]
        return job.get("asynchronous") is not None or job["rounds"].get("stale") is not None

    @property
    def only_tests(self) -> bool:
        """Whether tasks tested, or made statistics, and trained nothing."""
        return self._columns.only_tests

    @property
    def measured(self) -> bool:
        """Whether the dataset's metric can be told: of neither dry runs nor other statistics."""
        return not self.dry_run and (not self.only_tests or self.headline["final"] is not None)

    @cached_property
    def privacy(self) -> tuple[str, ...]:
        """Names of the columns of `rounds` that say what privacy was spent, as far as the log does."""
        return tuple(name for name in PRIVACY if np.isfinite(self._columns.rounds[name]).any())

    @cached_property
    def clusters(self) -> dict[str, npt.NDArray[np.int64]]:
        """How many clients trained the model of each cluster, by attempt; empty where there is one model."""
        sizes = self._columns.clusters
        names = dict.fromkeys(name for attempt in sizes for name in attempt)
        return {name: np.array([attempt.get(name, 0) for attempt in sizes]) for name in names}

    @property
    def secure(self) -> bool:
        """Whether the server saw sums of updates only; clients then wait for one another."""
        return "secure_aggregation" in self.job["job"]

    @property
    def _phases(self) -> tuple[str, ...]:
        return (*PHASES, *["wait"] * self.secure)

    @property
    def name(self) -> str:
        """The job's name."""
        return str(self.job["job"].get("name", "job"))

    @cached_property
    def tasks(self) -> pa.Table:
        """One row per task of a closed attempt, in task order."""
        raw = self._columns.tasks
        fate = pa.DictionaryArray.from_arrays(pa.array(raw["fate"].astype(np.int8)), pa.array(FATES))
        plain = {name: raw[name] for name in ("task", "attempt", "version", "client")}
        times = {name: _seconds(raw[name]) for name in ("start", "end", *self._phases)}
        sizes = {name: raw[name] for name in (*_SIZES, "samples")}
        trained = {name: pa.array(raw[name], from_pandas=True) for name in ("weight", "loss")}
        behind = {"staleness": self._behind()} if self.stale else {}
        return pa.table({**plain, **behind, "fate": fate, **times, **sizes, **trained})

    @cached_property
    def rounds(self) -> pa.Table:
        """One row per attempt, in order; abandoned ones have no loss and keep the version."""
        raw, tasks = self._columns.rounds, self._columns.tasks
        group = np.searchsorted(raw["attempt"], tasks["attempt"])
        plain = {name: raw[name] for name in ("attempt", "version")}
        times = {"start": _seconds(raw["start"]), "end": _seconds(raw["end"])}
        times["seconds"] = _seconds(raw["end"] - raw["start"])
        counts = _counts(group, tasks["fate"], len(raw["attempt"]))
        names = ["loss", "lr", *["staleness"] * self.stale, *self.privacy]
        trained = {name: pa.array(raw[name], from_pandas=True) for name in names}
        people = {"online": raw["online"], "wanted": raw["wanted"], "selected": sum(counts.values())}
        committed = {"committed": raw["committed"].astype(bool)}
        spent = _spent(group, tasks, len(raw["attempt"]), self._phases)
        return pa.table({**plain, **committed, **times, **people, **counts, **trained, **spent})

    @cached_property
    def clients(self) -> pa.Table:
        """One row per client that was ever selected, in order of its index."""
        tasks = self._columns.tasks
        client, group = np.unique(tasks["client"], return_inverse=True)
        counts = _counts(group, tasks["fate"], len(client))
        samples = _sums(group, np.where(_completed(tasks), tasks["samples"], 0), len(client))
        spent = _spent(group, tasks, len(client), self._phases)
        bound = _phases(bottlenecks.longest({phase: spent[f"{phase}_seconds"] for phase in PHASES}))
        people = {"client": client, "selected": sum(counts.values())}
        return pa.table({**people, **counts, "samples": samples, **spent, "bound": bound})

    @cached_property
    def evaluations(self) -> pa.Table:
        """One row per evaluation: the metrics, and the spread of the dataset's metric over clients."""
        rows = self._columns.evaluations
        names = {"version": None, "t": None, self.metric: None} | {name: None for row in rows for name in row}
        return pa.table({name: pa.array([row.get(name) for row in rows], _kind(name)) for name in names})

    @cached_property
    def client_accuracy(self) -> pa.Table:
        """The last evaluation, one row per client with samples: ``client``, ``count`` and its metrics."""
        if self._columns.last_evaluation is None:
            return pa.table({"client": pa.array([], pa.int64()), "count": pa.array([], pa.int64())})
        return pa.table(per_client(self._columns.last_evaluation))

    @cached_property
    def jumps(self) -> pa.Table:
        """The waits while nobody was online: from ``t`` to ``to``."""
        return pa.table({name: _seconds(values) for name, values in self._columns.jumps.items()})

    @cached_property
    def critical(self) -> pa.Table:
        """One row per attempt: the task that it waited for, and what the time since the one before went into."""
        rows, times = self._critical
        who = self.tasks.select(["task", "client", "fate"]).take(pa.array(rows, mask=rows == bottlenecks.NOBODY))
        spent = {name: _seconds(values) for name, values in times.items()}
        bound = _phases(bottlenecks.longest(times))
        names = ["attempt", *who.column_names, *spent, "bound"]
        return pa.table([self.rounds["attempt"], *who.columns, *spent.values(), bound], names)

    @cached_property
    def statistics(self) -> pa.Table:
        """What the tasks of each round reported together, one row per number, of a run that only tests."""
        rows = [
            {**round_, "name": name, "place": place, "total": total, "mean": total / round_["count"]}
            for round_ in self._columns.totals
            for name, place, total in zip(round_["name"], round_["place"], round_["total"], strict=True)
        ]
        return pa.Table.from_pylist(rows, _STATISTICS)

    @cached_property
    def contributions(self) -> npt.NDArray[np.float64]:
        """How many tasks of every client that could take part counted, 0 included (in no order)."""
        missing = max(self._candidates - self.clients.num_rows, 0)
        return np.concatenate([np.zeros(missing), self.clients["completed"].to_numpy().astype(np.float64)])

    @cached_property
    def headline(self) -> dict[str, Any]:
        """The figures at the head of a report, by name; see ``docs/metrics.md``."""
        values = self._values(self.metric)
        ledger = self.ledger or dict.fromkeys(
            ("selected", "useful_seconds", "wasted_seconds", *_SIZES, *(f"wasted_{name}" for name in _SIZES)), 0
        )
        seconds = ledger["useful_seconds"] + ledger["wasted_seconds"]
        rounds = self._columns.rounds
        known = [value for value in values if value is not None]
        best = (min if self.metric in LOWER_IS_BETTER else max)(known, default=None)
        taken = self.clients["completed"].to_numpy()
        late = {"staleness": self._staleness()} if self.stale else {}
        return {
            "name": self.name,
            "finished": self.end is not None,
            "dry_run": self.dry_run,
            "metric": self.metric,
            "final": values[-1] if values else None,
            "best": best,
            "baselines": dict(self.population["baselines"]),
            "versions": int(rounds["committed"].sum()),
            "abandoned": int(len(rounds["committed"]) - rounds["committed"].sum()),
            **late,
            **{name: float(np.nanmax(rounds[name])) for name in self.privacy},
            "virtual_seconds": self._virtual_seconds(),
            "selected": ledger["selected"],
            "clients": self._candidates,
            "clients_selected": self.clients.num_rows,
            "clients_completed": int((taken > 0).sum()),
            "participation_gini": gini(self.contributions),
            "critical_seconds": {name: float(_seconds(times.sum())) for name, times in self._critical[1].items()},
            "client_seconds": seconds,
            "waste_share": ledger["wasted_seconds"] / seconds if seconds else 0.0,
            "bytes_down": ledger["bytes_down"],
            "bytes_up": ledger["bytes_up"],
            "wasted_bytes": ledger["wasted_bytes_down"] + ledger["wasted_bytes_up"],
            "jain": self._last("jain"),
            "worst10": self._last("worst10"),
        }

    @property
    def of_clients(self) -> bool:
        """Whether single clients have the dataset's metric, too: a curve over all scores is nobody's own."""
        fairness = self._last("jain")
        return fairness is None or not np.isnan(fairness)

    def time_to(self, metric_value: float, metric: str = "accuracy") -> tuple[int, float] | None:
        """Return version and virtual seconds of the first evaluation that is at least as good, or ``None``.

        Raises:
            LogError: no evaluation has this metric.
        """
        for version, time, value in zip(
            self.evaluations["version"].to_pylist(),
            self.evaluations["t"].to_pylist(),
            self._values(metric),
            strict=True,
        ):
            if value is not None and reached(metric, value, metric_value):
                return version, time
        return None

    def waste_by_cause(self) -> pa.Table:
        """Return tasks, client seconds and bytes that made no version, one row per fate but ``completed``."""
        tasks = self._columns.tasks
        spent = _spent(tasks["fate"], tasks, len(FATES), self._phases)
        counts = {"fate": list(FATES), "tasks": np.bincount(tasks["fate"], minlength=len(FATES))}
        sizes = {name: spent[name] for name in _SIZES}
        return pa.table({**counts, "seconds": spent["wasted_seconds"], **sizes}).slice(1)

    def bounds(self) -> pa.Table:
        """Return which phase bounds whom, one row each: attempts, tasks and clients for which it is the longest.

        ``attempt_seconds`` are those of the critical tasks, ``client_seconds`` those of all tasks.
        """
        tasks, (_, times) = self._columns.tasks, self._critical
        by_client = {phase: self.clients[f"{phase}_seconds"].to_numpy() for phase in PHASES}
        each = {"attempts": times, "tasks": tasks, "clients": by_client}
        counts = {name: bottlenecks.tally(bottlenecks.longest(spent)) for name, spent in each.items()}
        sums = {"attempt_seconds": times, "client_seconds": tasks}
        seconds = {name: _seconds(np.array([spent[phase].sum() for phase in PHASES])) for name, spent in sums.items()}
        return pa.table({"phase": list(PHASES), **counts, **seconds})

    def to_pandas(self, name: str) -> Any:
        """Return the table called ``name`` (`TABLES`) as a pandas data frame.

        Raises:
            MissingExtraError: pandas is not installed.
            LogError: there is no such table.
        """
        if name not in TABLES:
            raise LogError(f"no table {name!r}: {nearest(name, TABLES)}")
        try:
            import pandas  # noqa: F401
        except ImportError:
            raise MissingExtraError("to_pandas", "pandas", "pandas") from None
        return getattr(self, name).to_pandas()

    @property
    def _candidates(self) -> int:
        """How many clients could take part."""
        group = self.job["job"]["evaluate"]["split"] if self.only_tests else "train"
        return int(self.population["clients"][group])

    @cached_property
    def _critical(self) -> tuple[npt.NDArray[np.int64], Columns]:
        return bottlenecks.critical(self._columns.rounds, self._columns.tasks)

    def _values(self, metric: str) -> list[Any]:
        metrics = self.evaluations.column_names
        if metric not in metrics:
            raise LogError(f"no evaluation has a metric {metric!r}: {nearest(metric, metrics)}")
        return list(self.evaluations[metric].to_pylist())

    def _last(self, column: str) -> float | None:
        rows = self._columns.evaluations
        return float(rows[-1][column]) if rows else None

    def _behind(self) -> npt.NDArray[np.int64]:
        """Return how many versions each task was behind when the attempt ended in which it was closed."""
        raw, tasks = self._columns.rounds, self._columns.tasks
        present = raw["version"] - raw["committed"]
        behind: npt.NDArray[np.int64] = present[np.searchsorted(raw["attempt"], tasks["attempt"])] - tasks["version"]
        return behind

    def _staleness(self) -> float | None:
        """Return the mean staleness of the results that counted."""
        behind = self.tasks["staleness"].to_numpy()[_completed(self._columns.tasks)]
        return float(behind.mean()) if len(behind) else None

    def _virtual_seconds(self) -> float:
        ends = [*self.rounds["end"].to_pylist()[-1:], *self.jumps["to"].to_pylist()[-1:]]
        return float(self.end["t"]) if self.end else max(ends, default=0.0)


def _kind(name: str) -> pa.DataType:
    if name in ("version", "clients", "samples"):
        return pa.int64()
    return pa.string() if name == "split" else pa.float64()


def _phases(bounds: npt.NDArray[np.int64]) -> pa.Array:
    """Return the names of phases; nothing where there is none."""
    return pa.DictionaryArray.from_arrays(
        pa.array(bounds.astype(np.int8), mask=bounds == bottlenecks.NOBODY), pa.array(PHASES)
    )


def _seconds(micros: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return micros / MICROS


def _completed(tasks: Columns) -> npt.NDArray[np.bool_]:
    return np.asarray(tasks["fate"] == FATES.index("completed"))


def _counts(group: npt.NDArray[Any], fate: npt.NDArray[Any], groups: int) -> dict[str, Any]:
    """Count the tasks of every group by fate."""
    flat = np.bincount(group * len(FATES) + fate, minlength=groups * len(FATES))
    return dict(zip(FATES, flat.reshape(groups, len(FATES)).T, strict=True))


def _sums(group: npt.NDArray[Any], values: npt.NDArray[Any], groups: int) -> npt.NDArray[np.int64]:
    """Add up whole numbers by group, exactly."""
    sums = np.zeros(groups, dtype=np.int64)
    np.add.at(sums, group, values)
    return sums


def _spent(group: npt.NDArray[Any], tasks: Columns, groups: int, phases: Sequence[str]) -> dict[str, Any]:
    """Add up client seconds (by phase, useful, wasted) and bytes (all, wasted) by group."""
    done = _completed(tasks)
    total = tasks["end"] - tasks["start"]
    spent: dict[str, Any] = {f"{name}_seconds": _seconds(_sums(group, tasks[name], groups)) for name in phases}
    spent["useful_seconds"] = _seconds(_sums(group, np.where(done, total, 0), groups))
    spent["wasted_seconds"] = _seconds(_sums(group, np.where(done, 0, total), groups))
    for name in _SIZES:
        spent[name] = _sums(group, tasks[name], groups)
        spent[f"wasted_{name}"] = _sums(group, np.where(done, 0, tasks[name]), groups)
    return spent
