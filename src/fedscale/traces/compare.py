"""Figures of devices and slots beside those of FedScale's published files, and how near each must come.

The tolerances are a claim about the built-in population: a test holds it to them, ``fedscale traces info`` shows them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from fedscale.traces import published
from fedscale.traces.arrays import FloatArray, IntArray
from fedscale.traces.availability import Availability
from fedscale.traces.devices import Devices
from fedscale.units import MICROS

HOUR: Final = 3_600 * MICROS
DAYS_ASKED: Final = 2
"""Days over which online users are counted by hour."""

SHOWN: Final = (0, 0.01, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99, 1)
"""Quantiles of devices that are compared."""

TIGHT: Final = 1.05
NEAR: Final = 1.15
LOOSE: Final = 2.5
"""Factors that the built-in population may be off by: in means, in quantiles, and in what few users decide."""


@dataclass(frozen=True)
class Fact:
    """One figure.

    Attributes:
        name: what it is.
        published: of the published file.
        here: of the tables at hand.
        allowed: from where to where it may lie in the built-in population; None: known not to match.
    """

    name: str
    published: float
    here: float
    allowed: tuple[float, float] | None

    @property
    def within(self) -> bool:
        """Say whether the figure lies where it may."""
        return self.allowed is not None and self.allowed[0] <= self.here <= self.allowed[1]


def _fact(name: str, known: float, here: float, factor: float | None) -> Fact:
    return Fact(name, known, float(here), None if factor is None else (known / factor, known * factor))


def device_facts(devices: Devices) -> list[Fact]:
    """Return figures of compute and bandwidth (downloads, where the directions differ)."""
    compute, links = devices.ms_per_sample, devices.down_kbps
    return [
        *_device_quantiles("ms per sample", compute, published.MS_PER_SAMPLE),
        _fact("ms per sample, mean", published.MEAN_MS_PER_SAMPLE, compute.mean(), TIGHT),
        _fact("share of devices up to 100 ms", 0.64, (compute <= 100).mean(), TIGHT),
        *_device_quantiles("kbps", links, published.KBPS),
        _fact("kbps, mean", published.MEAN_KBPS, links.mean(), TIGHT),
        _fact("ln kbps, mean", published.LOG_KBPS[0], np.log(links).mean(), TIGHT),
        _fact("ln kbps, standard deviation", published.LOG_KBPS[1], np.log(links).std(), TIGHT),
        Fact("rank correlation of both", published.RANK_CORRELATION, _rank_correlation(compute, links), (-0.05, 0.05)),
    ]


def availability_facts(availability: Availability) -> list[Fact]:
    """Return figures of slots, of the most available users among them, and of the hours of the day."""
    online = online_seconds(availability)
    slots = np.diff(availability.offsets)
    periods = availability.periods / MICROS
    return [
        _fact("slots per user, mean", published.SLOTS_PER_USER, slots.mean(), TIGHT),
        *_range("online seconds", online, published.ONLINE_SECONDS, (TIGHT, TIGHT, 2)),
        *_ranks_online(online),
        *_range("period, seconds", periods, published.PERIOD_SECONDS, (TIGHT, TIGHT, TIGHT)),
        _fact("online share, mean", published.ONLINE_SHARE, (online / periods).mean(), TIGHT),
        *_top(availability, online),
        *_day(availability),
    ]


def online_seconds(availability: Availability) -> FloatArray:
    """Return for each user the seconds of a period that it is online."""
    total = np.append(0, np.cumsum(availability.ends - availability.starts))
    return np.asarray(np.diff(total[availability.offsets]) / MICROS, np.float64)


def slot_seconds(availability: Availability) -> FloatArray:
    """Return the length of every slot."""
    return np.asarray((availability.ends - availability.starts) / MICROS, np.float64)


def hourly(availability: Availability) -> FloatArray:
    """Return online users at half past each hour of the day, relative to the day's mean: float64 (24,)."""
    times = (np.arange(DAYS_ASKED * 24) + 0.5) * HOUR
    counts = np.array([availability.online(int(time)).sum() for time in times]).reshape(DAYS_ASKED, 24).mean(0)
    return np.asarray(counts / max(counts.mean(), 1 / 24), np.float64)


def _device_quantiles(name: str, values: FloatArray, known: tuple[float, ...]) -> list[Fact]:
    at = dict(zip(published.SHARES, known, strict=True))
    return _quantiles(name, values, SHOWN, [at[share] for share in SHOWN], [NEAR] * len(SHOWN))


def _quantiles(
    name: str,
    values: FloatArray,
    shares: Sequence[float],
    known: Sequence[float],
    factors: Sequence[float | None],
) -> list[Fact]:
    found = np.quantile(values, shares) if len(values) else np.full(len(shares), np.nan)
    return [
        _fact(f"{name}, {_QUANTILES.get(share) or f'p{100 * share:g}'}", figure, here, factor)
        for share, figure, here, factor in zip(shares, known, found, factors, strict=True)
    ]


_QUANTILES: Final[dict[float, str]] = {0: "least", 1: "most"}


def _range(
    name: str, values: FloatArray, known: tuple[float, float, float], factors: tuple[float | None, ...]
) -> Iterator[Fact]:
    found = (values.min(), values.mean(), values.max())
    for of, figure, here, factor in zip(("least", "mean", "most"), known, found, factors, strict=True):
        yield _fact(f"{name}, {of}", figure, here, factor)


def _ranks_online(online: FloatArray) -> Iterator[Fact]:
    """Compare at the same share of users, since tables differ in size."""
    for rank, figure in published.ONLINE_SECONDS_AT_RANK.items():
        here = np.quantile(online, 1 - rank / published.USERS)
        yield _fact(f"online seconds, rank {rank}", figure, float(here), NEAR if rank > 10 else 1.3)


def _top(availability: Availability, online: FloatArray) -> Iterator[Fact]:
    top = np.argsort(-online, kind="stable")[: published.TOP_USERS]
    slots, weeks = np.diff(availability.offsets)[top], availability.periods[top] / (7 * 24 * HOUR)
    rows = [slice(*availability.offsets[[user, user + 1]]) for user in top]
    length = slot_seconds(availability)
    lengths = np.concatenate([length[row] for row in rows])
    gaps = np.concatenate([_gaps(availability.starts[row], availability.ends[row]) for row in rows])
    loose = [LOOSE] * len(published.TOP_SHARES)
    shares = published.TOP_SHARES
    yield from _quantiles("top 100, slot seconds", lengths, shares, published.TOP_SLOT_SECONDS, loose)
    yield from _quantiles(
        "top 100, gap seconds", gaps, shares[1:], published.TOP_GAP_SECONDS[1:], (LOOSE, LOOSE, None, LOOSE)
    )
    yield from _quantiles(
        "top 100, slots a week", slots / weeks, shares, published.TOP_SLOTS_PER_WEEK, (None, *loose[1:])
    )


def _gaps(starts: IntArray, ends: IntArray) -> FloatArray:
    return np.asarray((starts[1:] - ends[:-1]) / MICROS, np.float64)


def _day(availability: Availability) -> Iterator[Fact]:
    known, found = published.day_curve(), hourly(availability)
    yield Fact("fullest hour of the day", int(known.argmax()), int(found.argmax()), (3, 5))
    yield Fact("emptiest hour of the day", int(known.argmin()), int(found.argmin()), (12, 15))
    yield _fact("users at the fullest hour, relative", known.max(), found.max(), TIGHT)
    yield _fact("users at the emptiest hour, relative", known.min(), found.min(), TIGHT)
    yield Fact("hours of the day, largest distance", 0.0, float(abs(found - known).max()), (0.0, 0.1))


def _rank_correlation(one: FloatArray, other: FloatArray) -> float:
    """Return Spearman's coefficient, up to the order of ties; 0 where a column does not vary."""
    if one.min() == one.max() or other.min() == other.max():
        return 0.0
    return float(np.corrcoef(_ranks(one), _ranks(other))[0, 1])


def _ranks(values: FloatArray) -> IntArray:
    ranks = np.empty(len(values), np.int64)
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return ranks
