"""What clients report of a test or of their data: named sums, made plain numbers and admitted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from fedscale import limits
from fedscale.execute.base import ClientSums, Report
from fedscale.outcomes import Fate
from fedscale.pooled import Pooled, pool

COUNT: Final = "count"
"""What the number of predictions is called among what a task reports."""


@dataclass(frozen=True)
class Form:
    """What every client reports, where tasks test: the names of its sums, and how many places its counts have, by name.

    Counts are those of which only the total over clients is wanted (`fedscale.pooled`).
    """

    sums: tuple[str, ...] = ()
    places: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, result: ClientSums) -> Form:
        """Return the form of one client's result."""
        return cls(tuple(result.sums), {name: record["size"] for name, record in result.pooled.items()})

    @property
    def numbers(self) -> int:
        """How many numbers a client reports, beside how many predictions they are about."""
        return len(self.sums) + sum(self.places.values())

    def __str__(self) -> str:
        """Return the first names, with the number of places in brackets."""
        return _listed([*self.sums, *(f"{name}[{size}]" for name, size in self.places.items())])


def flat_sums(sums: Mapping[str, Any]) -> dict[str, float]:
    """Return sums as plain numbers by name; those of an array ``label`` are ``label[0]``, ``label[1]``, ...

    Counts of which only the total is wanted are left out; see `pooled_sums`.

    Raises:
        ValueError: an array has several dimensions, or there are too many numbers.
    """
    own = {name: value for name, value in sums.items() if not isinstance(value, Pooled)}
    flat = dict(pair for name, value in own.items() for pair in _flat(str(name), value))
    if len(flat) > limits.REPORTED_NUMBERS:
        raise ValueError(f"{len(flat)} numbers are reported; at most {limits.REPORTED_NUMBERS} are possible")
    return flat


def pooled_sums(sums: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the records, by name, of the counts of which only the total is wanted.

    Raises:
        ValueError: they are too many.
    """
    pooled = {str(name): value for name, value in sums.items() if isinstance(value, Pooled)}
    for name, value in pooled.items():
        if len(value.counts) > limits.POOLED_NUMBERS:
            raise ValueError(f"{name!r} has {len(value.counts)} places; at most {limits.POOLED_NUMBERS} are possible")
    return {name: value.record() for name, value in pooled.items()}


def together(results: Sequence[ClientSums]) -> list[ClientSums]:
    """Return the results of a block of clients, with what is pooled in the first of them."""
    total = pool(result.pooled for result in results)
    return [replace(result, pooled={} if place else total) for place, result in enumerate(results)]


def admitted_sums(task: int, result: ClientSums, expected: Form) -> Report:
    """Return the report of a task that tested: what the client says, unless it cannot be added to what others say."""
    if Form.of(result) != expected:
        why = f"the client reports {Form.of(result)}, and not {expected} as others do"
    elif result.count < 0 or not all(math.isfinite(value) for value in result.sums.values()):
        why = "what the client reports is not finite, or counts less than nothing"
    else:
        return Report(task, metrics={COUNT: result.count, **result.sums}, pooled=result.pooled)
    return Report(task, fate=Fate.REJECTED, why=why)


def reports_together(reports: Iterable[Report]) -> list[Report]:
    """Return the reports of a block of tasks that tested, with what is pooled in the first that was admitted."""
    reports = list(reports)
    total = pool(report.pooled for report in reports)
    first = next((place for place, report in enumerate(reports) if report.fate is None), None)
    return [replace(report, pooled=total if place == first else {}) for place, report in enumerate(reports)]


def _flat(name: str, value: Any) -> Iterator[tuple[str, float]]:
    array = np.asarray(value.cpu() if hasattr(value, "cpu") else value)
    if array.ndim > 1:
        raise ValueError(f"{name!r} has the shape {array.shape}: report numbers, or arrays of one dimension")
    if array.ndim == 0:
        yield name, array.item()
    else:
        yield from ((f"{name}[{place}]", number) for place, number in enumerate(array.tolist()))


def _listed(names: Sequence[str]) -> str:
    first = ", ".join(names[:5])
    return f"{first}, ... ({len(names)})" if len(names) > 5 else first or "nothing"
