"""Availability as columns: when each user's device may take part (§3.2, Figure 5).

A user's slots are half-open intervals [start, end) that repeat with the user's own period. Every question is answered
from the columns alone, for any time in any order: nothing remembers what was asked before.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fedscale import limits
from fedscale.errors import TraceError
from fedscale.traces.arrays import BoolArray, IntArray, refuse_first
from fedscale.units import NEVER, Micros, to_micros


@dataclass(frozen=True, eq=False)
class Availability:
    """Slots of user i: ``starts[offsets[i]:offsets[i+1]]`` and ``ends`` likewise, sorted and apart from each other.

    Build one with ``from_slots``, which sees to the order. In every query ``users`` holds row numbers in any order,
    repeated or not; the answer has one element per element of ``users``.

    Attributes:
        offsets: int64 (users + 1,).
        starts: int64 (slots,), microseconds within the period.
        ends: int64 (slots,), likewise; ``start < end <= period``.
        periods: int64 (users,), microseconds, positive.
        names: client names of the file that the rows were read from, in row order; may be empty.
    """

    offsets: IntArray
    starts: IntArray
    ends: IntArray
    periods: IntArray
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.periods)

    @classmethod
    def from_slots(
        cls, users: IntArray, starts: IntArray, ends: IntArray, periods: IntArray, names: tuple[str, ...] = ()
    ) -> Availability:
        """Build from slots in any order: slot j belongs to user ``users[j]``, who has period ``periods[users[j]]``.

        Slots of no length are dropped (the published file has some); slots that touch or overlap become one.

        Raises:
            TraceError: no user, names that do not fit, or a slot or period that is impossible.
        """
        _check(users, starts, ends, periods, names)
        keep = starts < ends
        if not keep.all():
            users, starts, ends = users[keep], starts[keep], ends[keep]
        if not _in_order(users, starts):
            order = np.lexsort((starts, users))
            users, starts, ends = users[order], starts[order], ends[order]
        users, starts, ends = _merged(users, starts, ends)
        offsets = np.searchsorted(users, np.arange(len(periods) + 1))
        return cls(offsets.astype(np.int64), starts, ends, periods, names)

    def take(self, users: IntArray) -> Availability:
        """Return the slots of ``users``, in that order, repeated or not; they lose their names."""
        slots = np.diff(self.offsets)[users]
        offsets = np.append(0, np.cumsum(slots))
        taken = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][users] - offsets[:-1], slots)
        return Availability(offsets, self.starts[taken], self.ends[taken], self.periods[users])

    @cached_property
    def _most_slots(self) -> int:
        return int(np.diff(self.offsets).max(initial=0))

    def online(self, time: Micros, users: IntArray | None = None) -> BoolArray:
        """Return for each user (all of them by default) whether ``time`` lies in a slot."""
        return self._at(time, users).inside

    def until(self, time: Micros, users: IntArray | None = None) -> IntArray:
        """Return for each user the end of the slot that holds ``time``.

        It is ``time`` where the user is offline, and ``NEVER`` where the slots leave no gap. A slot that ends with the
        period goes on in a slot that starts at 0.
        """
        at = self._at(time, users)
        answer = np.full(len(at.slot), time, np.int64)
        here = np.flatnonzero(at.inside)
        first, period, end = at.low[here], at.period[here], self.ends[at.slot[here]]
        goes_on = (end == period) & (self.starts[first] == 0)
        end = np.where(goes_on, period + self.ends[first], end) + time - at.phase[here]
        answer[here] = np.where(goes_on & (self.ends[first] == period), NEVER, end)
        return answer

    def next_online(self, time: Micros, users: IntArray | None = None) -> IntArray:
        """Return for each user ``time`` where online, else the start of the next slot; ``NEVER`` without slots."""
        at = self._at(time, users)
        answer = np.where(at.low < at.high, time, NEVER)
        away = np.flatnonzero(~at.inside & (at.low < at.high))
        following, period = at.slot[away] + 1, at.period[away]
        wraps = following == at.high[away]
        start = self.starts[np.where(wraps, at.low[away], following)] + np.where(wraps, period, 0)
        answer[away] = start + time - at.phase[away]
        return answer

    def _at(self, time: Micros, users: IntArray | None) -> _Place:
        rows = slice(None) if users is None else users
        low, high, period = self.offsets[:-1][rows], self.offsets[1:][rows], self.periods[rows]
        phase = time % period
        slot = self._last_started(phase, low, high)
        inside = slot >= low
        started = np.flatnonzero(inside)
        inside[started] = phase[started] < self.ends[slot[started]]
        return _Place(low, high, period, phase, slot, inside)

    def _last_started(self, phase: IntArray, low: IntArray, high: IntArray) -> IntArray:
        """Return in each row the last slot with ``start <= phase``, or ``low - 1``: a bisection of all rows at once."""
        slot = low - 1
        step = (1 << self._most_slots.bit_length()) >> 1
        while step:
            ahead = slot + step
            within = ahead < high
            ahead[~within] = 0  # any slot will do: the answer is not used
            slot += step * (within & (self.starts[ahead] <= phase))
            step >>= 1
        return slot


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a time falls in each row: the row's slots [low, high), the slot last started, and whether inside it."""

    low: IntArray
    high: IntArray
    period: IntArray
    phase: IntArray
    slot: IntArray
    inside: BoolArray


def _check(users: IntArray, starts: IntArray, ends: IntArray, periods: IntArray, names: tuple[str, ...]) -> None:
    if not len(periods):
        raise TraceError("availability: no user")
    if names and len(names) != len(periods):
        raise TraceError(f"availability: {len(names)} names for {len(periods)} users")
    longest = to_micros(limits.TRACE_PERIOD_SECONDS)
    impossible = (periods <= 0) | (periods > longest)
    refuse_first(impossible, periods, "period", lambda user: f"availability user {user}", f"1 to {longest}")
    if not len(users) == len(starts) == len(ends):
        raise TraceError(f"availability: columns of {len(users)}, {len(starts)} and {len(ends)} slots")
    outside = (users < 0) | (users >= len(periods))
    refuse_first(outside, users, "user", lambda slot: f"availability slot {slot}", f"0 to {len(periods) - 1}")

    def where(slot: int) -> str:
        return f"availability slot {slot} of user {users[slot]}"

    refuse_first(starts < 0, starts, "start", where, "from 0")
    refuse_first(ends < starts, ends, "end", where, "not before start")
    refuse_first(ends > periods[users], ends, "end", where, "no later than the period")


def _in_order(users: IntArray, starts: IntArray) -> bool:
    up = users[1:] > users[:-1]
    return bool((up | ((users[1:] == users[:-1]) & (starts[1:] >= starts[:-1]))).all())


def _merged(users: IntArray, starts: IntArray, ends: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Make one of slots that touch or overlap; the slots come sorted by user and start."""
    same = users[1:] == users[:-1]
    if (same & (starts[1:] < ends[:-1])).any():
        ends = _latest_so_far(users, ends)
    apart = ~same | (starts[1:] > ends[:-1])
    first = np.concatenate(([True], apart))[: len(users)]
    last = np.concatenate((apart, [True]))[: len(users)]
    return users[first], starts[first], ends[last]


def _latest_so_far(users: IntArray, ends: IntArray) -> IntArray:
    """Return the running maximum of ``ends`` within each user; on ranks, so that the sums cannot overflow."""
    values, ranks = np.unique(ends, return_inverse=True)
    base = users * len(values)
    return np.asarray(values[np.maximum.accumulate(base + ranks) - base], np.int64)
