"""``stackoverflow`` and ``stackoverflow_tags``: the next word, or a question's tags; a user is a client.

TensorFlow Federated's preparation (The TensorFlow Federated Authors: "TensorFlow Federated Stack Overflow dataset",
2019), in which each sample is a sentence, or any site of the data dumps of Stack Exchange, in which each is a post.
"""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fedscale.data import words
from fedscale.data.card import Card, Figures, RawFile
from fedscale.data.gather import Gather
from fedscale.data.importing import Importer, Load, Loaded, Scanned
from fedscale.data.notes import Notes
from fedscale.data.ragged import Ragged
from fedscale.data.rawfile import found, nothing
from fedscale.data.rawposts import Post, prose, read_posts, tags_of
from fedscale.data.textfiles import folder_files, lines_of
from fedscale.data.texts import (
    TEXT,
    VOCABULARY,
    Labelled,
    NextWord,
    batches,
    changed,
    clients_of,
    numbered,
    vocabulary_of,
)
from fedscale.data.tffdatabase import Example, read_examples
from fedscale.data.tffgroups import read_groups
from fedscale.errors import DataError
from fedscale.section import Component, Positive

TAGS: Final = 500
"""Labels, unless other is said; as in TensorFlow Federated."""

QUESTION, ANSWER = "1", "2"
COMMUNITY: Final = "-1"
"""The owner of what belongs to all."""

ROWS: Final = {TEXT: pa.large_string(), "tags": pa.large_string()}

Row = tuple[str, str, str]
"""User, text, and tags with bars between them."""

_COMMON: Final[Mapping[str, Any]] = {
    "modality": "text",
    "client_is": "user (client_id, OwnerUserId)",
    "licence": "CC BY-SA 3.0 (TensorFlow Federated), 2.5 to 4.0 by the post's date (dumps)",
    "source": "TensorFlow Federated; Stack Exchange's data dumps at https://archive.org/details/stackexchange",
    "files": (
        RawFile(
            name="stackoverflow.sqlite.lzma",
            url="https://storage.googleapis.com/tff-datasets-public/stackoverflow.sqlite.lzma",
        ),
    ),
    "layout": (
        "stackoverflow.sqlite(.lzma), table examples of split_name, client_id and a tf.train.Example with tags (a|b), "
        "title, tokens, type, ...; or older stackoverflow_*.h5, examples/<client>/{tags, title, tokens}; or a site's "
        "Posts.xml with one <row/> a line: PostTypeId 1 (question) or 2 (answer), OwnerUserId, Title, Body, Tags; or "
        "FedScale's train/ and test/ with one text file per user, which have no tags"
    ),
    "paper": Figures(clients=342_477, samples=135_000_000),
    "citation": "The TensorFlow Federated Authors: TensorFlow Federated Stack Overflow dataset. 2019",
    "verification": "real",
    "verified": (
        "200 real posts of meta.mathoverflow.net; TensorFlow Federated's database and HDF5 files made by hand in the "
        "documented layout; text files by hand"
    ),
}
_CLEANED: Final = (
    "posts without owner or text are left out, and in posts what stands in blocks of code; words in lower case and "
    "marks of punctuation are tokens, addresses and names of users are replaced; "
)

WORDS_CARD: Final = Card(
    name="stackoverflow",
    title="Stack Overflow: words",
    description="the next word in what each user asked and answered",
    task="next_token",
    metric="perplexity",
    model=Component(name="word_lstm"),
    classes=VOCABULARY + len(words.RESERVED),
    preprocessing=_CLEANED + "a user's texts are put end to end and cut into rows of 64 predictions",
    sample="tokens: uint16 (2 to 65,), each row beginning with the last token of the one before",
    **_COMMON,
)
TAGS_CARD: Final = Card(
    name="stackoverflow_tags",
    title="Stack Overflow: tags",
    description="the tags of a question from its words",
    task="multilabel",
    metric="recall5",
    model=Component(name="bag_of_words", words=VOCABULARY + len(words.RESERVED)),
    classes=TAGS,
    sample_shape=(128,),
    preprocessing=_CLEANED + "an input is the numbers of the first 128 words of title and text; the labels are the 500 "
    "tags that most users use; samples with none of them are left out",
    sample="x: uint16 (128,), numbers of words; labels: uint16, any number of them",
    **_COMMON,
)


@dataclass(frozen=True)
class _Posts(Importer):
    """What both tasks read."""

    def scan(self, raw: Path, notes: Notes) -> Iterator[Scanned]:
        """Yield users, texts and tags."""
        return batches(self._rows(raw, notes), ROWS)

    def _rows(self, raw: Path, notes: Notes) -> Iterator[Row]:
        if paths := found(raw, "*.sqlite", "*.db", "*/*.sqlite"):
            examples = (example for path in paths for example in read_examples(path, notes))
            rows = (self._sentence(example, notes) for example in examples)
        elif paths := found(raw, "*.h5", "*.hdf5", "*/*.h5"):
            examples = (example for path in paths for example in read_groups(path, notes, ("tokens", "title", "tags")))
            rows = (self._sentence(example, notes) for example in examples)
        elif paths := found(raw, "*Posts.xml", "*/*Posts.xml", "*/*/*Posts.xml"):
            rows = (row for path in paths for row in self._site(path, _site(path) if len(paths) > 1 else "", notes))
        elif (paths := folder_files(raw, "stackoverflow")) and self.card.task == "next_token":
            lines = ((path, line) for path in paths for line in lines_of(path, notes))
            rows = (self._usable((client, text, ""), str(path), notes) for path, (client, text) in lines)
        else:
            files = ["stackoverflow.sqlite.lzma", "stackoverflow_*.h5", "Posts.xml"]
            raise nothing(raw, self.card.name, [*files, "FedScale's train/ and test/ (texts without tags)"])
        return (row for row in rows if row is not None)

    def _site(self, path: Path, site: str, notes: Notes) -> Iterator[Row | None]:
        """Yield the posts of a site, whose users are others than those of the same number elsewhere."""
        for post in read_posts(path, notes):
            notes.read += 1
            kind, owner = _needed(post, "PostTypeId"), post.values.get("OwnerUserId")
            if kind not in (QUESTION, ANSWER):
                notes.skip("neither question nor answer", post.where)
            elif not owner or owner == COMMUNITY:
                notes.skip("no owner, or the community", post.where)
            else:
                text = "\n".join(filter(None, (post.values.get("Title"), prose(_needed(post, "Body")))))
                tags = "|".join(tags_of(post.values.get("Tags", "")))
                yield self._usable((f"{site} {owner}".strip(), text, tags), post.where, notes)

    def _sentence(self, example: Example, notes: Notes) -> Row | None:
        notes.read += 1
        text, title, tags = (_feature(example, name) for name in ("tokens", "title", "tags"))
        return self._usable((example.client, self.text(text, title), tags), example.where, notes)

    @abstractmethod
    def text(self, sentence: str, title: str) -> str:
        """Return what is read of one of TensorFlow Federated's samples."""

    def _usable(self, row: Row, where: str, notes: Notes) -> Row | None:
        if not row[1].strip():
            notes.skip("no text", where)
            return None
        return row


@dataclass(frozen=True)
class StackOverflow(_Posts, NextWord):
    """Words of questions and answers."""

    @property
    def card(self) -> Card:
        """Return the card."""
        return WORDS_CARD

    def text(self, sentence: str, title: str) -> str:
        """Return the sentence; the title stands beside every sentence of its question."""
        return sentence


@dataclass(frozen=True)
class StackOverflowTags(_Posts, Labelled):
    """Tags of questions.

    Attributes:
        tags: labels at most; only tags of two users at least are among them.
    """

    tags: Positive = TAGS

    @property
    def card(self) -> Card:
        """Return the card."""
        return TAGS_CARD

    def text(self, sentence: str, title: str) -> str:
        """Return title and sentence."""
        return f"{title}\n{sentence}"

    def prepare(self, gather: Gather, notes: Notes) -> tuple[Card, Load]:
        """Choose words and tags."""
        known = self.known(gather, notes)
        chosen = vocabulary_of(gather.groups(self.clients, self.together), count_tags, self.tags, notes)
        labels = chosen[len(words.RESERVED) :]
        if not labels:
            raise DataError(f"{self.raw}: no tag is used by two users: there is nothing to learn")
        card = changed(self.finished(known), classes=len(labels), label_names=labels)
        return card, functools.partial(_questions, known, labels, self.words)

    def _usable(self, row: Row, where: str, notes: Notes) -> Row | None:
        if not row[2]:
            notes.skip("no tags (answers of a dump have none)", where)
            return None
        return super()._usable(row, where, notes)


def count_tags(rows: pa.Table) -> pa.Table:
    """Return how many users use each tag."""
    return words.count(_lists(rows), clients_of(rows))


def _lists(rows: pa.Table) -> pa.Array:
    return pc.split_pattern(rows["tags"].combine_chunks(), "|")


def _questions(known: Sequence[str], labels: Sequence[str], length: int, rows: pa.Table) -> Loaded:
    tags = _labelled(_lists(rows), labels)
    texts = numbered(known, rows)
    some, full = tags.lengths > 0, texts.lengths > 0
    kept = some & full
    chosen = np.flatnonzero(kept)
    skipped = {"none of the chosen tags": int((~some).sum()), "no word in it": int((some & ~full).sum())}
    return Loaded({"x": words.bags(texts.take(chosen), length), "labels": tags.take(chosen)}, kept, skipped)


def _labelled(tags: pa.Array, labels: Sequence[str]) -> Ragged:
    """Return the numbers of those tags that are labels."""
    places = pc.index_in(tags.flatten(), pa.array(labels, pa.large_string()))
    there = places.is_valid().to_numpy(zero_copy_only=False)
    ends = np.r_[0, np.cumsum(there)][words.offsets(tags)]
    return Ragged(places.drop_null().to_numpy().astype(words.smallest(len(labels))), ends)


def _site(path: Path) -> str:
    """Return what tells a site from others: its folder, or the file's name if that is its own."""
    return path.parent.name if path.name.startswith("Posts.xml") else path.name.partition("Posts.xml")[0]


def _needed(post: Post, name: str) -> str:
    if name not in post.values:
        raise DataError(f"{post.where}: no attribute {name!r}: it has {', '.join(post.values) or 'none'}")
    return post.values[name]


def _feature(example: Example, name: str) -> str:
    values = example.features.get(name)
    if values is None or len(values) != 1 or not isinstance(values[0], bytes):
        raise DataError(f"{example.where}, feature {name!r}: not one text")
    return values[0].decode(errors="replace")
