"""Importing raw files: numbers for names, subsets, what is left out, several processes, and nothing half-made."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest

from fedscale import files
from fedscale.cli.importing import summary
from fedscale.cores import usable_cores
from fedscale.data import importing
from fedscale.data.card import Card
from fedscale.data.gather import Gather
from fedscale.data.identity import client_digest
from fedscale.data.importing import Importer, Loaded, Scanned
from fedscale.data.notes import Notes
from fedscale.data.store import open_store
from fedscale.errors import DataError
from fedscale.section import Component

CARD = Card(
    name="toy",
    title="toy",
    description="numbers by person",
    task="classification",
    model=Component(name="mlp"),
    modality="tensor",
    classes=100,
    sample_shape=(1,),
    client_is="person",
    licence="-",
    source="-",
    citation="-",
    verified="-",
)


@dataclass(frozen=True)
class Toy(Importer):
    """Lines ``name number``; numbers above 99 are unusable."""

    batch: int = 3

    @property
    def card(self) -> Card:
        return CARD

    def scan(self, raw: Path, notes: Notes) -> Iterator[Scanned]:
        lines = [line.split() for path in sorted(raw.glob("*.txt")) for line in path.read_text().splitlines()]
        for start in range(0, len(lines), self.batch):
            names, numbers = zip(*lines[start : start + self.batch], strict=True)
            notes.read += len(names)
            yield Scanned(pa.array(names, pa.large_string()), pa.table({"number": pa.array(map(int, numbers))}))

    def load(self, rows: pa.Table) -> Loaded:
        numbers = rows.column("number").to_numpy()
        if (numbers < 0).any():
            raise DataError("a negative number")
        kept = numbers < 100
        y = numbers[kept]
        return Loaded({"x": y[:, None].astype(np.float32), "y": y}, kept, {"too large": int((~kept).sum())})


@dataclass(frozen=True)
class Repeating(Toy):
    """Rows that give as many samples as their number says; those of "told" are not counted."""

    def scan(self, raw: Path, notes: Notes) -> Iterator[Scanned]:
        for batch in super().scan(raw, notes):
            yield replace(batch, counted=batch.clients[0].as_py() != "told")

    def load(self, rows: pa.Table) -> Loaded:
        numbers = rows.column("number").to_numpy()
        y = np.repeat(numbers, numbers)
        return Loaded({"x": y[:, None].astype(np.float32), "y": y}, numbers)


@dataclass(frozen=True)
class InProcesses(Toy):
    parallel: ClassVar[bool] = True
    together: ClassVar[int | None] = 1  # groups of one client: a single group is not worth a process


TEXT = "ann 1\nbob 2\nann 3\ncat 200\nbob 4\nann 5\ndan 6\n"


def raw(tmp_path: Path, text: str = TEXT) -> Path:
    (tmp_path / "raw").mkdir(exist_ok=True)
    (tmp_path / "raw" / "a.txt").write_text(text)
    return tmp_path / "raw"


def content(path: Path) -> list[list[int]]:
    dataset = open_store(path)
    return [dataset.client(client).columns["y"][slice(None)].tolist() for client in range(len(dataset))]  # type: ignore[index,union-attr]


def by_digest(rows: dict[str, list[int]]) -> list[list[int]]:
    return [rows[name] for name in sorted(rows, key=client_digest)]


@pytest.mark.parametrize("importer", [Toy, InProcesses])
def test_clients_are_numbered_by_digest_and_lose_unusable_rows(tmp_path: Path, importer: type[Toy]) -> None:
    notes = Notes()
    importer(raw=raw(tmp_path)).write(tmp_path / "store", notes)
    assert content(tmp_path / "store") == by_digest({"ann": [1, 3, 5], "bob": [2, 4], "dan": [6]})
    assert notes.record() == {"read": 7, "skipped": {"too large": 1}, "told": []}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_no_name_is_in_the_store(tmp_path: Path) -> None:
    name = "Very.Unlikely@example.org"
    Toy(raw=raw(tmp_path, f"{name} 1\n{name} 2\nann 3\n")).write(tmp_path / "store", Notes())
    for path in (tmp_path / "store").iterdir():
        assert name.encode() not in path.read_bytes()
        assert client_digest(name) not in path.read_bytes()


def test_the_order_of_files_changes_only_the_order_within_clients(tmp_path: Path) -> None:
    folder = raw(tmp_path)
    lines = TEXT.splitlines(keepends=True)
    Toy(raw=folder, batch=2).write(tmp_path / "one", Notes())
    (folder / "a.txt").write_text("".join(lines[4:]))
    (folder / "b.txt").write_text("".join(lines[:4]))
    Toy(raw=folder).write(tmp_path / "two", Notes())
    assert [sorted(rows) for rows in content(tmp_path / "one")] == [sorted(rows) for rows in content(tmp_path / "two")]


def test_fewer_clients_and_rows(tmp_path: Path) -> None:
    folder = raw(tmp_path)
    Toy(raw=folder, clients=2).write(tmp_path / "two", Notes())
    everyone = by_digest({"ann": [1, 3, 5], "bob": [2, 4], "cat": [], "dan": [6]})
    assert content(tmp_path / "two") == [rows for rows in everyone[:2] if rows]
    Toy(raw=folder, limit=2).write(tmp_path / "limited", Notes())
    assert content(tmp_path / "limited") == by_digest({"ann": [1], "bob": [2]})


def test_rows_that_give_several_samples_or_none(tmp_path: Path) -> None:
    folder = raw(tmp_path, "ann 2\nbob 0\nann 0\nann 1\ncat 3\n")
    Repeating(raw=folder).write(tmp_path / "store", Notes())
    assert content(tmp_path / "store") == by_digest({"ann": [2, 2, 1], "cat": [3, 3, 3]})


def test_rows_that_only_tell_something_do_not_count_for_the_limit(tmp_path: Path) -> None:
    folder = raw(tmp_path, "told 1\ntold 1\nann 1\nbob 1\ncat 1\n")
    Repeating(raw=folder, limit=2, batch=1).write(tmp_path / "store", Notes())
    assert content(tmp_path / "store") == by_digest({"told": [1, 1], "ann": [1], "bob": [1]})


def test_options_are_part_of_the_name() -> None:
    assert Toy().directory == "toy"
    assert Toy(raw=Path("/somewhere"), clients=5, limit=7).directory == "toy-clients=5-limit=7"


def test_when_nothing_is_usable(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"raw: no sample is left of 2 rows: 2 too large"):
        Toy(raw=raw(tmp_path, "ann 100\nbob 200\n")).write(tmp_path / "store", Notes())
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


@pytest.mark.parametrize("importer", [Toy, InProcesses])
def test_an_error_leaves_nothing(tmp_path: Path, importer: type[Toy]) -> None:
    with pytest.raises(DataError, match="negative"):
        importer(raw=raw(tmp_path, "ann 1\nbob -1\n")).write(tmp_path / "store", Notes())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]


def test_without_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="fedscale data get toy"):
        Toy().write(tmp_path / "store", Notes())
    with pytest.raises(DataError, match="no such file or directory"):
        Toy(raw=tmp_path / "absent").write(tmp_path / "store", Notes())


def test_work_stays_here_if_there_is_one_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of one client each, worked on by a function that could not travel to another process."""
    gather = Gather(tmp_path)
    gather.add(pa.array(["a", "b", "c", "b"]), pa.table({"row": [0, 1, 2, 3]}))
    monkeypatch.setattr(importing, "usable_cores", lambda: 1)
    done = list(importing.in_processes(lambda rows: (os.getpid(), rows["row"].to_pylist()), gather.groups(together=1)))
    assert [int(counts.sum()) for counts, _ in done] == [len(rows) for _, (_, rows) in done]
    assert {process for _, (process, _) in done} == {os.getpid()}
    assert sorted(rows for _, (_, rows) in done) == [[0], [1, 3], [2]]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes cannot be bound to cores here")
def test_cores_are_those_that_a_process_is_bound_to() -> None:
    whole = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(whole)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, whole)
    assert usable_cores() == len(whole)


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    code = f"""
import time
from pathlib import Path
from fedscale import files
from fedscale.cores import usable_cores
from fedscale.cli.importing import summary
path = files.temporary(Path({str(tmp_path / "store")!r}), "part")
path.mkdir()
print(path.name, flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    left = tmp_path / process.stdout.readline().strip()
    files.sweep(tmp_path / "store")
    assert left.is_dir()  # its owner runs
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    mine = files.temporary(tmp_path / "store", "part")
    mine.mkdir()
    other = tmp_path / ".store2.part"
    other.mkdir()
    for _ in range(50):
        files.sweep(tmp_path / "store")
        if not left.exists():
            break
        time.sleep(0.1)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([mine.name, other.name])


def test_the_summary_says_what_was_left_out_and_where_it_began() -> None:
    notes = Notes()
    notes.read = 12_000
    notes.skip("no author", "a.json line 3", 2)
    notes.skip("no author", "b.json line 1", 1_000)
    notes.skip("damaged", "", 1)
    notes.skip("never met", "c.json line 1", 0)
    for _ in range(2):
        notes.tell("no images: labels only")
    assert summary(notes) == [
        "note: no images: labels only",
        "left out: 1 of 12,000 rows: damaged",
        "left out: 1,002 of 12,000 rows: no author, the first at a.json line 3",
    ]
