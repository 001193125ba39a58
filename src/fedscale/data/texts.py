"""What importers of texts have in common: rows of text by client become rows of word numbers.

Words are divided and counted, then numbered, in as many processes as there are cores (`fedscale.data.words`).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fedscale import limits
from fedscale.data import words
from fedscale.data.card import Card
from fedscale.data.gather import Gather, Group
from fedscale.data.importing import CLIENT, Importer, Load, Loaded, Scanned, in_processes
from fedscale.data.notes import Notes
from fedscale.data.ragged import IntArray, Ragged
from fedscale.section import Positive

TEXT: Final = "text"
"""The column of raw rows that holds the text."""

ONCE: Final = "once"
"""A column of digests, where there are repeats: of a client's rows with the same one, the first counts."""

WINDOW: Final = 64
"""Most words that are predicted in a row; the paper's block size."""

VOCABULARY: Final = 10_000
"""Words of a vocabulary at most, beside the reserved ones; as TensorFlow Federated has it for StackOverflow."""

Count = Callable[[pa.Table], pa.Table]
"""What `fedscale.data.words.count` makes of rows."""


@dataclass(frozen=True)
class TextImporter(Importer):
    """Rows of text whose words are numbered by a vocabulary that is made of the set itself.

    Attributes:
        vocabulary: words of it at most; only words of two clients at least are in it.
    """

    vocabulary: Positive = VOCABULARY

    parallel: ClassVar[bool] = True
    together: ClassVar[int | None] = limits.SCANNED_ROWS

    def known(self, gather: Gather, notes: Notes) -> tuple[str, ...]:
        """Return the vocabulary of the rows' column `TEXT`."""
        return vocabulary_of(gather.groups(self.clients, self.together), count_words, self.vocabulary, notes)

    def finished(self, known: Sequence[str]) -> Card:
        """Return the card with its vocabulary."""
        return changed(self.card, vocabulary=known, classes=len(known))


@dataclass(frozen=True)
class NextWord(TextImporter):
    """The next word in what each client wrote.

    Attributes:
        window: words that are predicted in a row at most.
    """

    window: Positive = WINDOW

    def prepare(self, gather: Gather, notes: Notes) -> tuple[Card, Load]:
        """Return the card with the vocabulary, and what cuts texts into rows of tokens."""
        known = self.known(gather, notes)
        return self.finished(known), functools.partial(windows_of, known, self.window)


@dataclass(frozen=True)
class Labelled(TextImporter):
    """Labels of texts, which are the numbers of their first words.

    Attributes:
        words: that are kept of a text.
    """

    words: Positive = 128

    def finished(self, known: Sequence[str]) -> Card:
        """Return the card with the vocabulary of ``x``, which the model must know the size of."""
        model = self.card.model.model_copy(update={"words": len(known)})
        return changed(self.card, vocabulary=known, sample_shape=(self.words,), model=model.model_dump())


def changed(card: Card, **values: Any) -> Card:
    """Return a card with other values, checked."""
    return Card.model_validate(card.model_dump() | values)


def vocabulary_of(groups: Iterator[Group], count: Count, most: int, notes: Notes) -> tuple[str, ...]:
    """Return the vocabulary of texts by client, counted in several processes."""
    known = words.vocabulary(_counts(groups, count, notes), most)
    if len(known) == len(words.RESERVED):
        notes.tell("no word is used by two clients: all words are unknown")
    return known


def _counts(groups: Iterator[Group], count: Count, notes: Notes) -> Iterator[pa.Table]:
    clients = 0
    for counts, counted in in_processes(count, groups):
        clients += len(counts)
        notes.progress("clients whose words are counted", clients)
        yield counted


def count_words(rows: pa.Table, columns: Sequence[str] = (TEXT,)) -> pa.Table:
    """Return how many clients use each word of some columns."""
    texts = pa.concat_arrays([rows.column(name).combine_chunks() for name in columns])
    return words.count(words.divide(texts), np.tile(clients_of(rows), len(columns)))


def clients_of(rows: pa.Table) -> IntArray:
    """Return the number of each row's client, in its group."""
    return np.asarray(rows.column(CLIENT))


def numbered(known: Sequence[str], rows: pa.Table, column: str = TEXT) -> Ragged:
    """Return the numbers of the words in a column of texts."""
    return words.number(words.divide(rows.column(column).combine_chunks()), known)


def windows_of(known: Sequence[str], window: int, rows: pa.Table) -> Loaded:
    """Return rows of tokens; a client's are counted with its first text."""
    texts = numbered(known, rows)
    first = first_of(rows)
    full = np.flatnonzero(first & (texts.lengths > 0))
    clients = clients_of(rows)[full]
    tokens, counts = words.windows(texts.take(full), clients, window)
    kept = np.zeros(len(rows), np.int64)
    kept[full[np.flatnonzero(np.diff(clients, prepend=-1))]] = counts
    repeats = int((~first).sum())
    return Loaded(
        {"tokens": tokens}, kept, {"repeated exactly": repeats, "no word in it": len(rows) - repeats - len(full)}
    )


def first_of(rows: pa.Table) -> npt.NDArray[np.bool_]:
    """Say of each row whether it is no repeat of an earlier one of the same client."""
    if ONCE not in rows.column_names:
        return np.ones(len(rows), np.bool_)
    pairs = np.stack([clients_of(rows).astype(np.uint64), np.asarray(rows[ONCE])], axis=1)
    first = np.zeros(len(rows), np.bool_)
    first[np.unique(pairs, axis=0, return_index=True)[1]] = True
    return first


def digest_of(content: bytes) -> int:
    """Return the number by which a raw row is known to be a repeat."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def batches(rows: Iterator[tuple[Any, ...]], columns: Mapping[str, pa.DataType]) -> Iterator[Scanned]:
    """Yield rows, tuples of a client's name and the values of ``columns``, some thousands at a time."""
    gathered: list[tuple[Any, ...]] = []
    letters = 0
    for row in rows:
        gathered.append(row)
        letters += len(row[1])
        if len(gathered) >= limits.SCANNED_ROWS or letters >= limits.GROUP_BYTES:
            yield _scanned(gathered, columns)
            gathered, letters = [], 0
    if gathered:
        yield _scanned(gathered, columns)


def _scanned(rows: Sequence[tuple[Any, ...]], columns: Mapping[str, pa.DataType]) -> Scanned:
    clients, *values = zip(*rows, strict=True)
    arrays = {
        name: words.strings(column) if pa.types.is_large_string(kind) else pa.array(column, kind)
        for (name, kind), column in zip(columns.items(), values, strict=True)
    }
    return Scanned(words.strings(clients), pa.table(arrays))
