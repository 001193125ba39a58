"""The event queue of a simulation: virtual time in total order.

At the same instant, results come before losses and losses before deadlines (finishing at the very end counts), and
tasks in the order they were started.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Final

from fedscale.rounds.events import Done, Lost, Tick
from fedscale.units import NEVER, Micros

Queued = Done | Lost | Tick

_KINDS: Final = (Done, Lost, Tick)
"""In the order in which they are taken at the same instant."""


def _order(event: Queued) -> tuple[int, int, int]:
    match event:
        case Done(time, task):
            return time, 0, task
        case Lost(time, task):
            return time, 1, task
        case Tick(time, attempt):
            return time, 2, attempt


class EventQueue:
    """A heap of events, earliest first."""

    def __init__(self) -> None:
        self._heap: list[tuple[tuple[int, int, int], Queued]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, event: Queued) -> None:
        """Add an event."""
        heapq.heappush(self._heap, (_order(event), event))

    def pop(self) -> Queued:
        """Remove and return the earliest event."""
        return heapq.heappop(self._heap)[1]

    @property
    def next_time(self) -> Micros:
        """When the earliest event happens; `NEVER` if there is none."""
        return self._heap[0][0][0] if self._heap else NEVER

    def clear(self) -> None:
        """Forget all events (their attempt is over)."""
        self._heap.clear()

    def forget_deadlines(self) -> None:
        """Forget all deadlines, but not what becomes of tasks (they outlive their attempt)."""
        self._heap = [entry for entry in self._heap if not isinstance(entry[1], Tick)]
        heapq.heapify(self._heap)

    def state(self) -> list[list[int]]:
        """Return what a checkpoint keeps: times, kinds and numbers of all events, earliest first."""
        orders = sorted(order for order, _ in self._heap)
        return [list(column) for column in zip(*orders, strict=True)]

    def restore(self, state: Sequence[Sequence[int]]) -> None:
        """Take up events from a checkpoint."""
        for time, kind, number in zip(*state, strict=True):
            self.push(_KINDS[kind](time, number))
