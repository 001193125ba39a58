"""How much memory a run takes: whole processes, watched from outside, and its growth over many rounds.

The memory of a process tree is the sum of its processes' proportional set sizes: a page that n of them share counts 1/n
in each. Pages mapped from files (the data set, libraries) are counted apart: the system can take them back at any time.
"""

from __future__ import annotations

import contextlib
import gc
import json
import math
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from benchmarks import stores
from benchmarks.children import environment
from fedscale import Job, simulate
from fedscale.simulation.progress import Progress, Silent

INTERVAL: Final = 0.05
"""Seconds between two looks at a process tree."""


@dataclass(frozen=True)
class Footprint:
    """Bytes of a process tree: all, and those that are not mapped from files."""

    whole: int
    own: int

    def __or__(self, other: Footprint) -> Footprint:
        return Footprint(max(self.whole, other.whole), max(self.own, other.own))


def footprint(process: psutil.Process) -> Footprint:
    """Return what a process and all below it take at the moment (Linux)."""
    whole = own = 0
    for member in [process, *process.children(recursive=True)]:
        with contextlib.suppress(OSError, psutil.Error):  # it has just ended
            text = Path(f"/proc/{member.pid}/smaps_rollup").read_text()
            fields = dict(line.split(":", 1) for line in text.splitlines()[1:])
            sizes = {name: int(value.split()[0]) * 1024 for name, value in fields.items()}
            whole += sizes["Pss"]
            own += sizes["Pss_Anon"] + sizes["Pss_Shmem"]
    return Footprint(whole, own)


def peak(model: str, participants: int, workers: int, rounds: int = 2, folder: Path | None = None) -> Footprint:
    """Return the most that a run takes, of ``participants`` clients a round with 5 images each, one step a client."""
    with tempfile.TemporaryDirectory() as temporary:
        clients = math.ceil(1.3 * participants) + 1
        store = stores.images(folder or Path(temporary), clients, samples=5, shape=(28, 28), classes=62)
        values = {
            "data": {"name": str(store), "split": {"train": 1.0, "validation": 0.0, "test": 0.0}},
            "model": model,
            "local": {"steps": 1, "batch_size": 5, "lr": 0.01},
            "rounds": {"participants": participants, "count": rounds, "over_commitment": 1.3},
            "availability": "off",
        }
        command = [sys.executable, "-m", "benchmarks.memory", json.dumps(values), f"{temporary}/run", str(workers)]
        return watch(subprocess.Popen(command, env=environment()))


def watch(child: subprocess.Popen[bytes]) -> Footprint:
    """Return the highest footprint of a process tree until it ends."""
    most = Footprint(0, 0)
    ended = threading.Event()

    def look() -> None:
        nonlocal most
        process = psutil.Process(child.pid)
        while not ended.wait(INTERVAL):
            with contextlib.suppress(psutil.Error):
                most = most | footprint(process)

    watcher = threading.Thread(target=look)
    watcher.start()
    status = child.wait()
    ended.set()
    watcher.join()
    if status:
        raise subprocess.CalledProcessError(status, child.args)
    return most


@dataclass
class Growth(Silent):
    """Notes this process's memory after every round."""

    own: list[int] = field(default_factory=list)

    def attempt(self, progress: Progress) -> None:
        """Note it."""
        gc.collect()
        self.own.append(footprint(psutil.Process()).own)


def growth(rounds: int) -> tuple[float, float, float]:
    """Return mean bytes over the last and over the first tenth of the rounds of a tiny model, and bytes per round."""
    job = Job.parse(
        {
            "data": {"name": "synthetic", "clients": 50, "samples": 10},
            "local": {"steps": 1, "batch_size": 4},
            "rounds": {"participants": 5, "count": rounds + 5},
            "evaluate": {"every": 50},
        }
    )
    watch = Growth()
    with tempfile.TemporaryDirectory() as folder:
        simulate(job, Path(folder) / "run", workers=1, observer=watch)
    counted = watch.own[-rounds:]  # the first ones load and warm up
    tenth = rounds // 10
    first, last = sum(counted[:tenth]) / tenth, sum(counted[-tenth:]) / tenth
    return last, first, (last - first) / (rounds - tenth)


if __name__ == "__main__":
    simulate(Job.parse(json.loads(sys.argv[1])), sys.argv[2], workers=int(sys.argv[3]))
