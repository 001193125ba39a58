"""How long a population of many clients takes to answer what a round asks of it."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from fedscale import load_dataset, seeds
from fedscale.data.store import open_store
from fedscale.job import AvailabilityConf, DevicesConf
from fedscale.select.base import Moment
from fedscale.select.uniform import Uniform
from fedscale.traces.population import build_population
from fedscale.units import MICROS

HOUR = 3600 * MICROS


def measure(clients: int) -> Iterator[tuple[str, float]]:
    """Yield questions and median seconds to answer them, at times that are hours apart."""
    begin = time.perf_counter()
    population = build_population(clients, DevicesConf(), AvailabilityConf(), 1)
    yield "build the built-in population", time.perf_counter() - begin
    everyone = np.arange(clients)
    cohort = seeds.rng(1, "benchmark").choice(everyone, min(1300, clients), replace=False)
    online = np.flatnonzero(population.online(0))
    yield "who is online?", _median(lambda n: population.online(n * HOUR))
    yield f"until when are these {len(cohort):,} online?", _median(lambda n: population.until(n * HOUR, cohort))
    yield "when is the next arrival?", _median(lambda n: population.next_arrival(n * HOUR, everyone))
    uniform = Uniform()
    yield (
        f"choose {len(cohort):,} of those online",
        _median(lambda n: uniform.select(online, len(cohort), Moment(0.0, n, seeds.rng(1, "select", n)))),
    )


def measure_store(clients: int) -> Iterator[tuple[str, float]]:
    """Yield the times to open a data set of ``clients`` clients with 5 samples each, and to reach some of them."""
    with tempfile.TemporaryDirectory() as folder:
        path = load_dataset("synthetic", cache=Path(folder), clients=clients, samples=5.0, shape=(4,)).path
        yield "open a data set", _median(lambda _: open_store(path))
        dataset = open_store(path)
        chosen = seeds.rng(1, "benchmark").integers(0, clients, 10_000).tolist()
        yield "reach 10,000 clients' samples", _median(lambda _: [dataset.client(client) for client in chosen])


def _median(ask: Callable[[int], object]) -> float:
    seconds = []
    for number in range(7):
        begin = time.perf_counter()
        ask(number)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)
