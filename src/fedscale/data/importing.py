"""From raw files to a store: rows are scanned in any order, gathered by client, turned into columns, and written.

An importer is a frozen dataclass on top of `Importer`: it says what the raw rows are (`Importer.scan`) and how rows of
whole clients become columns (`Importer.load`). Everything else is here: numbers for names, bounded memory, several
processes where decoding dominates, counts of what was left out, and a store that appears whole or not at all.
"""

from __future__ import annotations

import dataclasses
import itertools
import multiprocessing
import re
import tempfile
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fedscale import files
from fedscale.cores import usable_cores
from fedscale.data.card import Card
from fedscale.data.columns import from_arrow
from fedscale.data.gather import Gather, Group
from fedscale.data.notes import Notes
from fedscale.data.packed import is_packed, unpacked
from fedscale.data.ragged import Column, IntArray
from fedscale.data.writer import StoreWriter
from fedscale.errors import DataError
from fedscale.section import Positive

CLIENT: Final = "fedscale.client"
"""The column of rows that says which of a group's clients they are of."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Scanned:
    """Some raw rows: the name of each one's client (strings or bytes), and whatever `Importer.load` will need.

    Rows that only tell something about samples, such as when a packet came back, are not ``counted`` by
    `Importer.limit`: they should come before the ones that they belong to.
    """

    clients: pa.Array
    rows: pa.Table
    counted: bool = True


@dataclass(frozen=True)
class Loaded:
    """Columns of samples, one for each row, unless ``kept`` says of each row whether it is kept, or how many it gives.

    ``columns`` have the kept rows only. ``skipped`` says of the others how many there are of each reason.
    """

    columns: Mapping[str, Column]
    kept: npt.NDArray[np.bool_] | IntArray | None = None
    skipped: Mapping[str, int] = field(default_factory=dict)


Load = Callable[[pa.Table], Loaded]


@dataclass(frozen=True)
class Importer(ABC):
    """A dataset of the catalogue that is made from the files of its owner.

    Attributes:
        raw: directory with the files as their owner distributes them; or one such file, or an archive of them.
        clients: keep only so many clients, always the same ones.
        limit: stop after so many usable rows.
        parallel: whether `load` is worth several processes (where images or sound are decoded).
        together: rows that `load` gets at most, unless one client has more; set where rows name files that it reads.
    """

    raw: Path | None = None
    clients: Positive | None = None
    limit: Positive | None = None

    parallel: ClassVar[bool] = False
    together: ClassVar[int | None] = None

    @property
    @abstractmethod
    def card(self) -> Card:
        """Return the card, as far as it can be known without the files."""

    @abstractmethod
    def scan(self, raw: Path, notes: Notes) -> Iterator[Scanned]:
        """Yield the rows of the raw files, in the files' order, files by name.

        Raises:
            DataError: files are absent, or not in a layout that is known.
        """

    def prepare(self, gather: Gather, notes: Notes) -> tuple[Card, Load]:
        """Return the final card, and how rows become columns, once all rows are gathered.

        Vocabularies and the like are made here; `Gather.groups` may be gone through as often as needed.
        """
        return self.card, self.load

    def load(self, rows: pa.Table) -> Loaded:
        """Return the columns of rows of whole clients (the column `CLIENT` tells them apart).

        It may run in another process.

        By default the rows have them already, in the types of `fedscale.data.columns`.
        """
        columns = {name: rows.column(name).combine_chunks() for name in self.card.columns}
        return Loaded({name: from_arrow(column) for name, column in columns.items()})

    @property
    def directory(self) -> str:
        """Return the store's name: the dataset's, and the options that are not at their defaults."""
        changed = [
            f"{option.name}={getattr(self, option.name)}"
            for option in dataclasses.fields(self)
            if option.name != "raw" and getattr(self, option.name) != option.default
        ]
        return re.sub(r"[^\w.=-]+", "_", "-".join([self.card.name, *changed]))

    def write(self, path: Path, notes: Notes) -> None:
        """Import the raw files as a store at ``path``."""
        if self.raw is None:
            raise DataError(absent(self.card))
        if not self.raw.exists():
            raise DataError(
                f"{self.raw}: no such file or directory: `fedscale data info {self.card.name}` says what is in it"
            )
        files.sweep(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.raw.is_file() and is_packed(self.raw.name):
            with unpacked(self.raw, path, notes) as folder:
                dataclasses.replace(self, raw=folder).write(path, notes)
            return
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=files.temporary(path, "rows").name) as temporary:
            gather = Gather(Path(temporary))
            for scanned in _limited(self.scan(self.raw, notes), self.limit):
                gather.add(scanned.clients, scanned.rows)
            card, load = self.prepare(gather, notes)
            with StoreWriter(path, card, notes) as writer:
                for counts, columns in self._loaded(gather, card, load, notes):
                    writer.append(counts, columns)

    def _loaded(
        self, gather: Gather, card: Card, load: Load, notes: Notes
    ) -> Iterator[tuple[IntArray, Mapping[str, Column]]]:
        clients = 0
        heavy = self.parallel and not card.without
        groups = gather.groups(self.clients, None if card.without else self.together)
        for counts, loaded in (in_processes if heavy else one_by_one)(load, groups):
            for reason, rows in loaded.skipped.items():
                notes.skip(reason, "", rows)
            if loaded.kept is not None:
                counts = np.add.reduceat(loaded.kept.astype(np.int64), np.cumsum(counts) - counts)
                counts = counts[counts > 0]
            clients += len(counts)
            notes.progress("clients written", clients)
            if len(counts):
                yield counts, loaded.columns
        if clients == 0:
            raise notes.nothing_left(self.raw)


def absent(card: Card) -> str:
    """Say that a dataset is not in the cache, and how it gets there."""
    return (
        f"{card.name} is not in the cache: `fedscale data get {card.name}` fetches it or says how it is had, and "
        f"`fedscale data import {card.name} --from DIRECTORY` reads files that you have"
    )


def _limited(batches: Iterator[Scanned], limit: int | None) -> Iterator[Scanned]:
    left = limit
    for batch in batches:
        if left is None or not batch.counted:
            yield batch
            continue
        yield Scanned(batch.clients[:left], batch.rows.slice(0, left))
        left -= len(batch.rows)
        if left <= 0:
            return


def in_processes(work: Callable[[pa.Table], Result], groups: Iterator[Group]) -> Iterator[tuple[IntArray, Result]]:
    """Yield what ``work`` makes of each group's rows, in order, behind the counts of its clients.

    Groups are worked on in as many processes as there are cores that may be used, a few ahead; a single one here, and
    all of them if there is one core.
    """
    first, workers = list(itertools.islice(groups, 2)), usable_cores()
    if len(first) < 2 or workers == 1:
        yield from one_by_one(work, itertools.chain(first, groups))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        waiting: deque[tuple[IntArray, Future[Result]]] = deque()
        try:
            for group in itertools.chain(first, groups):
                waiting.append((group.counts, pool.submit(work, numbered(group))))
                if len(waiting) > 2 * workers:
                    counts, future = waiting.popleft()
                    yield counts, future.result()
            while waiting:
                counts, future = waiting.popleft()
                yield counts, future.result()
        except BrokenProcessPool:
            raise DataError(
                "a process that read files died, for want of memory perhaps; a script must import datasets under "
                "`if __name__ == '__main__':`"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def one_by_one(work: Callable[[pa.Table], Result], groups: Iterator[Group]) -> Iterator[tuple[IntArray, Result]]:
    """Yield what ``work`` makes of each group's rows, behind the counts of its clients."""
    return ((group.counts, work(numbered(group))) for group in groups)


def numbered(group: Group) -> pa.Table:
    """Return a group's rows with a column `CLIENT`: which of the group's clients a row is of."""
    return group.rows.append_column(CLIENT, pa.array(np.repeat(np.arange(len(group.counts)), group.counts)))
