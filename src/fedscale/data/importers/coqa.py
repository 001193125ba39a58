"""``coqa``: where in a story the answer to a question is; a story, over which one conversation was held, is a client.

S. Reddy, D. Chen, C. Manning, "CoQA: A Conversational Question Answering Challenge", TACL 2019.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fedscale.data import words
from fedscale.data.card import Card, Figures, RawFile
from fedscale.data.gather import Gather
from fedscale.data.importing import Load, Loaded, Scanned
from fedscale.data.mapping import no_raw_files
from fedscale.data.notes import Notes
from fedscale.data.ragged import Ragged
from fedscale.data.rawfile import found
from fedscale.data.rawwhole import Member, read_members
from fedscale.data.texts import VOCABULARY, TextImporter, batches, count_words, numbered, vocabulary_of
from fedscale.errors import DataError
from fedscale.section import Component, Count, Positive

QUESTION: Final = 64
"""Words of a question with what was asked before it, at most; the last ones are kept."""

STORY: Final = 256
"""Words of a story that a row has at most, the answer among them."""

PARTS: Final = ("question", "before", "answer", "after")
"""A row is a question, and a story in three parts, of which the middle one is where the answer is."""

ROWS: Final = dict.fromkeys(PARTS, pa.large_string())

CARD: Final = Card(
    name="coqa",
    title="CoQA",
    description="the words of a story from which a question about it can be answered",
    task="span",
    metric="f1",
    model=Component(name="reader"),
    modality="text",
    classes=VOCABULARY + len(words.RESERVED),
    client_is="story (id): one conversation of two people",
    licence="by the source of the story: CC BY-SA 4.0, Apache-2.0, MSR-LA; RACE for research only",
    source="S. Reddy, D. Chen, C. Manning: https://stanfordnlp.github.io/coqa",
    files=(
        RawFile(
            name="coqa-train-v1.0.json",
            url="https://nlp.stanford.edu/data/coqa/coqa-train-v1.0.json",
            bytes=49_001_836,
        ),
        RawFile(
            name="coqa-dev-v1.0.json",
            url="https://nlp.stanford.edu/data/coqa/coqa-dev-v1.0.json",
            bytes=9_090_845,
        ),
    ),
    layout=(
        "{version, data: [{id, story, questions: [{input_text, turn_id}], answers: [{span_start, span_end, span_text, "
        "input_text, turn_id}], ...}]}; spans are characters of the story"
    ),
    preprocessing=(
        "a row is the question (with what was asked before it, up to 64 words), a separator, and the story, or a "
        "window of 256 words of it with the answer's place in its middle; the span is the words that the owners' "
        "annotators marked, which is what a model must find; questions without such a place are left out"
    ),
    sample="tokens: uint16 (up to 321,); span: int32 (2,), places of the answer's first and last token in them",
    paper=Figures(clients=7_685, samples=116_000),
    citation="S. Reddy, D. Chen, C. Manning: CoQA: A Conversational Question Answering Challenge. TACL 7, 2019",
    verification="real",
    verified="a real story of each file with 20 and 12 questions; others made by hand",
)


@dataclass(frozen=True)
class Coqa(TextImporter):
    """Questions about stories.

    Attributes:
        history: earlier questions and answers that stand before a question.
        question: words of all of them at most.
        story: words of the story at most.
    """

    history: Count = 1
    question: Positive = QUESTION
    story: Positive = STORY

    @property
    def card(self) -> Card:
        """Return the card."""
        return CARD

    def scan(self, raw: Path, notes: Notes) -> Iterator[Scanned]:
        """Yield stories and questions."""
        paths = found(raw, "coqa*.json", "*/coqa*.json", "*/*/coqa*.json")
        if not paths:
            raise no_raw_files(raw, CARD.name, ["coqa-train-v1.0.json", "coqa-dev-v1.0.json"])
        rows = (row for path in paths for row in _questions(path, self.history, notes))
        yield from batches(rows, ROWS)

    def prepare(self, gather: Gather, notes: Notes) -> tuple[Card, Load]:
        """Return the card with the vocabulary, and what makes rows of tokens."""
        count = functools.partial(count_words, columns=PARTS)
        known = vocabulary_of(gather.groups(self.clients, self.together), count, self.vocabulary, notes)
        return self.finished(known), functools.partial(_rows, known, self.question, self.story)


def _questions(path: Path, history: int, notes: Notes) -> Iterator[tuple[str, ...]]:
    stories = 0
    for member in read_members(path, notes):
        if member.field == "data":
            stories += 1
            yield from _of_story(member, history, notes)
    if stories == 0:
        raise DataError(f"{path}, field 'data': no story is in it")


def _of_story(member: Member, history: int, notes: Notes) -> Iterator[tuple[str, ...]]:
    client, story = member.get("id", str), member.get("story", str)
    questions, answers = (
        [
            Member(member.path, f"{member.where.split(', ', 1)[1]}.{field}", row, value)
            for row, value in enumerate(values)
        ]
        for field, values in (("questions", member.get("questions", list)), ("answers", member.get("answers", list)))
    )
    turns = [turn.get("turn_id", int) for turn in questions]
    if turns != [turn.get("turn_id", int) for turn in answers]:
        raise DataError(f"{member.where}: the turn_id of its questions are not those of its answers")
    told: list[str] = []
    for asked, answered in zip(questions, answers, strict=True):
        notes.read += 1
        told.append(asked.get("input_text", str))
        start, end = _place(answered, story)
        if end > len(story):
            notes.skip("its answer's place is not in the story", answered.where)
        elif start < 0 or not story[start:end].strip():
            notes.skip("its answer is nowhere in the story", answered.where)
        else:
            yield client, " ".join(told[-1 - 2 * history :]), story[:start], story[start:end], story[end:]
        told.append(answered.get("input_text", str))


def _place(answer: Member, story: str) -> tuple[int, int]:
    """Return the characters of an answer, whole words, in the story.

    -1 stands for an answer that has no place, and an end behind the story for one that cannot be.
    """
    start, end = answer.get("span_start", int), answer.get("span_end", int)
    if -1 in (start, end):
        return -1, -1
    if not 0 <= start <= end <= len(story):
        return 0, len(story) + 1
    while 0 < start < end and (story[start - 1] + story[start]).isalnum():
        start -= 1
    while start < end < len(story) and (story[end - 1] + story[end]).isalnum():
        end += 1
    return start, end


def _rows(known: Sequence[str], question: int, story: int, rows: pa.Table) -> Loaded:
    parts = [numbered(known, rows, name) for name in PARTS]
    kept = (parts[0].lengths > 0) & (parts[2].lengths > 0)
    made = [_row([part.row(row) for part in parts], question, story) for row in np.flatnonzero(kept).tolist()]
    tokens = Ragged.of([tokens for tokens, _ in made], words.smallest(len(known)))
    span = np.array([span for _, span in made], np.int32).reshape(-1, 2)
    return Loaded({"tokens": tokens, "span": span}, kept, {"no word in it": int((~kept).sum())})


def _row(parts: Sequence[npt.NDArray[Any]], question: int, story: int) -> tuple[npt.NDArray[Any], tuple[int, int]]:
    """Return a row of tokens, and the places of the answer's first and last one.

    What is around the answer is cut so that it is in the middle, as far as the story reaches.
    """
    asked, before, answer, after = parts[0][-question:], parts[1], parts[2][:story], parts[3]
    room = story - len(answer)
    lead = min(len(before), max(room // 2, room - len(after)))
    context = [before[len(before) - lead :], answer, after[: room - lead]]
    first = len(asked) + 1 + lead
    return np.concatenate([asked, [words.SEPARATOR], *context]), (first, first + len(answer) - 1)
