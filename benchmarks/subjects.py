"""The subjects that are measured: for each a title, headings, and its rows, in full or in quick sizes."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

from benchmarks import idle, imports, memory, queries, rounds, scaling, startup, team
from fedscale.errors import FedScaleError
from fedscale.learn.models import MODELS
from fedscale.units import human_bytes

Row = tuple[str, str, str, str]
"""What was measured, its figure, the reference's, and their ratio."""

CASES: Final = {
    "mlp": (1000, 15),
    "logistic_regression": (1000, 15),
    "femnist_cnn": (100, 3),
    "char_lstm": (20, 3),
    "resnet18": (4, 5),
    "mobilenet_v2": (20, 5),
}
"""Models that are timed, with the clients of a round and the pairs of rounds."""

VISION: Final = {"resnet18", "mobilenet_v2"}
"""Those that need torchvision."""

QUICK: Final = {"mlp": (50, 2), "char_lstm": (1, 2)}

SPEEDUP: Final = {"mlp": (1000, 8), "femnist_cnn": (100, 1), "char_lstm": (20, 2)}
"""Models whose gain from a second process is measured, with the clients of a round and the rounds of a run."""


@dataclass(frozen=True)
class Place:
    """Where plots go, and where data stay while benchmarks run."""

    out: Path
    data: Path


@dataclass(frozen=True)
class Subject:
    """A table: its title, its headings, and what yields its rows."""

    title: str
    headings: Row
    rows: Callable[[bool, Place], Iterator[Row]]


def _rounds(quick: bool, place: Place) -> Iterator[Row]:
    for model, (clients, pairs) in (QUICK if quick else CASES).items():
        if model in VISION and not _vision_works():
            yield f"{model}: needs torchvision", "", "", ""
            continue
        for stored, workers in product((False, True) if model in team.LOOPS else (False,), (1, 2)):
            ours, bare, ratios = rounds.measure(model, clients, pairs, workers, place.data, stored=stored)
            loop = " (gradients stored)" if stored else ""
            what = f"{model}{loop}, {clients:,} clients, {_processes(workers)}"
            yield what, f"{ours:.3f} s", f"{bare:.3f} s", _ratio(ratios)


def _speedup(quick: bool, place: Place) -> Iterator[Row]:
    for model, (clients, number) in (QUICK if quick else SPEEDUP).items():
        sides = rounds.speedup(model, clients, number, place.data, 1 if quick else 2)
        for side, name in zip(sides, ("FedScale", "the bare loop"), strict=True):
            two, one = (f"{side.median(processes):.3f} s" for processes in (2, 1))
            yield f"{model}, {clients:,} clients, {name}", two, one, _ratio(side.ratios)


def _idle(quick: bool, place: Place) -> Iterator[Row]:
    clients, repeats = (100, 2) if quick else (1000, 5)
    for engine in ("vectorised", "plain"):
        found = idle.shares(engine, clients, repeats, 2, place.data)
        yield f"mlp by the {engine} engine, {clients:,} clients", idle.summary(found), "", ""


def _vision_works() -> bool:
    try:
        MODELS.build("resnet18", {}, sample_shape=(3, 32, 32), classes=10)
    except FedScaleError:
        return False
    return True


def _memory(quick: bool, place: Place) -> Iterator[Row]:
    cases = {"mlp": (20, 200, 2)} if quick else {"mlp": (100, 10_000, 2), "femnist_cnn": (100, 10_000, 1)}
    for model, (few, many, number) in cases.items():
        small, large = (memory.peak(model, clients, 2, number, place.data) for clients in (few, many))
        what = f"{model}: {many:,} clients a round against {few:,}"
        yield f"{what}, all", *_sizes(large.whole, small.whole)
        yield f"{what}, without mapped files", *_sizes(large.own, small.own)
    last, first, slope = memory.growth(number := 100 if quick else 1000)
    what = f"the last tenth of {number:,} rounds against the first, {slope:,.0f} bytes a round"
    yield what, *_sizes(last, first)


def _sizes(figure: float, reference: float) -> tuple[str, str, str]:
    return human_bytes(figure), human_bytes(reference), f"{figure / reference:.3f}"


def _scaling(quick: bool, place: Place) -> Iterator[Row]:
    numbers = (10, 100) if quick else (10, 100, 1_000, 10_000)
    points = scaling.by_clients(numbers, 3, place.data)
    scaling.plot(points, "A round against its clients", "clients in a round", place.out / "clients.html")
    yield from _points(points, "clients in a round")
    populations = (1_000, 10_000) if quick else (1_000, 10_000, 100_000, 1_000_000, 1_800_000)
    points = scaling.by_population(populations, 3 if quick else 10, place.data)
    title = "A round of 100 clients against the population"
    scaling.plot(points, title, "clients in the population", place.out / "population.html")
    yield from _points(points, "clients in the population")


def _points(points: scaling.Points, what: str) -> Iterator[Row]:
    _, first = points[0]
    for number, seconds in points:
        yield f"{number:,} {what}", f"{seconds * 1e3:.2f} ms", f"{first * 1e3:.2f} ms", f"{seconds / first:.2f}"


def _startup(quick: bool, place: Place) -> Iterator[Row]:
    for workers in (1, 2):
        whole, torch, differences = startup.measure(1 if quick else 5, workers)
        yield (
            f"command to first round, {_processes(workers)}",
            f"{whole:.2f} s",
            f"{torch:.2f} s",
            f"{whole / torch:.2f}",
        )
        yield "the same without the import", f"{statistics.median(differences):.2f} s", "", ""


def _queries(quick: bool, place: Place) -> Iterator[Row]:
    clients = 100_000 if quick else 1_800_000
    for question, seconds in queries.measure(clients):
        yield f"{question} ({clients:,} clients)", f"{seconds * 1e3:.2f} ms", "", ""
    yield "peak memory of this process up to here", human_bytes(queries.peak_bytes()), "", ""
    for question, seconds in queries.measure_store(clients):
        yield f"{question} ({clients:,} clients)", f"{seconds * 1e3:.2f} ms", "", ""
    own = 50_000 if quick else 1_000_000
    for question, seconds in queries.measure_own_slots(own):
        yield f"{question} ({own:,} clients)", f"{seconds * 1e3:.2f} ms", "", ""


def _imports(quick: bool, place: Place) -> Iterator[Row]:
    small = [("taobao", 20_000, 2_000), ("own CSV", 20_000, 2_000)]
    for name, rows, clients in small if quick else imports.CASES:
        rate, most, opening = imports.measure((name, rows, clients), place.data)
        what = f"{name}: {rows:,} rows of {clients:,} clients"
        yield what, f"{rate:,.0f}", human_bytes(most.own), f"{opening * 1e3:.2f} ms"


def _decoding(quick: bool, place: Place) -> Iterator[Row]:
    small = [(name, 60, 6) for name, _, _ in imports.DECODED]
    for name, rows, clients in small if quick else imports.DECODED:
        two, one, ratios = imports.in_turns((name, rows, clients), 1 if quick else 3, place.data)
        yield f"{name}: {rows:,} rows of {clients:,} clients", f"{two:,.1f}", f"{one:,.1f}", _ratio(ratios)


def _coordinator(quick: bool, place: Place) -> Iterator[Row]:
    from benchmarks import coordinator

    for what, value in coordinator.measure(20_000, 2) if quick else coordinator.measure():
        yield what, f"{value:.3g}", "", ""


def _processes(number: int) -> str:
    return "1 process" if number == 1 else f"{number} processes"


def _ratio(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f} … {max(ratios):.3f})"


SUBJECTS: Final = {
    "rounds": Subject(
        "A round by FedScale against the same steps by a bare loop in as many processes",
        ("model", "FedScale", "bare loop", "ratio: median (of pairs)"),
        _rounds,
    ),
    "speedup": Subject(
        "A round by FedScale in two processes against one",
        ("model", "2 processes", "1 process", "speed-up: median (of pairs)"),
        _speedup,
    ),
    "idle": Subject(
        "Two workers' time without work, in rounds of clients of very different sizes",
        ("what", "share: median (of rounds)", "", ""),
        _idle,
    ),
    "memory": Subject(
        "Memory: the peak of a run's processes, and its growth", ("what", "figure", "reference", "ratio"), _memory
    ),
    "scaling": Subject(
        "A round of clients that do nothing, one process", ("what", "median", "the first's", "ratio"), _scaling
    ),
    "startup": Subject("From the command to the first round", ("what", "figure", "import torch", "ratio"), _startup),
    "queries": Subject("Questions to a population and a data set", ("question", "median", "", ""), _queries),
    "imports": Subject("From raw files to a store", ("raw files", "rows a second", "peak memory", "opening"), _imports),
    "decoding": Subject(
        "From raw images, recordings and texts to a store: rows a second on two cores against one",
        ("raw files", "2 cores", "1 core", "ratio: median (of pairs)"),
        _decoding,
    ),
    "coordinator": Subject("The coordinator alone", ("what", "figure", "", ""), _coordinator),
}
