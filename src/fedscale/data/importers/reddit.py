"""``reddit``: the next word in comments; an author is a client.

The comments of a month as J. Baumgartner et al. collected them ("The Pushshift Reddit Dataset", ICWSM 2020), or the
preparations of LEAF (S. Caldas et al., "LEAF: A Benchmark for Federated Settings", 2018) and of FedScale's archive.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from fedscale.data.card import Card, Figures, RawFile
from fedscale.data.importing import Scanned
from fedscale.data.leaf import leaf_files, leaf_texts
from fedscale.data.notes import Notes
from fedscale.data.rawfile import found, nothing
from fedscale.data.rawjson import read_objects, text_of
from fedscale.data.textfiles import folder_files, lines_of
from fedscale.data.texts import TEXT, VOCABULARY, NextWord, batches
from fedscale.data.words import RESERVED
from fedscale.section import Component

GONE: Final = ("[deleted]", "[removed]")
"""What stands for an author who left, or for a comment that was taken away."""

MONTHS: Final = tuple(
    f"{name}{ending}"
    for name in ("RC_[0-9][0-9][0-9][0-9]-[0-9][0-9]", "RC_[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]", "*_comments")
    for ending in ("", ".json", ".jsonl", ".ndjson")
)
"""Names of months, days and subreddits."""

CARD: Final = Card(
    name="reddit",
    title="Reddit comments",
    description="the next word in what each author of comments wrote",
    task="next_token",
    metric="perplexity",
    model=Component(name="albert"),
    modality="text",
    classes=VOCABULARY + len(RESERVED),
    client_is="author",
    licence="none stated; the comments belong to their authors",
    source="Pushshift: monthly files of all comments; since 2023 passed on by Academic Torrents",
    terms=(
        "get RC_YYYY-MM.zst of the months that you want from Academic Torrents (search for 'reddit comments "
        "submissions pushshift'); Reddit's terms of use apply"
    ),
    files=(RawFile(name="RC_2017-12.zst"),),
    layout=(
        "RC_YYYY-MM(.zst, .bz2, .xz, .gz): a JSON object a line, with author and body among keys that change from "
        "month to month; or <subreddit>_comments.zst of the same; or LEAF's *.json {users, num_samples, user_data}; or "
        "FedScale's train/ and test/ with one text file per author"
    ),
    preprocessing=(
        "comments without text, [deleted] or [removed], and those of [deleted] authors are left out; words in lower "
        "case and marks of punctuation are tokens; addresses and names of users are replaced; an author's comments are "
        "put end to end and cut into rows of 64 predictions"
    ),
    sample="tokens: uint16 (2 to 65,), each row beginning with the last token of the one before",
    paper=Figures(clients=1_660_820, samples=351_000_000),
    citation=(
        "J. Baumgartner, S. Zannettou, B. Keegan, M. Squire, J. Blackburn: The Pushshift Reddit Dataset. ICWSM 2020"
    ),
    verification="real",
    verified=(
        "six real lines of 2007, 2016 and 2017 as quoted in public documents; months, LEAF's layout and text files "
        "made by hand"
    ),
)


@dataclass(frozen=True)
class Reddit(NextWord):
    """Comments, from whole months, or as LEAF or FedScale prepared them."""

    @property
    def card(self) -> Card:
        """Return the card."""
        return CARD

    def scan(self, raw: Path, notes: Notes) -> Iterator[Scanned]:
        """Yield authors and comments."""
        if months := found(raw, *MONTHS, *(f"**/{pattern}" for pattern in MONTHS)):
            rows = (row for path in months for row in _comments(path, notes))
        elif files := leaf_files(raw) or leaf_files(raw / CARD.name):
            rows = (row for path in files for row in _leaf(path, notes))
        elif files := folder_files(raw, CARD.name):
            rows = (row for path in files for row in lines_of(path, notes))
        else:
            raise nothing(raw, CARD.name, ["RC_YYYY-MM files", "LEAF's *.json", "train/ with one file per author"])
        yield from batches(rows, {TEXT: pa.large_string()})


def _comments(path: Path, notes: Notes) -> Iterator[tuple[str, str]]:
    for number, value in read_objects(path, notes):
        notes.read += 1
        author, body = (text_of(value, key, path, number) for key in ("author", "body"))
        reason = _unusable(author, body)
        if reason:
            notes.skip(reason, f"{path} line {number}")
        else:
            assert author is not None
            assert body is not None
            yield author, html.unescape(body)  # > begins a quotation, and is written &gt; in these files


def _unusable(author: str | None, body: str | None) -> str | None:
    if not author or author in GONE:
        return "no author, or [deleted]"
    if not body or not body.strip() or body in GONE:
        return "no text, [deleted] or [removed]"
    return None


def _leaf(path: Path, notes: Notes) -> Iterator[tuple[str, str]]:
    for user, text, where in leaf_texts(path, notes):
        notes.read += 1
        if reason := _unusable(user, text):
            notes.skip(reason, where)
        else:
            yield user, text
