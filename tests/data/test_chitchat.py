"""Chit-chat: messages by participant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from textsets import imported, nothing_of, place, refused, said

from fedscale.data.statistics import first_sample
from fedscale.data.words import RESERVED

PEOPLE = ["22578ac2-6317", "bebad07e-15df"]


def written(raw: Path, content: Any) -> Path:
    raw.mkdir()
    (raw / "dataset.json").write_text(json.dumps(content))
    return raw


def turn(sender: Any, *texts: Any) -> list[dict[str, Any]]:
    return [{"text": text, "timestamp": "2018-04-19T19:57:51", "sender": sender} for text in texts]


def test_messages(tmp_path: Path) -> None:
    talk = {
        "a07e": {"prompt": "?", "messages": [turn(PEOPLE[0], "Hello", " "), turn(PEOPLE[1], "hello you")]},
        "b07e": {"messages": [turn(PEOPLE[0], "you 2")]},
    }
    dataset, notes = imported(tmp_path, "chitchat", written(tmp_path / "raw", talk))
    assert dataset.card.vocabulary == (*RESERVED, "hello", "you")
    assert said(dataset, place(PEOPLE, PEOPLE[0])) == ["hello <end> you <unknown> <end>"]
    assert said(dataset, place(PEOPLE, PEOPLE[1])) == ["hello you <end>"]
    assert notes.record()["skipped"] == {"no text": 1}
    assert first_sample(dataset)["tokens"] in (
        "5 tokens: 'hello <end> you <unknown> <end>'",
        "3 tokens: 'hello you <end>'",
    )
    nothing_of(dataset.path, *PEOPLE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": {"messages": 5}}, r"a\['messages'\]: '5' is no list of messages"),
        ({"a": {"messages": [5]}}, "'5' is no list of messages"),
        ({"a": {"messages": [[5]]}}, "'5' is no message with sender and text"),
        ({"a": {"messages": [turn(None, "x")]}}, "is no message with sender and text"),
        ({"a": {"messages": [turn("p", None)]}}, "is no message with sender and text"),
        ({}, "no sample is left of 0 rows"),
        ([], r"'\[' stands where {"),
    ],
)
def test_malformed(tmp_path: Path, content: Any, message: str) -> None:
    refused(tmp_path, "chitchat", written(tmp_path / "raw", content), message)


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    refused(tmp_path, "chitchat", tmp_path / "raw", r"chitchat_dataset-0\.9\.0-py3-none-any\.whl or dataset\.json")
