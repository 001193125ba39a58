"""From raw texts to a trained model: an import on the command line, two rounds of the recipe, its metric."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_coqa import story
from test_stackoverflow import dump, row
from whole_runs import CLIENTS, imported_and_trained

from fedscale.recipes import recipe

SAID = "the cat sat on the mat . the dog ran"


def lines(folder: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    folder.mkdir()
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def reddit(folder: Path) -> Path:
    return lines(folder, "RC_2017-12", [{"author": f"a{client}", "body": SAID} for client in range(CLIENTS)] * 2)


def amazon(folder: Path) -> Path:
    rows = [
        {"reviewerID": f"A{client}", "reviewText": f"{SAID} {stars}", "overall": float(stars)}
        for client in range(CLIENTS)
        for stars in (1, 5)
    ]
    return lines(folder, "Music_5.json", rows)


def posts(folder: Path) -> Path:
    return dump(folder, *(row("1", str(client), SAID, "Why", "<python><cats>") for client in range(CLIENTS)))


def blog(folder: Path) -> Path:
    folder.mkdir()
    for client in range(CLIENTS):
        content = f"<Blog><date>1,May,2004</date><post>{SAID}</post></Blog>"
        (folder / f"{client}.male.25.indUnk.Leo.xml").write_text(content)
    return folder


def coqa(folder: Path) -> Path:
    folder.mkdir()
    stories = [story(f"s{client}", ("Who sat?", 4, 7, "cat"), text=SAID) for client in range(CLIENTS)]
    (folder / "coqa-train-v1.0.json").write_text(json.dumps({"version": "1.0", "data": stories}))
    return folder


def europarl(folder: Path) -> Path:
    speeches = "".join(f'<SPEAKER ID={client} NAME="N{client}">\n{SAID}\n' for client in range(CLIENTS))
    for language in ("fr", "en"):
        (folder / "txt" / language).mkdir(parents=True)
        (folder / "txt" / language / "ep-00-01-17.txt").write_text(f"<CHAPTER ID=1>\n{speeches}")
    return folder


def chitchat(folder: Path) -> Path:
    folder.mkdir()
    talk = {"c": {"messages": [[{"sender": f"p{client}", "text": SAID}] for client in range(CLIENTS)]}}
    (folder / "dataset.json").write_text(json.dumps(talk))
    return folder


SETS: dict[str, tuple[Callable[[Path], Path], str, list[str]]] = {
    "reddit": (reddit, "perplexity", ["model={name: word_lstm, embedding: 8, hidden: 8}"]),
    "amazon": (amazon, "accuracy", []),
    "amazon_words": (amazon, "perplexity", ["model={name: word_lstm, embedding: 8, hidden: 8}"]),
    "stackoverflow": (posts, "perplexity", ["model={name: word_lstm, embedding: 8, hidden: 8}"]),
    "stackoverflow_tags": (posts, "recall5", []),
    "blog": (blog, "perplexity", ["model={name: word_lstm, embedding: 8, hidden: 8}"]),
    "coqa": (coqa, "f1", []),
    "europarl": (europarl, "bleu", []),
    "chitchat": (chitchat, "perplexity", ["model={name: word_lstm, embedding: 8, hidden: 8}"]),
}


@pytest.mark.parametrize("name", SETS)
def test_from_raw_files_to_a_metric(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_of(name, SETS[name][2], tmp_path, monkeypatch)


@pytest.mark.soak
def test_albert_reads_comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    run_of("reddit", ["model={name: albert, width: 16, heads: 2, layers: 1}"], tmp_path, monkeypatch)


def run_of(name: str, changes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fixture, metric, _ = SETS[name]
    imported_and_trained(name, fixture(tmp_path / "raw"), metric, tmp_path, monkeypatch, changes)


def test_recipes_speak_of_their_datasets() -> None:
    for name in SETS:
        assert recipe(name).data.name == recipe(name).name == name
