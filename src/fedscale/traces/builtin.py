"""The built-in population: devices and slots drawn from generators calibrated on the published traces' facts.

It is the default, since nobody can be asked to download the published files first. What it matches, and what it
cannot, is printed by ``fedscale traces info`` and explained in ``docs/traces.md``.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from fedscale import seeds
from fedscale.traces import published
from fedscale.traces.arrays import FloatArray, IntArray
from fedscale.traces.availability import Availability
from fedscale.traces.devices import Devices
from fedscale.units import MICROS

DAY: Final = 86_400

# Constants that the facts do not give directly; fitted so that `fedscale traces info` shows what it shows.
DAYS_WEIGHTS: Final = (100, 180, 600, 3870, 3950, 1060, 120, 55, 12, 6, 2, 1, 0.6, 0.4, 0.4)
"""How often a period is 1, 2, ... 15 days: mean 4.55, and so that the most available users have mostly 6 to 8."""
SHARE_SHAPE: Final = 1.25
"""First parameter of the beta distribution of a user's online share; the second follows from its mean."""
RARE: Final = 0.02
"""Share of users who are hardly ever online: for seconds to hours, log-uniformly."""
RARE_DECADES: Final = 5
SLOTS_PER_DAY: Final = 4.95
SLOTS_SIGMA: Final = 1.05
SLOTS_PER_SHARE: Final = 0.4
"""Slots per day grow with the online share to this power."""
SLOTS_MOST: Final = 1_000
SLOTS_PER_CHARGE: Final = 5
"""Slots come in bunches: a phone is put on its charger, and the link or the screen interrupts it."""
BUNCH_SECONDS: Final = (200.0, 2.8)
"""Median and log-sd of the time from the start of a charge to that of one of its slots."""
GAP_SECONDS: Final = (9.0, 4.0)
"""Median and log-sd of the gap that a slot leaves before the next one, when it would otherwise run into it."""
LENGTH_SIGMA: Final = 1.5
"""Log-sd of the weights by which a user's online seconds are shared among its slots."""
CHARGE_HOURS: Final = (
    *(2.2, 2.5, 2.7, 2.6, 2.0, 1.2, 0.25, 0.05, 0.05, 0.05, 0.05, 0.05),
    *(0.05, 0.1, 0.5, 0.9, 1.3, 1.3, 0.7, 0.05, 0.3, 1.1, 1.9, 2.2),
)
"""How often charges start in each hour of the day; fitted so that online users follow the published curve."""


def builtin_devices(count: int, seed: int) -> Devices:
    """Draw ``count`` devices: compute and bandwidth by their published quantiles, independent of each other (§3.2)."""
    rng = seeds.rng(seed, "builtin", "devices")
    ms_per_sample = np.interp(rng.random(count), published.SHARES, published.MS_PER_SAMPLE)
    links = np.exp(np.interp(rng.random(count), published.SHARES, np.log(published.KBPS)))
    return Devices(np.rint(ms_per_sample), links, links)


def builtin_availability(count: int, seed: int) -> Availability:
    """Draw the slots of ``count`` users, in whole seconds and with periods of whole days."""
    rng = seeds.rng(seed, "builtin", "availability")
    weights = np.array(DAYS_WEIGHTS)
    days = rng.choice(len(weights), count, p=weights / weights.sum()) + 1
    share = _online_shares(rng, count)
    online = np.maximum(1, share * days * DAY)
    slots = _slot_counts(rng, days, share, online)
    users, starts = _slot_starts(rng, days, slots)
    ends = _slot_ends(rng, users, starts, days * DAY, online)
    return _wrapped(users, starts, ends, days * DAY)


def _online_shares(rng: np.random.Generator, count: int) -> FloatArray:
    shrink = (1 - 10.0**-RARE_DECADES) / (RARE_DECADES * np.log(10))  # mean of the factor below
    mean = published.ONLINE_SHARE / (1 - RARE * (1 - shrink))
    share = rng.beta(SHARE_SHAPE, SHARE_SHAPE * (1 / mean - 1), count)
    rare = rng.random(count) < RARE
    return np.asarray(np.where(rare, share * 10 ** (-RARE_DECADES * rng.random(count)), share))


def _slot_counts(rng: np.random.Generator, days: IntArray, share: FloatArray, online: FloatArray) -> IntArray:
    per_day = SLOTS_PER_DAY * (share / published.ONLINE_SHARE) ** SLOTS_PER_SHARE
    spread = rng.lognormal(-(SLOTS_SIGMA**2) / 2, SLOTS_SIGMA, len(days))
    slots = np.clip(np.ceil(days * per_day * spread), 1, SLOTS_MOST)
    return np.asarray(np.minimum(slots, np.floor(online)), np.int64)  # no slot is shorter than a second


def _slot_starts(rng: np.random.Generator, days: IntArray, slots: IntArray) -> tuple[IntArray, IntArray]:
    """Place slots, in bunches around the starts of charges; return user and start second of each, sorted."""
    charges = -(-slots // SLOTS_PER_CHARGE)
    charged = np.repeat(days, charges)
    begin = np.floor(rng.random(len(charged)) * charged) * DAY + _seconds_of_day(rng, len(charged))
    users = np.repeat(np.arange(len(days)), slots)
    first_charge = np.cumsum(charges) - charges
    charge = first_charge[users] + (rng.random(len(users)) * charges[users]).astype(np.int64)
    median, sigma = BUNCH_SECONDS
    after = rng.lognormal(np.log(median), sigma, len(users))
    starts = (begin[charge] + after).astype(np.int64) % (days * DAY)[users]
    longest = len(DAYS_WEIGHTS) * DAY
    keys = np.sort(users * longest + starts)
    keys = keys[np.append(True, keys[1:] > keys[:-1])]  # two slots cannot start in the same second
    return keys // longest, keys % longest


def _seconds_of_day(rng: np.random.Generator, count: int) -> FloatArray:
    hours = np.array(CHARGE_HOURS)
    hour = rng.choice(len(hours), count, p=hours / hours.sum())
    return np.asarray((hour + rng.random(count)) * 3600)


def _slot_ends(
    rng: np.random.Generator, users: IntArray, starts: IntArray, periods: IntArray, online: FloatArray
) -> IntArray:
    """Share each user's ``online`` seconds among its slots by random weights; none may run into the next one.

    Lengths are ``min(c × weight, room)``. The level c of each user is found by Newton's method, which, started from
    below on a concave, piecewise linear function, only ever moves up and meets the root after a few steps.
    """
    first = np.searchsorted(users, np.arange(len(periods)))
    room = _room(rng, users, starts, first, periods)
    weights = rng.lognormal(0, LENGTH_SIGMA, len(users))
    level = online / np.add.reduceat(weights, first)
    slots = np.diff(first, append=len(users))
    for _ in range(8):
        wanted = np.repeat(level, slots) * weights
        missing = online - np.add.reduceat(np.minimum(wanted, room), first)
        slope = np.add.reduceat(np.where(wanted < room, weights, 0), first)
        level += np.divide(missing, slope, out=np.zeros_like(level), where=slope > 0)
    lengths = np.rint(np.minimum(np.repeat(level, slots) * weights, room))
    return starts + np.maximum(1, lengths).astype(np.int64)


def _room(
    rng: np.random.Generator, users: IntArray, starts: IntArray, first: IntArray, periods: IntArray
) -> FloatArray:
    """Return how long each slot may last: to the next start (around the end of the period), less a gap."""
    following = np.append(starts[1:], 0)
    last = np.append(first[1:], len(users)) - 1
    following[last] = periods + starts[first]
    distance = following - starts
    median, sigma = GAP_SECONDS
    gap = np.minimum(1 + rng.lognormal(np.log(median), sigma, len(users)), distance / 2)
    return np.asarray(np.maximum(1, np.rint(distance - gap)), np.float64)


def _wrapped(users: IntArray, starts: IntArray, ends: IntArray, periods: IntArray) -> Availability:
    """Cut in two the slots that run over the end of the period: the rest goes to its beginning."""
    over = np.flatnonzero(ends > periods[users])
    rest = ends[over] - periods[users[over]]
    ends[over] = periods[users[over]]
    row = np.searchsorted(users, users[over])  # where the user's slots begin
    users, starts, ends = np.insert(users, row, users[over]), np.insert(starts, row, 0), np.insert(ends, row, rest)
    return Availability.from_slots(users, starts * MICROS, ends * MICROS, periods * MICROS)
