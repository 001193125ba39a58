"""``blog``: the next word in blogs; a blogger is a client.

J. Schler, M. Koppel, S. Argamon, J. Pennebaker, "Effects of Age and Gender on Blogging", AAAI Spring Symposium on
Computational Approaches for Analyzing Weblogs, 2006.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from fedscale.data.card import Card, Figures, RawFile
from fedscale.data.importing import Scanned
from fedscale.data.notes import Notes
from fedscale.data.rawcsv import read_csv
from fedscale.data.rawfile import content_of, found, nothing
from fedscale.data.textfiles import decoded, folder_files, lines_of
from fedscale.data.texts import TEXT, VOCABULARY, NextWord, batches
from fedscale.data.words import RESERVED
from fedscale.errors import DataError
from fedscale.section import Component

NAME: Final = re.compile(r"(\d+)\.(?:male|female)\.\d+\.[^.]+\.[^.]+\.xml")
"""A blogger's number, gender, age, industry and sign of the zodiac; only the first is read."""

TABLE: Final = {"id": pa.large_string(), "text": pa.large_string()}

CARD: Final = Card(
    name="blog",
    title="Blog Authorship Corpus",
    description="the next word in what each blogger wrote",
    task="next_token",
    metric="perplexity",
    model=Component(name="word_lstm"),
    modality="text",
    classes=VOCABULARY + len(RESERVED),
    client_is="blogger (the number that a file's name begins with, or id)",
    licence="free for research that is not commercial",
    source="J. Schler, M. Koppel: https://u.cs.biu.ac.il/~koppel/BlogCorpus.htm",
    terms="for research that is not commercial: get blogs.zip from the page above, or blogtext.csv from Kaggle",
    files=(RawFile(name="blogs.zip"),),
    layout=(
        "blogs/<id>.<gender>.<age>.<industry>.<sign>.xml: <Blog>, then pairs of <date>day,month,year</date> and "
        "<post>...</post>; not XML in truth (control bytes, & by itself, no end); or blogtext.csv: "
        "id,gender,age,topic,sign,date,text; or FedScale's train/ and test/ with one text file per blogger"
    ),
    preprocessing=(
        "gender, age, industry, sign and dates are not read; urlLink becomes the token of an address, nbsp; a blank; "
        "words in lower case and marks of punctuation are tokens; a blogger's posts are put end to end and cut into "
        "rows of 64 predictions"
    ),
    sample="tokens: uint16 (2 to 65,), each row beginning with the last token of the one before",
    paper=Figures(clients=19_320, samples=137_000_000),
    citation="J. Schler, M. Koppel, S. Argamon, J. Pennebaker: Effects of Age and Gender on Blogging. AAAI-CAAW 2006",
    verification="real",
    verified=(
        "seven real files, their words replaced by others of the same length, one of them with a control byte and one "
        "without its end; the table and the text files made by hand"
    ),
)

_BLANK: Final = re.compile("&?nbsp;")

_MARKS: Final = re.compile(rb"</?(?:Blog|date|post)>")
_NEXT: Final[dict[str, dict[bytes, str]]] = {
    "nothing": {b"<Blog>": "a blog"},
    "a blog": {b"<date>": "a date", b"<post>": "a post", b"</Blog>": "its end"},
    "a date": {b"</date>": "a blog"},
    "a post": {b"</post>": "a blog"},
    "its end": {},
}
"""Where one is after a mark, by where one was."""


@dataclass(frozen=True)
class Blog(NextWord):
    """Posts of blogs."""

    @property
    def card(self) -> Card:
        """Return the card."""
        return CARD

    def scan(self, raw: Path, notes: Notes) -> Iterator[Scanned]:
        """Yield bloggers and posts."""
        if paths := _blogs(raw):
            rows = (row for path in paths for row in _posts(path, notes))
        elif paths := found(raw, "blogtext.csv", "*/blogtext.csv"):
            rows = (row for path in paths for row in _table(path, notes))
        elif paths := folder_files(raw, CARD.name):
            rows = (row for path in paths for row in lines_of(path, notes))
        else:
            raise nothing(raw, CARD.name, ["blogs/<id>.<gender>.<age>.<industry>.<sign>.xml", "blogtext.csv", "train/"])
        yield from batches(_cleaned(rows), {TEXT: pa.large_string()})


def posts_of(content: bytes, where: str) -> Iterator[str]:
    """Yield the posts of a blogger's file.

    Raises:
        DataError: it is no such file, or its marks do not stand in pairs, or it ends within a post.
    """
    inside, begin = "nothing", 0
    for mark in _MARKS.finditer(content):
        after = _NEXT[inside].get(mark[0])
        if after is None and inside == "a post" and mark[0] != b"<post>":
            continue  # somebody writes of such marks
        if after is None:
            line = content.count(b"\n", 0, mark.start()) + 1
            raise DataError(f"{where} line {line}: {mark[0].decode()} in {inside}, where it cannot stand")
        if mark[0] == b"</post>":
            yield decoded(content[begin : mark.start()])
        inside, begin = after, mark.end()
    if inside == "nothing":
        raise DataError(f"{where}: no <Blog> in it; it begins with {content[:20]!r}")
    if inside in ("a date", "a post"):
        raise DataError(f"{where}: it ends in {inside}: cut off")


def _blogs(raw: Path) -> list[Path]:
    return [path for path in found(raw, "*.xml", "*/*.xml", "*/*/*.xml") if NAME.match(path.name)]


def _posts(path: Path, notes: Notes) -> Iterator[tuple[str, str]]:
    match = NAME.match(path.name)
    assert match is not None
    for number, post in enumerate(posts_of(content_of(path, notes), str(path))):
        notes.read += 1
        if post.strip():
            yield match[1], post
        else:
            notes.skip("no text", f"{path}, post {number + 1}")


def _table(path: Path, notes: Notes) -> Iterator[tuple[str, str]]:
    for rows in read_csv(path, TABLE, notes):
        for row, (blogger, text) in enumerate(zip(*(rows.table[name].to_pylist() for name in TABLE), strict=True)):
            notes.read += 1
            if not blogger.strip():
                raise DataError(f"{rows.where(row)}, column 'id': it is empty")
            if text.strip():
                yield blogger.strip(), text
            else:
                notes.skip("no text", rows.where(row))


def _cleaned(rows: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Say links and blanks as other texts do."""
    for blogger, text in rows:
        yield blogger, html.unescape(_BLANK.sub(" ", text.replace("urlLink", " www.link ")))
