"""How fast raw files become a store, and how much memory that takes: generated files in the layouts of their owners.

Media and texts are also imported on one core and on two, in turns: several processes decode them.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.children import environment
from benchmarks.memory import Footprint, watch
from benchmarks.rawfiles import GENERATORS
from fedscale.data.store import open_store

Case = tuple[str, int, int]
"""What is imported: raw files, their rows, their clients."""

CASES: Final[tuple[Case, ...]] = (
    ("taobao", 1_000_000, 200_000),
    ("taobao", 5_000_000, 200_000),
    ("taxi", 200_000, 442),
    ("own CSV", 1_000_000, 200_000),
    ("own CSV", 5_000_000, 200_000),
)

DECODED: Final[tuple[Case, ...]] = (
    ("inaturalist", 6_000, 600),
    ("speech_commands", 25_000, 1_000),
    ("blog", 80_000, 2_000),
)
"""Cases whose rows are work: photographs, recordings, texts."""


def measure(case: Case, folder: Path) -> tuple[float, Footprint, float]:
    """Import generated raw files in a process of its own.

    Returns:
        rows a second, the most memory that it took, and the median of the seconds to open the store.
    """
    raw, store = generated(case, folder)
    child = _begun(case, raw, store)
    most = watch(child)
    return case[1] / _seconds(child), most, statistics.median(_opened(store) for _ in range(9))


def in_turns(case: Case, repeats: int, folder: Path) -> tuple[float, float, list[float]]:
    """Import on two cores and on one, in turns, and on the other first every other time.

    Returns:
        the median of rows a second on two cores and on one, and the ratio of each pair.
    """
    raw, _ = generated(case, folder)
    rates: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(repeats):
        for cores in (2, 1) if turn % 2 else (1, 2):
            child = _begun(case, raw, folder / f"{raw.name}-{turn}-{cores}", cores)
            child.wait()
            rates[cores].append(case[1] / _seconds(child))
    ratios = [two / one for two, one in zip(rates[2], rates[1], strict=True)]
    return statistics.median(rates[2]), statistics.median(rates[1]), ratios


def generated(case: Case, folder: Path) -> tuple[Path, Path]:
    """Return a folder with the raw files of a case, which are written once, and where their store may be."""
    name, rows, clients = case
    raw = folder / f"{name.replace(' ', '-')}-{rows}"
    if not raw.exists():
        raw.mkdir()
        GENERATORS[name](raw, rows, clients)
    return raw, folder / f"{raw.name}-store"


def _begun(case: Case, raw: Path, store: Path, cores: int | None = None) -> subprocess.Popen[bytes]:
    """Begin an import, on so many cores: as many as a user's process has by ``taskset``."""
    command = [sys.executable, "-m", "benchmarks.oneimport", case[0], str(raw), str(store)]
    usable: Sequence[int] = sorted(os.sched_getaffinity(0))
    bound = partial(os.sched_setaffinity, 0, usable[:cores])
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, preexec_fn=bound)


def _seconds(child: subprocess.Popen[bytes]) -> float:
    assert child.stdout is not None
    with child.stdout as told:
        return float(told.read())


def _opened(store: Path) -> float:
    begin = time.perf_counter()
    dataset = open_store(store)
    dataset.client(len(dataset) // 2)
    return time.perf_counter() - begin
