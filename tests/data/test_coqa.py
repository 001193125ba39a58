"""Questions about stories."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textsets import imported, nothing_of, place, real, refused, said

from fedscale.data.importers.coqa import _row
from fedscale.data.words import RESERVED, SEPARATOR

STORY = "A cat sat. The dog ran; a cat sat too."
IDS = ["story-1", "story-2"]


def story(name: str, *turns: tuple[str, int, int, str], text: str = STORY) -> dict[str, Any]:
    return {
        "source": "x",
        "id": name,
        "story": text,
        "questions": [{"input_text": asked, "turn_id": turn + 1} for turn, (asked, *_) in enumerate(turns)],
        "answers": [
            {"span_start": start, "span_end": end, "span_text": "-", "input_text": said, "turn_id": turn + 1}
            for turn, (_, start, end, said) in enumerate(turns)
        ],
    }


def written(raw: Path, *stories: dict[str, Any]) -> Path:
    raw.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"version": "1.0", "data": list(stories)})
    (raw / "coqa-train-v1.0.json").write_text(content)
    return raw


FIRST = story(IDS[0], ("Who sat?", 2, 5, "cat"), ("Who ran?", 16, 17, "dog"), ("Why?", -1, -1, "unknown"))
SECOND = story(IDS[1], ("Who sat?", 0, 10, "cat"))


def answers(dataset: Any, client: int) -> list[str]:
    known = dataset.card.vocabulary
    columns = dataset.client(client).columns
    return [
        " ".join(known[token] for token in row[first : last + 1])
        for row, (first, last) in zip(columns["tokens"].rows(), columns["span"][:].tolist(), strict=True)
    ]


def test_questions_and_the_places_of_their_answers(tmp_path: Path) -> None:
    dataset, notes = imported(tmp_path, "coqa", written(tmp_path / "raw", FIRST, SECOND))
    known = set((dataset.card.vocabulary or ())[len(RESERVED) :])
    assert known == {".", ";", "?", "a", "cat", "dog", "ran", "sat", "the", "too", "who"}
    one = place(IDS, IDS[0])
    tale = "<separator> a cat sat . the dog ran ; a cat sat too ."
    assert said(dataset, one) == [f"who sat ? {tale}", f"who sat ? cat who ran ? {tale}"]
    assert answers(dataset, one) == ["cat", "dog"]  # of the whole word, though its middle alone was marked
    assert answers(dataset, place(IDS, IDS[1])) == ["a cat sat ."]
    assert notes.record()["skipped"] == {"its answer is nowhere in the story": 1}
    assert notes.first["its answer is nowhere in the story"].endswith("coqa-train-v1.0.json, data[0].answers[2]")
    nothing_of(dataset.path, *IDS)


@pytest.mark.parametrize(("history", "asked"), [(0, "who ran ?"), (1, "who sat ? cat who ran ?")])
def test_history(tmp_path: Path, history: int, asked: str) -> None:
    dataset, _ = imported(tmp_path, "coqa", written(tmp_path / "raw", FIRST, SECOND), history=history)
    assert said(dataset, place(IDS, IDS[0]))[1].split(" <separator> ")[0] == asked


@pytest.mark.parametrize(
    ("story", "expected", "span"),
    [
        (9, [1, 2, SEPARATOR, 10, 11, 12, 13, 20, 21, 30, 31, 32], (7, 8)),
        (6, [1, 2, SEPARATOR, 12, 13, 20, 21, 30, 31], (5, 6)),
        (3, [1, 2, SEPARATOR, 20, 21, 30], (3, 4)),
        (1, [1, 2, SEPARATOR, 20], (3, 3)),
    ],
)
def test_windows_of_stories(story: int, expected: list[int], span: tuple[int, int]) -> None:
    parts = [np.array(part) for part in ([0, 1, 2], [10, 11, 12, 13], [20, 21], [30, 31, 32])]
    tokens, found = _row(parts, 2, story)
    assert (tokens.tolist(), found) == (expected, span)


def test_real_stories(tmp_path: Path) -> None:
    dataset, notes = imported(tmp_path, "coqa", real("coqa"))
    assert sorted(dataset.counts.tolist()) == [12, 19]
    assert notes.record()["skipped"] == {"its answer is nowhere in the story": 1}


def changed(change: dict[str, Any], where: str = "answers") -> dict[str, Any]:
    whole = json.loads(json.dumps(SECOND))
    (whole[where][0] if where in whole else whole).update(change)
    return whole


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file ends"),
        ("[]", "stands where {"),
        ('{"data": [', "the file ends|not JSON"),
        ('{"version": "1.0"}', "field 'data': no story is in it"),
        ('{"data": []}', "no story is in it"),
        ('{"data": [5]}', r"data\[0\]: 5 is not an object"),
        ('{"data": [{"story": "x"}]}', r"data\[0\], field 'id': None is not text"),
        ('{"data": [{"id": "x", "story": 5}]}', r"data\[0\], field 'story': 5 is not text"),
        (changed({"questions": 5}, ""), r"data\[0\], field 'questions': 5 is not a list"),
        (changed({"answers": []}, ""), r"data\[0\]: the turn_id of its questions are not those"),
        (changed({"turn_id": 2}), r"data\[0\]: the turn_id of its questions are not those"),
        (changed({"turn_id": None}), r"data\[0\].answers\[0\], field 'turn_id': None"),
        (changed({"span_start": "0"}), r"answers\[0\], field 'span_start': '0' is not a whole number"),
        (changed({"input_text": None}, "questions"), r"questions\[0\], field 'input_text': None is not text"),
    ],
)
def test_malformed(tmp_path: Path, content: str | dict[str, Any], message: str) -> None:
    raw = written(tmp_path / "raw", *([content] if isinstance(content, dict) else []))
    if isinstance(content, str):
        (raw / "coqa-train-v1.0.json").write_text(content)
    refused(tmp_path, "coqa", raw, r"coqa-train-v1\.0\.json.*(" + message + ")")


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    refused(tmp_path, "coqa", tmp_path / "raw", "nothing of coqa found.*it is empty")


@pytest.mark.parametrize("change", [{"span_end": 900}, {"span_start": 20}, {"span_start": -2}])
def test_an_answer_that_cannot_be_where_it_is_said_to_be(tmp_path: Path, change: dict[str, int]) -> None:
    dataset, notes = imported(tmp_path, "coqa", written(tmp_path / "raw", FIRST, changed(change)))
    assert len(dataset) == 1
    assert notes.skipped["its answer's place is not in the story"] == 1


def test_half_a_place_is_none(tmp_path: Path) -> None:
    raw = written(tmp_path / "raw", FIRST, changed({"span_start": -1}))
    assert imported(tmp_path, "coqa", raw)[1].skipped["its answer is nowhere in the story"] == 2
