"""``amazon`` and ``amazon_words``: the stars of a review from its words, or the next word; a reviewer is a client.

R. He, J. McAuley, "Ups and Downs: Modeling the Visual Evolution of Fashion Trends with One-Class Collaborative
Filtering", WWW 2016 (the collection of 2014); J. Ni, J. Li, J. McAuley, "Justifying Recommendations using
Distantly-Labeled Reviews and Fine-Grained Aspects", EMNLP 2019 (2018); Y. Hou et al., "Bridging Language and Items for
Retrieval and Recommendation", 2024 (2023).
"""

from __future__ import annotations

import ast
import functools
import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from fedscale.data import words
from fedscale.data.card import Card, Figures, RawFile
from fedscale.data.gather import Gather
from fedscale.data.importing import Load, Loaded, Scanned
from fedscale.data.mapping import mapping_files, read_mapping
from fedscale.data.notes import Notes
from fedscale.data.ratings import STARS, read_ratings
from fedscale.data.rawfile import found, nothing
from fedscale.data.rawjson import parsed, read_lines, text_of
from fedscale.data.texts import (
    ONCE,
    TEXT,
    VOCABULARY,
    Labelled,
    NextWord,
    batches,
    changed,
    digest_of,
    first_of,
    numbered,
)
from fedscale.errors import DataError
from fedscale.section import Component

LAYOUTS: Final = (("reviewerID", "reviewText", "overall"), ("user_id", "text", "rating"))
"""The keys of reviewer, text and stars in the collections of 2014 and 2018, and in that of 2023."""

FILES: Final = ("*.json", "*.jsonl")

OTHERS: Final = ("meta_", "metadata.", "all_amazon_meta.", "qa_", "asin2category.", ".")
"""How the names begin of files of products, and of questions about them, which stand beside those of reviews."""

ROWS: Final = {TEXT: pa.large_string(), "y": pa.uint8(), ONCE: pa.uint64()}

_COMMON: Final[Mapping[str, Any]] = {
    "modality": "text",
    "client_is": "reviewer (reviewerID, user_id)",
    "licence": "none stated; for research",
    "source": "J. McAuley's laboratory at UC San Diego: https://amazon-reviews-2023.github.io and older pages",
    "terms": (
        "the owner asks for a citation, and for 2018 for a form: take the categories that you want from "
        "https://jmcauley.ucsd.edu/data/amazon/ (2014), https://nijianmo.github.io/amazon/ (2018) or "
        "https://amazon-reviews-2023.github.io"
    ),
    "files": (RawFile(name="AMAZON_FASHION_5.json.gz"),),
    "layout": (
        "<category>.json(.gz) of 2014 and 2018, a JSON object a line: reviewerID, asin, overall (1.0 to 5.0), "
        "reviewText (may be missing), ...; <category>.jsonl(.gz) of 2023: user_id, asin, rating, text, ...; "
        "<category>.csv of ratings alone; or FedScale's client_data_mapping/*.csv, whose second column is the review "
        "itself and whose third its stars"
    ),
    "paper": Figures(clients=1_822_925, samples=166_000_000),
    "citation": (
        "J. Ni, J. Li, J. McAuley: Justifying Recommendations using Distantly-Labeled Reviews and Fine-Grained "
        "Aspects. EMNLP 2019"
    ),
    "verification": "real",
    "verified": (
        "50 real lines of 2014 and 200 of 2018 (Musical Instruments, Fashion), one of 2023 as quoted by its owners; "
        "FedScale's mapping made by hand"
    ),
}
_CLEANED: Final = "reviews without text or of other ratings, and a reviewer's exact repeats, are left out; "

STARS_CARD: Final = Card(
    name="amazon",
    title="Amazon reviews: stars",
    description="how many stars a reviewer gives, from the words of the review",
    task="classification",
    model=Component(name="bag_of_words", words=VOCABULARY + len(words.RESERVED)),
    classes=STARS,
    label_names=tuple(f"{stars + 1} star{'s' * (stars > 0)}" for stars in range(STARS)),
    sample_shape=(128,),
    preprocessing=_CLEANED + "an input is the numbers of a review's first 128 words, 0 behind them",
    sample="x: uint16 (128,), numbers of words; y: uint8, stars less one",
    **_COMMON,
)
WORDS_CARD: Final = Card(
    name="amazon_words",
    title="Amazon reviews: words",
    description="the next word in what each reviewer wrote",
    task="next_token",
    metric="perplexity",
    model=Component(name="word_lstm"),
    classes=VOCABULARY + len(words.RESERVED),
    preprocessing=_CLEANED + "a reviewer's texts are put end to end and cut into rows of 64 predictions",
    sample="tokens: uint16 (2 to 65,), each row beginning with the last token of the one before",
    **_COMMON,
)


@dataclass(frozen=True)
class Amazon(Labelled):
    """Stars of reviews, or of ratings without reviews, with which no model can be trained."""

    @property
    def card(self) -> Card:
        """Return the card."""
        return STARS_CARD

    def scan(self, raw: Path, notes: Notes) -> Iterator[Scanned]:
        """Yield reviewers, texts and stars."""
        if tables := _rating_files(raw):
            notes.tell("ratings without reviews: stars and clients only; statistics can be had, training cannot")
            return (scanned for path in tables for scanned in read_ratings(path, notes))
        return batches(_rows(raw, notes, self.card.name), ROWS)

    def prepare(self, gather: Gather, notes: Notes) -> tuple[Card, Load]:
        """Return the card with the vocabulary, and what makes inputs of reviews."""
        assert self.raw is not None
        if _rating_files(self.raw):
            return changed(self.card, without=("x",)), _ratings
        known = self.known(gather, notes)
        return self.finished(known), functools.partial(_reviews, known, self.words)


@dataclass(frozen=True)
class AmazonWords(NextWord):
    """Words of reviews."""

    @property
    def card(self) -> Card:
        """Return the card."""
        return WORDS_CARD

    def scan(self, raw: Path, notes: Notes) -> Iterator[Scanned]:
        """Yield reviewers and texts."""
        return batches(_rows(raw, notes, self.card.name), ROWS)


def _ratings(rows: pa.Table) -> Loaded:
    return Loaded({"y": np.asarray(rows["y"])})


def _reviews(known: Sequence[str], length: int, rows: pa.Table) -> Loaded:
    first = first_of(rows)
    texts = numbered(known, rows)
    kept = first & (texts.lengths > 0)
    chosen = np.flatnonzero(kept)
    skipped = {"repeated exactly": int((~first).sum()), "no word in it": int((first & ~kept).sum())}
    columns = {"x": words.bags(texts.take(chosen), length), "y": np.asarray(rows["y"])[chosen]}
    return Loaded(columns, kept, skipped)


def _rows(raw: Path, notes: Notes, name: str) -> Iterator[tuple[str, str, int, int]]:
    if mapping_files(raw):
        yield from _mapped(raw, notes)
        return
    paths = _review_files(raw)
    if not paths:
        raise nothing(raw, name, ["<category>.json", "<category>.jsonl (maybe .gz)", "client_data_mapping/*.csv"])
    for path in paths:
        yield from _lines(path, notes)


def _rating_files(raw: Path) -> list[Path]:
    """Return the tables of ratings in ``raw`` if there are no reviews."""
    return [] if mapping_files(raw) or _review_files(raw) else found(raw, "*.csv")


def _review_files(raw: Path) -> list[Path]:
    return [path for path in found(raw, *FILES, *(f"**/{pattern}" for pattern in FILES)) if not _is_meta(path)]


def _is_meta(path: Path) -> bool:
    return path.name.lower().startswith(OTHERS)


def _lines(path: Path, notes: Notes) -> Iterator[tuple[str, str, int, int]]:
    for number, line in read_lines(path, notes):
        value = _object(path, number, line)
        notes.read += 1
        reviewer_key, text_key, stars_key = _layout(value, path, number)
        reviewer, text = (text_of(value, key, path, number) for key in (reviewer_key, text_key))
        stars = value.get(stars_key)
        if isinstance(stars, bool) or not isinstance(stars, int | float):
            raise DataError(f"{path} line {number}, field {stars_key!r}: {str(stars)[:40]!r} is not a number of stars")
        if not reviewer:
            notes.skip("no reviewer", f"{path} line {number}")
        elif not text or not text.strip():
            notes.skip("no text", f"{path} line {number}")
        elif stars not in range(1, STARS + 1):
            notes.skip(f"not 1 to {STARS} stars", f"{path} line {number}")
        else:
            yield reviewer, html.unescape(text), int(stars) - 1, digest_of(line)


def _object(path: Path, number: int, line: bytes) -> dict[str, Any]:
    """Return a line's object: JSON, or what Python writes for one, as in files of 2014."""
    if not line.startswith(b"{'"):
        return parsed(path, number, line)
    try:
        return dict(ast.literal_eval(line.decode()))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise DataError(f"{path} line {number}: neither JSON nor a Python literal: {error}") from None


def _layout(value: Mapping[str, Any], path: Path, number: int) -> tuple[str, str, str]:
    for layout in LAYOUTS:
        if layout[0] in value and layout[2] in value:
            return layout
    wanted = " or ".join(f"{reviewer!r} and {stars!r}" for reviewer, _, stars in LAYOUTS)
    raise DataError(f"{path} line {number}: no review: its keys are {sorted(value)[:10]}, not among them {wanted}")


def _mapped(raw: Path, notes: Notes) -> Iterator[tuple[str, str, int, int]]:
    for mapping in read_mapping(raw, notes, ("client", "text", "name")):
        table = mapping.rows.table
        columns = zip(*(part.to_pylist() for part in (mapping.clients, table["text"], table["name"])), strict=True)
        for row, (client, text, name) in enumerate(columns):
            where = mapping.rows.where(row)
            stars = _stars(name, where)
            if not text.strip():
                notes.skip("no text", where)
            else:
                yield client, text, stars - 1, digest_of(f"{where}".encode())


def _stars(name: str, where: str) -> int:
    if name not in ("1", "2", "3", "4", "5", "1.0", "2.0", "3.0", "4.0", "5.0"):
        raise DataError(f"{where}, the name: {name!r} is not 1 to {STARS} stars")
    return int(float(name))
