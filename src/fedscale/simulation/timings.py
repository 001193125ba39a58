"""Real time, kept apart from the log: ``timings.jsonl``, one line per attempt."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedscale.files import writing


class Timings:
    """Stop-watches of one session of a run, and an estimate of the time left."""

    def __init__(self, path: Path, workers: int) -> None:
        self._path = path
        self._workers = workers
        self._first_version: int | None = None
        self._began = time.monotonic()
        self._parts: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time one part of an attempt (``select``, ``train``, ``aggregate``, ``evaluate``, ``checkpoint``)."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._parts[name] = self._parts.get(name, 0.0) + time.perf_counter() - begin

    def worked(self, seconds: float) -> None:
        """Note what several workers took for training, together: less than ``workers`` × ``train`` where some idled."""
        if seconds:
            self._parts["worked"] = round(self._parts.get("worked", 0.0) + seconds, 6)

    def write(self, attempt: int, version: int) -> None:
        """Append the line of one attempt."""
        parts = {name: round(seconds, 6) for name, seconds in self._parts.items()}
        elapsed = round(time.monotonic() - self._began, 6)
        line = {"attempt": attempt, "version": version, "workers": self._workers, "elapsed": elapsed, **parts}
        with writing(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._parts = {}

    def left(self, version: int, rounds: int) -> float | None:
        """Estimate the real seconds that the remaining rounds take, from the pace since the first call."""
        if self._first_version is None:
            self._first_version, self._first_time = version, time.monotonic()
        done = version - self._first_version
        return (time.monotonic() - self._first_time) / done * (rounds - version) if done else None
