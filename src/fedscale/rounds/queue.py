"""The event queue of a simulation: virtual time in total order.

At the same instant, results come before losses and losses before deadlines (finishing at the very end counts), and
tasks in the order they were started.
"""

from __future__ import annotations

import heapq

from fedscale.rounds.events import Done, Lost, Tick

Queued = Done | Lost | Tick


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

    def clear(self) -> None:
        """Forget all events (their attempt is over)."""
        self._heap.clear()
