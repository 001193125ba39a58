"""Reddit's comments: whole months, LEAF's preparation, FedScale's folders; malformed JSON lines."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from textsets import imported, nothing_of, place, real, refused, said

from fedscale.data.words import RESERVED

PEOPLE = ["Ann_Q", "bob-x"]
COMMENTS: list[dict[str, Any]] = [
    {"author": "Ann_Q", "body": "Hello there, see http://x.y/z", "created_utc": "1192450691"},
    {"author": "bob-x", "body": "hello \n there u/Ann_Q", "created_utc": 1475280000},
    {"author": "[deleted]", "body": "hello"},
    {"author": "Ann_Q", "body": "&gt;there"},
    {"author": "Ann_Q", "body": "[removed]"},
    {"author": "bob-x", "body": " "},
    {"body": "nobody"},
    {"author": "Ann_Q", "body": "\ud83d"},
]


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def month(raw: Path, content: bytes, name: str = "RC_2017-12") -> Path:
    (raw / name).parent.mkdir(parents=True, exist_ok=True)
    (raw / name).write_bytes(content)
    return raw


def test_comments_become_rows_of_words(tmp_path: Path) -> None:
    raw = month(tmp_path / "raw", lines(COMMENTS))
    dataset, notes = imported(tmp_path, "reddit", raw)
    assert dataset.counts.tolist() == [1, 1]
    assert dataset.card.vocabulary == (*RESERVED, "hello", "there")
    assert dataset.card.classes == 9
    ann, bob = (place(PEOPLE, name) for name in PEOPLE)
    assert said(dataset, ann) == ["hello there <unknown> <unknown> <url> <end> <unknown> there <end> <unknown> <end>"]
    assert said(dataset, bob) == ["hello there <user> <end>"]
    assert notes.record() == {
        "read": 8,
        "skipped": {"no author, or [deleted]": 2, "no text, [deleted] or [removed]": 2},
        "told": [],
    }
    assert notes.first["no author, or [deleted]"].endswith("RC_2017-12 line 3")
    nothing_of(dataset.path, *PEOPLE, "ann_q")


def test_long_texts_are_cut(tmp_path: Path) -> None:
    words = [f"w{number}" for number in range(10)]
    raw = month(tmp_path / "raw", lines([{"author": name, "body": " ".join(words)} for name in "ab"]))
    dataset, _ = imported(tmp_path, "reddit", raw, window=4, vocabulary=9)
    assert dataset.counts.tolist() == [3, 3]
    assert said(dataset, 0) == ["w0 w1 w2 w3 w4", "w4 w5 w6 w7 w8", "w8 <unknown> <end>"]


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("RC_2017-12.zst", zstandard.compress),
        ("comments/RC_2017-12.bz2", bz2.compress),
        ("RC_2017-12.xz", lzma.compress),
        ("RC_2017-12.gz", gzip.compress),
        ("some_comments.zst", zstandard.compress),
    ],
)
def test_compressed_months(tmp_path: Path, name: str, pack: Any) -> None:
    dataset, notes = imported(tmp_path, "reddit", month(tmp_path / "raw", pack(lines(COMMENTS)), name))
    assert len(dataset) == 2
    assert notes.read == 8


def test_fewer_clients_and_comments(tmp_path: Path) -> None:
    raw = month(tmp_path / "raw", lines(COMMENTS))
    assert len(imported(tmp_path / "one", "reddit", raw, clients=1)[0]) == 1
    assert imported(tmp_path / "two", "reddit", raw, limit=1)[0].counts.tolist() == [1]


@pytest.mark.parametrize("top", ["", "reddit/"])
def test_leaf(tmp_path: Path, top: str) -> None:
    users = {"Ann_Q": {"x": ["hello there", "[deleted]"], "y": [{}]}, "bob-x": {"x": [[["<BOS>", "hello", "<PAD>"]]]}}
    content = json.dumps({"users": list(users), "num_samples": [2, 1], "user_data": users}).encode()
    dataset, notes = imported(tmp_path, "reddit", month(tmp_path / "raw", content, f"{top}train/train_data.json"))
    assert said(dataset, place(PEOPLE, "Ann_Q")) == ["hello <unknown> <end>"]
    assert said(dataset, place(PEOPLE, "bob-x")) == ["hello <end>"]
    assert notes.read == 3
    nothing_of(dataset.path, *PEOPLE)


@pytest.mark.parametrize("top", ["", "reddit/"])
def test_files_of_clients(tmp_path: Path, top: str) -> None:
    raw = month(tmp_path / "raw", b"hello there\n\nworld\n", f"{top}train/17.txt")
    month(raw, "hello w\u00e9".encode("latin-1"), f"{top}test/18.txt")
    month(raw, b"\x80pickle", f"{top}train/albert_cached_lm_62")
    dataset, _ = imported(tmp_path, "reddit", raw)
    assert said(dataset, place(["train/17", "test/18"], "train/17")) == ["hello <unknown> <end> <unknown> <end>"]
    assert said(dataset, place(["train/17", "test/18"], "test/18")) == ["hello <unknown> <end>"]


def test_real_comments(tmp_path: Path) -> None:
    dataset, notes = imported(tmp_path, "reddit", real("reddit"))
    assert dataset.counts.tolist() == [1] * 6
    assert notes.record()["skipped"] == {}
    assert "good" in (dataset.card.vocabulary or ())
    nothing_of(dataset.path, *(f"user_000{number}" for number in range(1, 7)))


def test_many_groups_go_through_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"author": f"p{number % 50}", "body": f"word w{number % 7} only{number}"} for number in range(400)]
    raw = month(tmp_path / "raw", lines(rows))
    one, _ = imported(tmp_path / "one", "reddit", raw)
    monkeypatch.setattr("fedscale.limits.GROUP_BYTES", 4000)
    many, _ = imported(tmp_path / "many", "reddit", raw)
    assert one.fingerprint == many.fingerprint
    assert one.counts.tolist() == [1] * 50
    assert one.card.vocabulary == (*RESERVED, *(f"w{number}" for number in range(7)), "word")
    assert np.array_equal(one.counts, many.counts)


GOOD = lines(COMMENTS[:1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{\n", r"RC_2017-12 line 1: not JSON"),
        (GOOD + GOOD[:30], r"RC_2017-12 line 2: not JSON"),
        (GOOD + b"\n\n[1, 2]\n", r"RC_2017-12 line 4: '\[1, 2\]' is not an object"),
        (b"null\n", r"line 1: 'None' is not an object"),
        (b'"text"\n', r"line 1: 'text' is not an object"),
        (b"12\n", r"line 1: '12' is not an object"),
        (b'{"author": 5, "body": "x"}\n', r"line 1, field 'author': '5' is not text"),
        (b'{"author": "a", "body": ["x"]}\n', r"line 1, field 'body': .* is not text"),
        (b'{"author": {"name": "a"}, "body": "x"}\n', r"line 1, field 'author'"),
        (b'{"author": "a", "body": true}\n', r"line 1, field 'body': 'True' is not text"),
        (b'{"author": "a", "body": "\xff"}\n', r"line 1: not JSON: .*utf-8"),
        (b"\x00\x00\x00\n", r"line 1: not JSON"),
        (b"[" * 100_000 + b"\n", r"line 1: not JSON"),
        (b'{"author": "a", "body": "x"} {"author": "b", "body": "y"}\n', r"line 1: not JSON: Extra data"),
        (gzip.compress(GOOD), r"line 1: not JSON"),
        (b'{"author": "a", "body": "x\ny"}\n', r"line 1: not JSON"),
    ],
)
def test_malformed_lines(tmp_path: Path, content: bytes, message: str) -> None:
    refused(tmp_path, "reddit", month(tmp_path / "raw", content), message)


@pytest.mark.parametrize("name", ["RC_2017-12.zst", "RC_2017-12.bz2", "RC_2017-12.xz", "RC_2017-12.gz"])
@pytest.mark.parametrize("content", [b"", b"not compressed at all", "cut"], ids=["empty", "plain", "cut"])
def test_damaged_compression(tmp_path: Path, name: str, content: bytes | str) -> None:
    packs: dict[str, Any] = {".zst": zstandard.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    whole = packs.get(Path(name).suffix, gzip.compress)(lines(COMMENTS * 50))
    broken = whole[: len(whole) // 2] if isinstance(content, str) else content
    refused(tmp_path, "reddit", month(tmp_path / "raw", broken, name), r"RC_2017-12\.")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[]", "'\\[' stands where {"),
        (b'{"users": []', "the file ends"),
        (b'{"users": ["a"]}', "field 'user_data': no user is in it"),
        (b'{"user_data": ["a"]}', "field 'user_data': it is no object of users"),
        (b'{"user_data": {"a": {"y": []}}}', r"user_data\['a'\], field 'x': None is not a list"),
        (b'{"user_data": {"a": 5}}', r"user_data\['a'\]: 5 is not an object"),
        (b'{"user_data": {"a": {"x": [5]}}}', r"user_data\['a'\], x\[0\]: '5' is neither text nor a list"),
    ],
)
def test_malformed_leaf(tmp_path: Path, content: bytes, message: str) -> None:
    refused(tmp_path, "reddit", month(tmp_path / "raw", content, "train/a.json"), message)


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    refused(tmp_path, "reddit", month(tmp_path / "raw", b"x", "readme.md"), "nothing of reddit found.*it has readme.md")


@pytest.mark.parametrize("name", ["RC_2018-10-01", "RC_2016-10.jsonl", "x/y/AskReddit_comments.ndjson"])
def test_other_names_of_files(tmp_path: Path, name: str) -> None:
    raw = month(tmp_path / "raw", lines(COMMENTS), name)
    month(raw, b"0123  RC_2016-10.zst", "RC_2016-10.zst.sha256")
    month(raw, b'{"author": "Ann_Q", "title": "x"}', "RS_2016-10")
    assert imported(tmp_path, "reddit", raw)[0].counts.tolist() == [1, 1]
