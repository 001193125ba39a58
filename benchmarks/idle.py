"""How long workers wait for each other in a round whose clients differ widely in their work."""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path

from benchmarks import stores
from fedscale import Job, simulate


def shares(engine: str, participants: int, rounds: int, workers: int, folder: Path) -> list[float]:
    """Return the part of the workers' time in which they did not train, for each round after the first.

    Every client makes one pass over its samples: see `stores.skewed` for how many it has. The time of a round's
    training begins with the first request and ends with the last update.
    """
    store = stores.skewed(folder, participants, samples=100)
    job = Job.parse(
        {
            "data": {"name": str(store), "split": {"train": 1.0, "validation": 0.0, "test": 0.0}},
            "model": "mlp",
            "engine": engine,
            "local": {"epochs": 1, "batch_size": 20, "lr": 0.01},
            "rounds": {"participants": participants, "count": rounds + 1, "over_commitment": 1.0},
            "availability": "off",
            "checkpoint_every": 1000,
        }
    )
    with tempfile.TemporaryDirectory() as temporary:
        result = Path(temporary) / "run"
        simulate(job, result, workers=workers)
        lines = [json.loads(line) for line in (result / "timings.jsonl").read_text().splitlines()]
    return [1 - line["worked"] / (workers * line["train"]) for line in lines[1:]]


def summary(found: list[float]) -> str:
    """Return the median and the range of shares."""
    return f"{statistics.median(found):.1%} ({min(found):.1%} … {max(found):.1%})"
