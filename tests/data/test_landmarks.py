"""Google Landmarks: authors, users, or places as clients."""

from __future__ import annotations

from pathlib import Path

import pytest
from image_raw import MODELS, by_digest, imported, labels, mapping, no_name_in, plain, real, refused, table, trained

from fedscale.data.importers.landmarks import Landmarks

# ids that could be taken for numbers: 1e5 and leading zeros
IDS = ["00000000000001e5", "0123456789012345", "abcdef0123456789", "7e4627eb6f721857"]
OWNER = [
    "id,url,landmark_id",
    *(f"{name},http://x/{name}%2C.jpg,{mark}" for name, mark in zip(IDS, (90, 7, 90, 1000), strict=True)),
]
ATTRIBUTION = [
    "id,url,author,license,title",
    f'{IDS[2]},http://x,"Example, Ann",CC,"a, b"',
    f"{IDS[0]},http://x,Bob,CC,t",
    f'{IDS[1]},http://x,"Example, Ann",CC,t',
    f"{IDS[3]},http://x,,CC,t",
    "ffffffffffffffff,http://x,Dan,CC,t",
]


def owners(raw: Path) -> None:
    table(raw, "train.csv", *OWNER, "eeeeeeeeeeeeeeee,http://x,7")
    table(raw, "train_attribution.csv", *ATTRIBUTION)


def test_authors(tmp_path: Path) -> None:
    owners(tmp_path / "raw" / "metadata")
    dataset, notes = imported(Landmarks, tmp_path / "raw", tmp_path / "store")
    # landmarks 7 and 90 occur: 0 and 1
    assert labels(dataset) == by_digest({"Example, Ann": [0, 1], "Bob": [1]})
    assert dataset.card.label_names == ("7", "90")
    assert (notes.read, notes.skipped) == (5, {"a photograph that the attributions lack": 1, "no author": 1})
    no_name_in(tmp_path / "store", "Example, Ann", "Bob", "Dan")


def test_the_clean_part_and_other_names_of_the_division(tmp_path: Path) -> None:
    clean = ["landmark_id,images", f"90,{IDS[0]} {IDS[2]}", f"7,{IDS[1]}"]
    table(tmp_path / "raw", "train_clean.csv", *clean)
    table(tmp_path / "raw", "train_attribution.csv", *ATTRIBUTION)
    dataset, notes = imported(Landmarks, tmp_path / "raw", tmp_path / "store")
    assert labels(dataset) == by_digest({"Example, Ann": [1, 0], "Bob": [1]})
    assert (notes.read, dataset.card.label_names) == (3, ("7", "90"))
    table(tmp_path / "raw", "train_clean.csv", *clean, "5,abc ../x")
    refused(Landmarks, tmp_path / "raw", tmp_path / "out" / "store", r"row 3, column 'images': 'abc \.\./x' is not ids")
    table(tmp_path / "small" / "datasets", "mini_gld_train_split.csv", "user_id,image_id,class", f"12,{IDS[0]},3")
    dataset, _ = imported(Landmarks, tmp_path / "small", tmp_path / "users")
    assert labels(dataset) == [[0]]


def test_images_in_folders_by_digit(tmp_path: Path) -> None:
    owners(tmp_path / "raw")
    plain(tmp_path / "raw/train/0/0/0/00000000000001e5.jpg", (9, 9, 9))
    plain(tmp_path / "raw/train/0/1/2/0123456789012345.jpg", (9, 9, 9))
    dataset, notes = imported(Landmarks, tmp_path / "raw", tmp_path / "store", pixels=8)
    assert labels(dataset) == by_digest({"Example, Ann": [0], "Bob": [1]})
    assert notes.skipped["the image is not there"] == 1


def test_one_list_is_read_with_what_lies_beside_it(tmp_path: Path) -> None:
    owners(tmp_path / "raw")
    plain(tmp_path / "raw/train/0/1/2/0123456789012345.jpg", (9, 9, 9))
    dataset, notes = imported(Landmarks, tmp_path / "raw" / "train.csv", tmp_path / "store", pixels=8)
    assert labels(dataset) == by_digest({"Example, Ann": [0]})
    assert notes.skipped["the image is not there"] == 2


def test_the_division_by_user(tmp_path: Path) -> None:
    table(
        tmp_path,
        "federated_train.csv",
        "user_id,image_id,class",
        f"12,{IDS[0]},3",
        f"Ann,{IDS[1]},3",
        f"12,{IDS[2]},11",
    )
    table(tmp_path, "train.csv", *OWNER)
    dataset, _ = imported(Landmarks, tmp_path, tmp_path / "store")
    assert labels(dataset) == by_digest({"12": [0, 1], "Ann": [0]})
    assert dataset.card.label_names == ("3", "11")


def test_places_where_nobody_is_named(tmp_path: Path) -> None:
    table(tmp_path / "raw", "train.csv", *OWNER)
    dataset, notes = imported(Landmarks, tmp_path / "raw", tmp_path / "store")
    assert labels(dataset) == by_digest({"7": [0], "90": [1, 1], "1000": [2]})
    assert "nobody knows the authors: each landmark is a client" in notes.told[0]
    table(tmp_path / "raw", "train_attribution.csv", *ATTRIBUTION)
    dataset, notes = imported(Landmarks, tmp_path / "raw", tmp_path / "asked", client="landmark")
    assert len(dataset) == 3
    assert len(notes.told) == 1  # of images


def test_fedscales_archive(tmp_path: Path) -> None:
    mapping(tmp_path / "landmark", train=["3,1.jpg,x,4"], val=["5,2.jpg,y,1"])
    dataset, _ = imported(Landmarks, tmp_path, tmp_path / "store")
    assert labels(dataset) == by_digest({"train/3": [4], "val/5": [1]})


@pytest.mark.parametrize("settings", MODELS)
def test_two_rounds(tmp_path: Path, settings: list[str]) -> None:
    owners(tmp_path / "raw")
    for name in IDS[:3]:
        plain(tmp_path / "raw" / "/".join((*name[:3], f"{name}.jpg")), (9, 99, 9))
    imported(Landmarks, tmp_path / "raw", tmp_path / "store", pixels=32)
    assert 0 <= trained("landmarks", tmp_path / "store", tmp_path, *settings) <= 1


def test_real_rows(tmp_path: Path) -> None:
    raw = real("landmarks")
    rows = (raw / "train.csv").read_text().splitlines()[1:]
    marks = [row.rsplit(",", 1)[1] for row in rows]
    dataset, _ = imported(Landmarks, raw, tmp_path / "places")
    assert dataset.counts.tolist() == by_digest({mark: marks.count(mark) for mark in marks})
    lines = [f"{row.split(',')[0]},http://x,author {number % 3},CC,t" for number, row in enumerate(rows)]
    table(tmp_path / "raw", "train_attribution.csv", "id,url,author,license,title", *lines)
    (tmp_path / "raw" / "train.csv").symlink_to(raw / "train.csv")
    dataset, _ = imported(Landmarks, tmp_path / "raw", tmp_path / "authors")
    assert dataset.counts.tolist() == by_digest({"author 0": 5, "author 1": 5, "author 2": 4})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*OWNER, "zz,http://x,7"], r"train\.csv row 5: 'zz' is no id of a photograph"),
        ([*OWNER, "../../../x,http://x,7"], r"row 5: '\.\./\.\./\.\./x' is no id"),
        ([*OWNER, "abcdef,http://x,-7"], "row 5: label -7 is not from 0"),
        ([*OWNER, "abcdef,http://x,"], "row 5, column 'landmark_id': '' is not a whole number"),
        ([*OWNER, "abcdef,http://x"], "Expected 3 columns, got 2"),
        (["id,url", "a,b"], "no column 'landmark_id'"),
        (
            ["id,url,landmark_id", "abcdef,x,1"],
            r"none of its 1 photographs is in train_attribution\.csv \(5 photographs\)",
        ),
        (["id,url,landmark_id"], "none of its 0 photographs"),
    ],
)
def test_malformed(tmp_path: Path, rows: list[str], message: str) -> None:
    table(tmp_path / "raw", "train_attribution.csv", *ATTRIBUTION)
    table(tmp_path / "raw", "train.csv", *rows)
    refused(Landmarks, tmp_path / "raw", tmp_path / "out" / "store", message)


def test_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    refused(Landmarks, tmp_path / "raw", tmp_path / "out" / "store", "nothing of landmarks found")
