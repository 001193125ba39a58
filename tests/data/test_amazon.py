"""Reviews at Amazon: three collections, repeats, FedScale's mapping; stars and words."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textsets import imported, nothing_of, place, real, refused, said

from fedscale.data.words import RESERVED, UNKNOWN

PEOPLE = ["A1AAAAAAAAAAAA", "A2BBBBBBBBBBBB"]


def review(reviewer: str, text: str | None, stars: Any = 5.0, **more: Any) -> dict[str, Any]:
    found = {"reviewerID": reviewer, "asin": "B1", "reviewerName": "Jo Doe", "overall": stars, **more}
    return found if text is None else found | {"reviewText": text}


ROWS = [
    review(PEOPLE[0], "Good cable", 5.0, helpful=[0, 0]),
    review(PEOPLE[0], "Good cable", 5.0, helpful=[0, 0]),
    review(PEOPLE[0], "good cable", 4.0),
    review(PEOPLE[1], "bad cable.", 1),
    review(PEOPLE[1], None),
    review(PEOPLE[1], "fine", 0.0),
    review("", "fine"),
    review(PEOPLE[1], "\u200b", 3),
]


def written(raw: Path, rows: list[dict[str, Any]], name: str = "Music_5.json") -> Path:
    raw.mkdir(exist_ok=True)
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (raw / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return raw


@pytest.mark.parametrize("name", ["Music_5.json", "Music.json.gz"])
def test_stars(tmp_path: Path, name: str) -> None:
    raw = written(tmp_path / "raw", ROWS, name)
    written(raw, [{"asin": "B1", "title": "no review"}], "meta_Music.json")
    dataset, notes = imported(tmp_path, "amazon", raw, words=3)
    first, second = (place(PEOPLE, name) for name in PEOPLE)
    cable, good = len(RESERVED), UNKNOWN  # only "cable" is of two reviewers
    assert dataset.card.vocabulary == (*RESERVED, "cable")
    assert dataset.card.model.options == {"words": 8}
    assert dataset.card.sample_shape == (3,)
    np.testing.assert_array_equal(dataset.client(first).columns["x"][:], [[good, cable, 0]] * 2)  # type: ignore[index]
    np.testing.assert_array_equal(dataset.client(first).columns["y"][:], [4, 3])  # type: ignore[index]
    np.testing.assert_array_equal(dataset.client(second).columns["x"][:], [[UNKNOWN, cable, UNKNOWN]])  # type: ignore[index]
    np.testing.assert_array_equal(dataset.client(second).columns["y"][:], [0])  # type: ignore[index]
    assert notes.record()["read"] == 8
    assert notes.skipped == {
        "no reviewer": 1,
        "no text": 1,
        "no word in it": 1,
        "not 1 to 5 stars": 1,
        "repeated exactly": 1,
    }
    nothing_of(dataset.path, *PEOPLE, "Jo Doe")


def test_words(tmp_path: Path) -> None:
    dataset, notes = imported(tmp_path, "amazon_words", written(tmp_path / "raw", ROWS))
    assert said(dataset, place(PEOPLE, PEOPLE[0])) == ["<unknown> cable <end> <unknown> cable <end>"]
    assert said(dataset, place(PEOPLE, PEOPLE[1])) == ["<unknown> cable <unknown> <end>"]
    assert notes.skipped["repeated exactly"] == 1


def test_the_collection_of_2023(tmp_path: Path) -> None:
    rows = [{"user_id": name, "text": "so so", "rating": 3.0, "title": "t", "timestamp": 1} for name in "ab"]
    dataset, _ = imported(tmp_path, "amazon", written(tmp_path / "raw", rows, "All_Beauty.jsonl"))
    assert [int(dataset.client(client).columns["y"][0]) for client in (0, 1)] == [2, 2]  # type: ignore[index]
    assert dataset.card.vocabulary == (*RESERVED, "so")


@pytest.mark.parametrize(
    ("name", "head", "row"),
    [
        ("ratings_Music.csv", "", "{user},0000013714,{stars},1353456000"),
        ("Music.csv", "", "0000013714,{user},{stars},1353456000"),
        ("Music.csv.gz", "user_id,parent_asin,rating,timestamp\n", "{user},0000013714,{stars},1353456000"),
    ],
)
def test_ratings_without_reviews(tmp_path: Path, name: str, head: str, row: str) -> None:
    stars = [(PEOPLE[0], "5.0"), (PEOPLE[1], "2"), (PEOPLE[0], "0.0"), (PEOPLE[0], "1.0")]
    content = (head + "".join(row.format(user=user, stars=given) + "\n" for user, given in stars)).encode()
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    dataset, notes = imported(tmp_path, "amazon", tmp_path / "raw")
    assert dataset.card.without == ("x",)
    np.testing.assert_array_equal(dataset.client(place(PEOPLE, PEOPLE[0])).columns["y"][:], [4, 0])  # type: ignore[index]
    np.testing.assert_array_equal(dataset.client(place(PEOPLE, PEOPLE[1])).columns["y"][:], [1])  # type: ignore[index]
    assert notes.skipped == {"not 1 to 5 stars": 1}
    assert notes.first["not 1 to 5 stars"].endswith(f"{name} row 3")
    nothing_of(dataset.path, *PEOPLE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "row 1: '': four values are wanted"),
        ("a,b,c\n", "row 1: 'a,b,c': four values are wanted"),
        ("0000013714,0000013715,5.0,1\n", "which is the reviewer"),
        ("A1AAAAAAAAAAAA,0000013714,five,1\n", "row 1, column 'rating': 'five' is not"),
        ("A1AAAAAAAAAAAA,0000013714,5.0,1\nA1\n", "after row 0: .*Expected 4 columns, got 1"),
    ],
)
def test_malformed_ratings(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "Music.csv").write_text(content)
    refused(tmp_path, "amazon", tmp_path / "raw", r"Music\.csv.*" + message)


def test_what_python_writes_is_read(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "reviews.json").write_text("".join(f"{row!r}\n" for row in ROWS[:4]))
    dataset, _ = imported(tmp_path, "amazon", tmp_path / "raw")
    assert dataset.counts.sum() == 3
    (tmp_path / "raw" / "reviews.json").write_text("{'reviewerID': open('x')}\n")
    refused(tmp_path, "amazon", tmp_path / "raw", "line 1: neither JSON nor a Python literal")


def mapped(raw: Path, *rows: list[str]) -> Path:
    (raw / "client_data_mapping").mkdir(parents=True)
    with (raw / "client_data_mapping" / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["client_id", "data_path", "label_name", "label_id"], *rows])
    return raw


def test_the_archive_of_fedscale(tmp_path: Path) -> None:
    rows = [["7", 'a "good"\none', "5", "4"], ["8", "a bad one", "1", "0"], ["7", " ", "2", "1"]]
    dataset, notes = imported(tmp_path, "amazon", mapped(tmp_path / "raw", *rows), words=4)
    assert dataset.card.vocabulary == (*RESERVED, "a", "one")
    columns = dataset.client(place(["7", "8"], "7")).columns
    np.testing.assert_array_equal(columns["y"][:], [4])  # type: ignore[index]
    np.testing.assert_array_equal(columns["x"][:], [[7, 1, 1, 1]])  # type: ignore[index]
    assert notes.skipped == {"no text": 1}


@pytest.mark.parametrize("stars", ["0", "6", "good", "", "1.5"])
def test_stars_that_are_none(tmp_path: Path, stars: str) -> None:
    raw = mapped(tmp_path / "raw", ["7", "fine", "5", "4"], ["7", "fine", stars, "4"])
    refused(tmp_path, "amazon", raw, r"train\.csv row 2, the name: '.*' is not 1 to 5 stars")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"asin": "B1"}, r"line 1: no review: its keys are \['asin'\]"),
        ({"reviewerID": "a", "reviewText": "x"}, "line 1: no review"),
        (review("a", "x", "five"), "line 1, field 'overall': 'five' is not a number of stars"),
        (review("a", "x", None), "line 1, field 'overall': 'None'"),
        (review("a", "x", True), "line 1, field 'overall': 'True'"),
        (review("a", 5), "line 1, field 'reviewText': '5' is not text"),  # type: ignore[arg-type]
        (review(["a"], "x"), "line 1, field 'reviewerID'"),  # type: ignore[arg-type]
    ],
)
def test_malformed_reviews(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    refused(tmp_path, "amazon", written(tmp_path / "raw", [row]), message)


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    refused(tmp_path, "amazon_words", written(tmp_path / "raw", [], "readme.md"), "nothing of amazon_words found")


@pytest.mark.parametrize(
    ("year", "clients", "samples", "repeats"), [("2014", 49, 50, 0), ("2018", 77, 131, 68), ("2023", 1, 1, 0)]
)
def test_real_reviews(tmp_path: Path, year: str, clients: int, samples: int, repeats: int) -> None:
    dataset, notes = imported(tmp_path, "amazon", real("amazon", year))
    assert (len(dataset), int(dataset.counts.sum())) == (clients, samples)
    assert notes.skipped.get("repeated exactly", 0) == repeats
    nothing_of(dataset.path, "AUSER", "A0000", "user_0001")


@pytest.mark.parametrize(
    "name", ["meta_Music.json", "metadata.json", "All_Amazon_Meta.json", "qa_Music.json", "asin2category.json"]
)
def test_files_of_products_are_not_read(tmp_path: Path, name: str) -> None:
    raw = written(tmp_path / "raw", ROWS)
    (raw / name).write_text('{"asin": "B1", "title": "a cable"}\n')
    assert imported(tmp_path, "amazon", raw)[1].read == len(ROWS)
