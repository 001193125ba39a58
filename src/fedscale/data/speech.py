"""Recordings with what is said in them: what transcription and synthesis have in common.

Rows have a column ``path`` (`fedscale.data.media.path_column`) and a column ``text``, written as spoken
(`fedscale.data.characters.spoken`).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fedscale.data.card import Card
from fedscale.data.characters import alphabet, tokens
from fedscale.data.gather import Gather
from fedscale.data.importing import CLIENT, Importer, Load, Loaded
from fedscale.data.media import TOGETHER, any_media, content_of, read_media
from fedscale.data.notes import Notes
from fedscale.data.rawfile import lacking
from fedscale.data.sound import FULL, keep_sound
from fedscale.section import Component, PositiveFloat

RATE: Final = 16_000
"""Samples per second that models of recordings expect."""

ENGLISH: Final = ("", " ", "'", *"abcdefghijklmnopqrstuvwxyz")
"""The vocabulary of a card before there are texts."""


@dataclass(frozen=True)
class SpeechImporter(Importer):
    """Recordings and texts.

    Attributes:
        seconds: longer recordings are left out; shorter ones are filled up with silence when they are decoded.
    """

    seconds: PositiveFloat = 10.0

    parallel: ClassVar[bool] = True
    together: ClassVar[int | None] = TOGETHER

    def sized(self, card: Card) -> Card:
        """Return a card with recordings of `seconds`."""
        decode = Component.model_validate({"name": "wave", "rate": RATE, "dtype": "int16"})
        return card.model_copy(
            update={"sample_shape": (round(self.seconds * RATE),), "decode": decode, "x_scale": 1 / FULL}
        )

    def prepare(self, gather: Gather, notes: Notes) -> tuple[Card, Load]:
        """Return the card with its alphabet, and how files are read; texts alone if there is no recording."""
        vocabulary = alphabet(_texts(gather, self.clients))
        card = self.card.model_copy(update={"vocabulary": vocabulary, "classes": len(vocabulary)})
        if any_media(gather, self.clients):
            return card, _Load(vocabulary, self.seconds, recordings=True)
        assert self.raw is not None
        notes.tell(lacking(self.raw, "recordings", "texts"))
        return card.model_copy(update={"without": ("x",)}), _Load(vocabulary, self.seconds, recordings=False)


@dataclass(frozen=True)
class _Load:
    """Turns rows into columns, each recording of a client once."""

    vocabulary: Sequence[str]
    seconds: float
    recordings: bool

    def __call__(self, rows: pa.Table) -> Loaded:
        skipped: Counter[str] = Counter()
        written = tokens(rows["text"].to_pylist(), self.vocabulary)
        kept = written.lengths > 0
        skipped["a text without a letter"] += int((~kept).sum())
        new = _first_of_each(zip(rows[CLIENT].to_pylist(), rows["name"].to_pylist(), strict=True))
        skipped["told of before"] += int((kept & ~new).sum())
        kept &= new
        if self.recordings:
            media = read_media(rows["path"].filter(pa.array(kept)), "recording", self._keep)
            skipped.update(media.skipped)
            kept[np.flatnonzero(kept)] = media.kept
            return Loaded({"x": media.rows, "tokens": written.take(np.flatnonzero(kept))}, kept, skipped)
        return Loaded({"tokens": written.take(np.flatnonzero(kept))}, kept, skipped)

    def _keep(self, path: Path) -> bytes:
        return keep_sound(content_of(path), RATE, self.seconds)


def _first_of_each(names: Iterable[tuple[int, str]]) -> npt.NDArray[np.bool_]:
    """Say of each name of a client whether it is the first of its kind."""
    listed = list(names)
    places = {name: place for place, name in reversed(list(enumerate(listed)))}
    first = np.zeros(len(listed), bool)
    first[list(places.values())] = True
    return first


def _texts(gather: Gather, clients: int | None) -> Iterator[list[str]]:
    """Yield the texts of one client after another."""
    for group in gather.groups(clients):
        texts = group.rows["text"].to_pylist()
        ends = np.cumsum(group.counts).tolist()
        for start, end in itertools.pairwise([0, *ends]):
            yield texts[start:end]
