"""Logs to test the report room with: the three clients worked out by hand, and random ones that add up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedscale.job import Job
from fedscale.outcomes import Fate
from fedscale.report.log import LogWriter

Record = dict[str, Any]
PAYLOAD = 125_000
PHASES = ("download", "compute", "upload")
TASK_FIELDS = ("task", "attempt", "version", "client", "fate", "start", "end", *PHASES, "bytes_down", "bytes_up")


def _head(job: Job, clients: int = 3, samples: int = 300) -> list[Record]:
    plain = job.facts()
    split = {"train": clients, "validation": 0, "test": 4, "held_out": 0}
    return [
        {
            "kind": "job",
            "format": 1,
            "digest": job.digest,
            "job": plain,
            "versions": {"fedscale": "0.1.0", "python": "3.11.2", "numpy": "2.0.0", "torch": "2.6.0"},
            "files": {},
        },
        {
            "kind": "population",
            "dataset": "digits",
            "fingerprint": hashlib.blake2b(b"digits", digest_size=16).hexdigest(),
            "task": "classification",
            "metric": "accuracy",
            "model": "mlp",
            "parameters": 31_250,
            "bytes_down": PAYLOAD,
            "bytes_up": PAYLOAD,
            "clients": split,
            "samples": {"train": samples, "validation": 0, "test": 100, "held_out": 0},
            "devices": "csv",
            "availability": "csv",
            "baselines": {"centralised": 0.95, "largest client alone": 0.4},
        },
    ]


class Accounts:
    """Sums up task records into the ledger as it stands in a log (microseconds inside)."""

    def __init__(self) -> None:
        names = ("useful_seconds", "wasted_seconds", "bytes_down", "bytes_up", "wasted_bytes_down", "wasted_bytes_up")
        self.sums = dict.fromkeys(("selected", *(fate.value for fate in Fate), *names), 0)

    def add(self, task: Record) -> None:
        done = task["fate"] == "completed"
        self.sums["selected"] += 1
        self.sums[task["fate"]] += 1
        self.sums["useful_seconds" if done else "wasted_seconds"] += round((task["end"] - task["start"]) * 1e6)
        for way in ("bytes_down", "bytes_up"):
            self.sums[way] += task[way]
            self.sums[f"wasted_{way}"] += 0 if done else task[way]

    def ledger(self) -> Record:
        seconds = {name: self.sums[name] / 1e6 for name in ("useful_seconds", "wasted_seconds")}
        return self.sums | seconds


def three_clients_records() -> list[Record]:
    """Return the log of three clients over four attempts, every figure by hand.

    N = 2, three wanted, payload 125,000 bytes each way, 100 samples per task. A takes 1 + 3 + 1 s and is online in
    [0, 20), B 2 + 15 + 2 s in [0, 18), C 0.5 + 6 + 0.5 s in [0, 7) and again from 300.
    """
    a, b, c, full = 0, 1, 2, PAYLOAD
    job = Job.parse({"name": "three clients", "data": "digits", "rounds": {"participants": 2, "count": 3}})

    def select(attempt: int, version: int, t: float, tasks: list[int], clients: list[int]) -> Record:
        numbers = {"attempt": attempt, "version": version, "t": t, "online": len(clients), "wanted": 3}
        return {"kind": "select", **numbers, "tasks": tasks, "clients": clients}

    def task(*values: Any, **trained: float) -> Record:
        return {"kind": "task", **dict(zip(TASK_FIELDS, values, strict=True)), "samples": 100, **trained}

    def evaluate(version: int, t: float, correct: list[int], loss: list[float]) -> Record:
        metrics = {"accuracy": sum(correct) / 100, "loss": sum(loss) / 100}
        sums = {"correct": correct, "loss": loss}
        where = {"kind": "evaluate", "version": version, "t": t, "split": "test", "clients": [3, 4, 5, 6]}
        return {**where, "count": [10, 20, 30, 40], "sums": sums, "metrics": metrics}

    records = [
        *_head(job),
        select(1, 0, 0.0, [0, 1, 2], [a, b, c]),
        task(0, 1, 0, a, "completed", 0.0, 5.0, 1.0, 3.0, 1.0, full, full, weight=60, loss=2.0),
        task(1, 1, 0, b, "straggler", 0.0, 7.0, 2.0, 5.0, 0.0, full, 0),
        task(2, 1, 0, c, "completed", 0.0, 7.0, 0.5, 6.0, 0.5, full, full, weight=40, loss=1.0),
        {"kind": "commit", "attempt": 1, "version": 1, "t": 7.0, "completed": 2, "loss": 1.6, "lr": 0.04},
        evaluate(1, 7.0, [4, 8, 12, 16], [20.0, 40.0, 60.0, 80.0]),
        select(2, 1, 7.0, [3, 4], [a, b]),
        task(3, 2, 1, a, "completed", 7.0, 12.0, 1.0, 3.0, 1.0, full, full, weight=60, loss=1.5),
        task(4, 2, 1, b, "dropped", 7.0, 18.0, 2.0, 9.0, 0.0, full, 0),
        {"kind": "commit", "attempt": 2, "version": 2, "t": 18.0, "completed": 1, "loss": 1.5, "lr": 0.04},
        select(3, 2, 18.0, [5], [a]),
        task(5, 3, 2, a, "dropped", 18.0, 20.0, 1.0, 1.0, 0.0, full, 0),
        {"kind": "abandon", "attempt": 3, "version": 2, "t": 20.0, "completed": 0, "needed": 1, "why": "too few"},
        {"kind": "jump", "t": 20.0, "to": 300.0},
        select(4, 2, 300.0, [6], [c]),
        task(6, 4, 2, c, "completed", 300.0, 307.0, 0.5, 6.0, 0.5, full, full, weight=40, loss=0.9),
        {"kind": "commit", "attempt": 4, "version": 3, "t": 307.0, "completed": 1, "loss": 0.9, "lr": 0.04},
        evaluate(3, 307.0, [2, 12, 24, 40], [9.0, 16.0, 24.0, 31.0]),
        {"kind": "end", "t": 307.0, "version": 3, "attempts": 4, "abandoned": 1, "why": "3 rounds are done"},
    ]
    _settle(records)
    return records


def _settle(records: Sequence[Record]) -> None:
    """Enter the ledger, and a digest of parameters, where they belong."""
    accounts = Accounts()
    for record in records:
        if record["kind"] == "task":
            accounts.add(record)
        if record["kind"] == "commit":
            record["params"] = f"{record['version']:032x}"
        if record["kind"] in ("commit", "abandon", "end"):
            record["ledger"] = accounts.ledger()


def random_records(rng: np.random.Generator, attempts: int) -> list[Record]:
    """Return a log that adds up, with every fate, jumps, abandoned attempts and evaluations drawn at random."""
    records = _head(Job.parse({"name": "random", "data": "digits", "seed": int(rng.integers(1000))}), clients=50)
    clock, version, abandoned, next_task = 0, 0, 0, 0
    for attempt in range(1, attempts + 1):
        if rng.random() < 0.3:
            to = clock + int(rng.integers(1, 10**9))
            records.append({"kind": "jump", "t": clock / 1e6, "to": to / 1e6})
            clock = to
        clients = rng.choice(50, size=int(rng.integers(1, 6)), replace=False).tolist()
        tasks = list(range(next_task, next_task + len(clients)))
        next_task += len(clients)
        numbers = {"attempt": attempt, "version": version, "t": clock / 1e6, "online": 50, "wanted": 6}
        records.append({"kind": "select", **numbers, "tasks": tasks, "clients": clients})
        commits = rng.random() < 0.8
        lines = [_random_task(rng, commits and i == 0, clock) for i in range(len(clients))]
        if not commits:
            lines = [line | {"fate": "cancelled"} if line["fate"] == "completed" else line for line in lines]
        for task, client, line in zip(tasks, clients, lines, strict=True):
            names = {"task": task, "attempt": attempt, "version": version, "client": client}
            records.append({"kind": "task"} | names | line)
        clock = max(round(line["end"] * 1e6) for line in lines)
        version, abandoned = version + commits, abandoned + (not commits)
        records.append(_random_close(lines, attempt, version, clock, commits))
        if commits and rng.random() < 0.5:
            records.append(_random_evaluation(rng, version, clock))
    end = {"t": clock / 1e6, "version": version, "attempts": attempts, "abandoned": abandoned, "why": "done"}
    records.append({"kind": "end", **end})
    _settle(records)
    return records


def _random_task(rng: np.random.Generator, completes: bool, start: int) -> Record:
    fate = "completed" if completes else str(rng.choice([fate.value for fate in Fate]))
    trained = fate in ("completed", "cancelled", "rejected", "late")
    phases = rng.integers(1, 10**8, size=3).tolist() if trained else [int(rng.integers(1, 10**8)), 0, 0]
    down = PAYLOAD if trained else int(rng.integers(0, PAYLOAD))
    times = {"start": start / 1e6, "end": (start + sum(phases)) / 1e6}
    spent = dict(zip(PHASES, (phase / 1e6 for phase in phases), strict=True))
    record = {"fate": fate, **times, **spent, "bytes_down": down, "bytes_up": PAYLOAD if trained else 0, "samples": 100}
    if fate == "completed":
        record |= {"weight": int(rng.integers(1, 100)), "loss": float(rng.random() + 0.1)}
    return record | ({"why": "not finite"} if fate in ("failed", "rejected") else {})


def _random_close(lines: Sequence[Record], attempt: int, version: int, clock: int, commits: bool) -> Record:
    done = [line for line in lines if line["fate"] == "completed"]
    common = {"attempt": attempt, "version": version, "t": clock / 1e6}
    if not commits:
        cancelled = sum(line["fate"] == "cancelled" for line in lines)
        return {"kind": "abandon", **common, "completed": cancelled, "needed": cancelled + 1, "why": "too few"}
    loss = sum(line["weight"] * line["loss"] for line in done) / sum(line["weight"] for line in done)
    return {"kind": "commit", **common, "completed": len(done), "loss": loss, "lr": 0.04}


def _random_evaluation(rng: np.random.Generator, version: int, clock: int) -> Record:
    count = rng.integers(1, 50, size=4)
    correct, loss = rng.binomial(count, 0.5), rng.random(4) * count + 0.1
    metrics = {"accuracy": int(correct.sum()) / int(count.sum()), "loss": float(loss.sum()) / int(count.sum())}
    sums = {"correct": correct.tolist(), "loss": loss.tolist()}
    where = {"kind": "evaluate", "version": version, "t": clock / 1e6, "split": "test", "clients": [50, 51, 52, 53]}
    return {**where, "count": count.tolist(), "sums": sums, "metrics": metrics}


def write_records(path: Path, records: Sequence[Record]) -> Path:
    """Write a log with a whole chain."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    writer = LogWriter(path)
    for record in records:
        writer.append(record)
    writer.close()
    return path


@pytest.fixture
def three_clients(tmp_path: Path) -> Path:
    """The run directory of the three clients."""
    return write_records(tmp_path / "three-clients" / "log.jsonl", three_clients_records()).parent


@pytest.fixture
def records() -> list[Record]:
    """The records of the three clients, free to be altered."""
    copied: list[Record] = json.loads(json.dumps(three_clients_records()))
    return copied


@pytest.fixture(scope="session")
def write_log() -> Callable[[Path, Sequence[Record]], Path]:
    """Write records to a path, with a whole chain."""
    return write_records


@pytest.fixture(scope="session")
def random_log() -> Callable[[np.random.Generator, int], list[Record]]:
    """Draw a log that adds up, with so many attempts."""
    return random_records
