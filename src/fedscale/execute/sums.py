"""What clients report of a test or of their data: named sums, made plain numbers and admitted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from fedscale import limits
from fedscale.execute.base import ClientSums, Report
from fedscale.outcomes import Fate
from fedscale.pooled import Pooled, pool

COUNT: Final = "count"
"""What the number of predictions is called among what a task reports."""


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


def admitted_sums(task: int, result: ClientSums, expected: Sequence[str]) -> Report:
    """Return the report of a task that tested: what the client says, unless it cannot be added to what others say."""
    if tuple(result.sums) != tuple(expected):
        why = f"the client reports {_listed(result.sums)}, and not {_listed(expected)} as others do"
    elif result.count < 0 or not all(math.isfinite(value) for value in result.sums.values()):
        why = "what the client reports is not finite, or counts less than nothing"
    else:
        return Report(task, metrics={COUNT: result.count, **result.sums})
    return Report(task, fate=Fate.REJECTED, why=why)


def _flat(name: str, value: Any) -> Iterator[tuple[str, float]]:
    array = np.asarray(value.cpu() if hasattr(value, "cpu") else value)
    if array.ndim > 1:
        raise ValueError(f"{name!r} has the shape {array.shape}: report numbers, or arrays of one dimension")
    if array.ndim == 0:
        yield name, array.item()
    else:
        yield from ((f"{name}[{place}]", number) for place, number in enumerate(array.tolist()))


def _listed(names: Sequence[str] | Mapping[str, float]) -> str:
    first = ", ".join(list(names)[:5])
    return f"{first}, ... ({len(names)})" if len(names) > 5 else first or "nothing"
