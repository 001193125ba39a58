"""How long a population of many clients takes to answer what a round asks of it, and how much memory that takes."""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from fedscale import load_dataset, seeds
from fedscale.core.client_manager import ClientManager, participants
from fedscale.data.store import open_store
from fedscale.job import AvailabilityConf, DevicesConf, LocalConf
from fedscale.outcomes import Fate, Outcome
from fedscale.select import SELECTORS
from fedscale.simulation.loads import Load
from fedscale.simulation.outlook import TraceOutlook
from fedscale.simulation.pricing import Pricer
from fedscale.traces.arrays import IntArray
from fedscale.traces.availability import Availability
from fedscale.traces.builtin import builtin_devices
from fedscale.traces.population import Population, build_population
from fedscale.units import MICROS

MINUTE, HOUR, DAY = 60 * MICROS, 3600 * MICROS, 86_400 * MICROS
COHORT = 1300
DEADLINE = 600.0
LOADS = {(1.0, 0): Load(250_000, 1.0, 1_000_000, 1_000_000)}
SLOTS = 6
"""Slots of each client that has its own."""


def measure(clients: int) -> Iterator[tuple[str, float]]:
    """Yield questions to the built-in population, whose clients share rows, and median seconds to answer them."""
    begin = time.perf_counter()
    population = build_population(clients, DevicesConf(), AvailabilityConf(), 1)
    yield "build the built-in population", time.perf_counter() - begin
    everyone = np.arange(clients)
    cohort = seeds.rng(1, "benchmark").choice(everyone, min(COHORT, clients), replace=False)
    yield "who is online? (without memory)", _median(lambda n: population.online(n * HOUR))
    yield from _mask(population, everyone)
    yield f"until when are these {len(cohort):,} online?", _median(lambda n: population.until(n * HOUR, cohort))
    yield "when is the next arrival?", _median(lambda n: population.next_arrival(n * HOUR, everyone))
    for selector in SELECTORS.names():
        yield f"a round's questions, {len(cohort):,} by {selector}", _round(population, selector, len(cohort))


def measure_own_slots(clients: int) -> Iterator[tuple[str, float]]:
    """Yield questions to a population in which every client has six slots of its own, and median seconds."""
    population = own_slots(clients)
    cohort = min(COHORT, clients)
    yield "own slots: who is online? (without memory)", _median(lambda n: population.online(n * HOUR))
    for question, seconds in _mask(population, np.arange(clients)):
        yield f"own slots: {question}", seconds
    for selector in SELECTORS.names():
        yield f"own slots: a round's questions, {cohort:,} by {selector}", _round(population, selector, cohort)


def own_slots(clients: int) -> Population:
    """Return clients with periods of 1 to 15 days and slots of their own, each a twentieth of the period at most."""
    rng = seeds.rng(1, "benchmark", "slots")
    periods = rng.integers(1, 16, clients) * DAY
    users = np.repeat(np.arange(clients), SLOTS)
    starts = (rng.random(len(users)) * periods[users]).astype(np.int64) // MICROS * MICROS
    lengths = (rng.random(len(users)) * periods[users] / 20).astype(np.int64) // MICROS * MICROS
    slots = Availability.from_slots(users, starts, np.minimum(starts + lengths, periods[users]), periods)
    everyone = np.arange(clients)
    devices = builtin_devices(min(clients, 100_000), 1)
    return Population(devices, everyone % len(devices), slots, everyone)


def peak_bytes() -> int:
    """Return the most memory that this process has had so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _mask(population: Population, clients: IntArray) -> Iterator[tuple[str, float]]:
    begin = time.perf_counter()
    online = population.among(clients)
    yield "remember who is online: build", time.perf_counter() - begin
    for name, step in (("a minute", MINUTE), ("an hour", HOUR)):
        online(DAY)
        yield f"who is online {name} later?", _median(lambda n, step=step: online(DAY + (n + 1) * step))
    yield "who is online at any other time?", _median(lambda n: online((n * 37 % 11) * 29 * HOUR + n * MINUTE))


def _round(population: Population, selector: str, count: int) -> float:
    """Return median seconds for all that a round asks: online, select, speeds, until; ten minutes apart.

    What a selector asks about everybody, once, is not in it.
    """
    everyone = np.arange(len(population))
    outlook = TraceOutlook(
        population, Pricer(population, 1 + everyone % 300, LocalConf(), lambda processed, _: 3.0 * processed, LOADS)
    )
    built = SELECTORS.build(selector, outlook=outlook, round_deadline=DEADLINE)
    manager = ClientManager(population, everyone, built, 1)
    feedbacks: list[Outcome] = []

    def ask(number: int) -> None:
        now = DAY + number * 10 * MINUTE
        chosen = np.array(participants(manager, count, now / MICROS, feedbacks))
        compute, _, _ = population.speeds(chosen)
        population.until(now, chosen)
        feedbacks[:] = [
            _completed(client, now / MICROS, cost)
            for client, cost in zip(chosen.tolist(), compute.tolist(), strict=True)
        ]

    ask(0)
    return _median(lambda n: ask(n + 1))


def _completed(client: int, start: float, cost: float) -> Outcome:
    return Outcome(0, client, 0, Fate.COMPLETED, start, start + cost, cost, 100, 1 + client % 7)


def measure_store(clients: int) -> Iterator[tuple[str, float]]:
    """Yield the times to open data sets of ``clients`` clients with few and with many samples, and to reach some."""
    chosen = seeds.rng(1, "benchmark").integers(0, clients, 10_000).tolist()
    for samples in (5.0, 56.0):
        with tempfile.TemporaryDirectory() as folder:
            path = load_dataset("synthetic", cache=Path(folder), clients=clients, samples=samples, shape=(1,)).path
            dataset = open_store(path)
            what = f"{dataset.counts.sum() / 1e6:,.0f} million samples"
            yield f"open a data set of {what}", _median(lambda _, path=path: open_store(path))
            yield (
                f"reach 10,000 clients of {what}",
                _median(lambda _, dataset=dataset: [dataset.client(client) for client in chosen]),
            )


def _median(ask: Callable[[int], object]) -> float:
    seconds = []
    for number in range(7):
        begin = time.perf_counter()
        ask(number)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)
