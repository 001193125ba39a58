"""iNaturalist: COCO's form, TensorFlow Federated's divisions, FedScale's archive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_raw import (
    MODELS,
    by_digest,
    imported,
    labels,
    mapping,
    no_name_in,
    plain,
    real,
    refused,
    table,
    text,
    trained,
)

from fedscale.data.importers import inaturalist
from fedscale.data.importers.inaturalist import Inaturalist

CATEGORIES = [{"id": 2, "name": "Turdus merula"}, {"id": 0, "name": "Bellis perennis"}]


def coco(*images: tuple[int, str, str | None, int], **other: Any) -> str:
    """A file: (id, file name, rights holder, category) of each image."""
    whole = {
        "info": {"year": 2019},
        "images": [{"id": n, "file_name": path, "rights_holder": who, "license": 3} for n, path, who, _ in images],
        "categories": CATEGORIES,
        "annotations": [{"id": n, "image_id": n, "category_id": label} for n, _, _, label in reversed(images)],
    }
    return json.dumps(whole | other)


def raw_2019(raw: Path) -> None:
    train = [
        (7, "train_val2019/Birds/2/a.jpg", "Ann Example", 2),
        (5, "train_val2019/Plants/0/b.jpg", "Bob Example", 0),
        (6, "train_val2019/Plants/0/c.jpg", "ann example", 0),
        (9, "train_val2019/Birds/2/d.jpg", None, 2),
        (10, "train_val2019/Birds/2/e.jpg", "", 2),
    ]
    text(raw / "train2019.json", coco(*train))
    text(raw / "val2019.json", coco((11, "train_val2019/Birds/2/f.jpg", "Ann Example", 2)))


def with_images(raw: Path) -> None:
    raw_2019(raw)
    plain(raw / "train_val2019/Birds/2/a.jpg", (200, 0, 0))
    plain(raw / "train_val2019/Plants/0/b.jpg", (0, 200, 0), size=(20, 60))
    plain(raw / "train_val2019/Birds/2/f.jpg", (0, 0, 200))
    (raw / "train_val2019/Plants/0/c.jpg").write_bytes(b"no image")


def test_labels_by_rights_holder_without_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inaturalist, "CHUNK", 2)
    raw_2019(tmp_path / "raw")
    dataset, notes = imported(Inaturalist, tmp_path / "raw", tmp_path / "store")
    assert labels(dataset) == by_digest({"Ann Example": [2, 2], "Bob Example": [0], "ann example": [0]})
    assert dataset.card.label_names == ("Bellis perennis", "", "Turdus merula")
    assert (dataset.card.classes, dataset.card.without) == (3, ("x",))
    assert (notes.read, notes.skipped) == (6, {"no rights_holder": 2})
    no_name_in(tmp_path / "store", "Ann Example", "ann example", "Bob Example")


def test_images_are_kept_small_and_decoded(tmp_path: Path) -> None:
    with_images(tmp_path / "above" / "raw")
    dataset, notes = imported(Inaturalist, tmp_path / "above", tmp_path / "store", pixels=16)
    assert labels(dataset) == by_digest({"Ann Example": [2, 2], "Bob Example": [0]})
    colours = by_digest({"Ann Example": [(200, 0, 0), (0, 0, 200)], "Bob Example": [(0, 200, 0)]})
    for client, expected in enumerate(colours):
        x = dataset.client(client).columns["x"][:]
        assert x.shape == (len(expected), 3, 16, 16)  # type: ignore[union-attr]
        assert np.abs(x.astype(int).mean(axis=(2, 3)) - expected).max() < 4  # type: ignore[union-attr]
    assert notes.skipped["not an image that can be read: it is cut off or of no known kind"] == 1
    assert Inaturalist(pixels=16).directory == "inaturalist-pixels=16"


def test_most_frequent_species_only(tmp_path: Path) -> None:
    raw_2019(tmp_path / "raw")
    dataset, notes = imported(Inaturalist, tmp_path / "raw", tmp_path / "store", labels=1)
    # two each, so the lower number is kept
    assert labels(dataset) == by_digest({"Bob Example": [0], "ann example": [0]})
    assert dataset.card.label_names == ("Bellis perennis",)
    assert notes.skipped["a label that is not among the most frequent ones"] == 2


def test_a_division_of_2017(tmp_path: Path) -> None:
    rows = ["image_id,class,user_120k,geo_100", "aa11,5,u1,NA", "bb22,6,NA,g1", "cc33,7,u1,g1", "dd44,5,u2,g2"]
    table(tmp_path / "raw", "iNaturalist_train.csv", *rows)
    dataset, notes = imported(Inaturalist, tmp_path / "raw", tmp_path / "users")
    assert labels(dataset) == by_digest({"u1": [5, 7], "u2": [5]})
    assert notes.skipped == {"an image that is not in user_120k": 1}
    for species in range(70):  # too many folders to look in, so images are found by their names
        plain(tmp_path / f"raw/images/Aves/s{species}/x{species}.jpg", (0, 0, 0), (8, 8))
    plain(tmp_path / "raw/images/Aves/s3/cc33.jpg", (250, 0, 0), (8, 8))
    dataset, notes = imported(Inaturalist, tmp_path / "raw", tmp_path / "places", split="geo_100", pixels=8)
    assert labels(dataset) == [[7]]
    assert dataset.client(0).columns["x"][:].mean(axis=(0, 2, 3))[0] > 240  # type: ignore[union-attr]
    assert notes.skipped == {"an image that is not in geo_100": 1, "the image is not there": 2}


def test_divisions_as_their_authors_publish_them(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    rows = ["user_id,image_id,class,label", "0,aa11,5,2001", "0,bb22,6,2002", "1,cc33,5,2001"]
    table(raw / "inaturalist-user-120k", "federated_train_user_120k.csv", *rows)
    table(raw / "inaturalist-user-120k", "test.csv", "image_id,class,label", "dd44,5,2001")
    text(raw / "train2017.json", coco((1, "train_val_images/Aves/aa11.jpg", "ann", 2)))  # its labels are others
    dataset, _ = imported(Inaturalist, raw, tmp_path / "users")
    assert labels(dataset) == by_digest({"0": [5, 6], "1": [5]})
    assert dataset.card.label_names is None
    table(tmp_path / "geo", "federated_train_geo_1k.csv", *rows)
    dataset, _ = imported(Inaturalist, tmp_path / "geo", tmp_path / "places", split="geo_1k")
    assert labels(dataset) == by_digest({"0": [5, 6], "1": [5]})
    refused(Inaturalist, tmp_path / "geo", tmp_path / "out" / "store", "no federated_train_user_120k.csv.*geo_1k")


def test_files_of_other_years(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    text(raw / "train2018.json", coco((1, "train_val2018/Aves/2/a.jpg", "ann", 2)))
    text(raw / "inat2018_locations" / "train2018_locations.json", '[{"id": 1, "lat": 1.5, "user_id": 7}]')
    dataset, _ = imported(Inaturalist, raw, tmp_path / "store")
    assert labels(dataset) == [[2]]
    newer = {"latitude": float("nan"), "longitude": None, "location_uncertainty": 12}
    for name in ("train", "train_mini"):  # 2021's second file is a part of the first
        whole = json.loads(coco((1, f"{name}/0002_Aves/a.jpg", "ann", 2)))
        whole["images"][0] |= newer
        text(tmp_path / "newer" / f"{name}.json", json.dumps(whole))
    dataset, _ = imported(Inaturalist, tmp_path / "newer", tmp_path / "both")
    assert labels(dataset) == [[2]]
    (tmp_path / "newer" / "train.json").unlink()
    dataset, _ = imported(Inaturalist, tmp_path / "newer", tmp_path / "small")
    assert labels(dataset) == [[2]]


def test_fedscales_archive(tmp_path: Path) -> None:
    mapping(tmp_path / "inature", train=["3,x/1.jpg,oak,4", "3,x/2.jpg,elm,1"], test=["5,x/3.jpg,oak,4"])
    for number in (1, 2, 3):
        plain(tmp_path / f"inature/x/{number}.jpg", (number, 0, 0))
    dataset, _ = imported(Inaturalist, tmp_path / "inature", tmp_path / "store", pixels=8)
    assert labels(dataset) == by_digest({"train/3": [4, 1], "test/5": [4]})
    assert dataset.card.label_names == ("", "elm", "", "", "oak")


@pytest.mark.parametrize("settings", MODELS)
def test_two_rounds(tmp_path: Path, settings: list[str]) -> None:
    with_images(tmp_path / "raw")
    imported(Inaturalist, tmp_path / "raw", tmp_path / "store", pixels=32)
    assert 0 <= trained("inaturalist", tmp_path / "store", tmp_path, *settings) <= 1


def test_real_entries(tmp_path: Path) -> None:
    raw = real("inaturalist")
    whole = json.loads((raw / "val2019.json").read_text())
    category = {entry["image_id"]: entry["category_id"] for entry in whole["annotations"]}
    expected: dict[str, list[int]] = {}
    for image in whole["images"]:
        expected.setdefault(image["rights_holder"], []).append(category[image["id"]])
    dataset, _ = imported(Inaturalist, raw, tmp_path / "store")
    assert (len(dataset), int(dataset.counts.sum())) == (122, 155)
    assert [sorted(row) for row in labels(dataset)] == [sorted(row) for row in by_digest(expected)]


IMAGE = {"id": 1, "file_name": "a.jpg", "rights_holder": "ann"}
ANNOTATION = {"image_id": 1, "category_id": 2}


def one(**changes: Any) -> dict[str, Any]:
    parts: dict[str, Any] = {"images": [IMAGE], "annotations": [ANNOTATION], "categories": CATEGORIES}
    return parts | changes


@pytest.mark.parametrize(
    ("whole", "message"),
    [
        (one(images=[]), "no images in it"),
        ({"info": 1}, "no images in it"),
        (one(annotations=[]), "no annotations: the labels of its images are not in it"),
        (one(images=[5]), r"images\[0\]: 5 is not an object"),
        (one(images=[IMAGE | {"id": "x"}]), r"images\[0\], field 'id': 'x' is not a whole number"),
        (one(images=[IMAGE | {"id": 1.5}]), r"images\[0\], field 'id': 1.5 is not a whole number"),
        (one(images=[IMAGE | {"id": 2**70}]), r"images\[0\], field 'id': 1180591620717411303424 is no number of an"),
        (one(images=[IMAGE, {"id": 2, "rights_holder": "x"}]), r"images\[1\], field 'file_name': None is not text"),
        (one(images=[IMAGE | {"file_name": "../x.jpg"}]), r"images\[0\], field 'file_name': '\.\./x\.jpg' leads out"),
        (one(images=[IMAGE | {"file_name": "/x.jpg"}]), r"field 'file_name': '/x\.jpg' leads out"),
        (one(images=[IMAGE | {"rights_holder": 5}]), r"images\[0\], field 'rights_holder': 5 is not text"),
        (one(annotations=[{"image_id": 1}]), r"annotations\[0\], field 'category_id': None is not a whole number"),
        (
            one(annotations=[ANNOTATION | {"category_id": -1}]),
            r"annotations\[0\], field 'category_id': -1 is not from 0",
        ),
        (one(annotations=[ANNOTATION | {"category_id": 10**9}]), r"'category_id': 1000000000 is not from 0"),
        (one(annotations=[ANNOTATION | {"image_id": "1"}]), r"annotations\[0\], field 'image_id': '1' is not a whole"),
        (
            one(annotations=[ANNOTATION | {"image_id": 8}]),
            "no sample is left of 1 rows: 1 an annotation of an image that the file lacks",
        ),
        (one(images=[{"id": 1, "file_name": "a.jpg"}]), "no sample is left of 1 rows: 1 no rights_holder"),
        (one(images=[IMAGE | {"id": float("nan")}]), r"images\[0\], field 'id': nan is not a whole number"),
        (one(categories=[{"id": 2}]), r"categories\[0\], field 'name': None is not text"),
        ([IMAGE], r"'\[' stands where { should"),
    ],
)
def test_malformed(tmp_path: Path, whole: Any, message: str) -> None:
    text(tmp_path / "raw" / "val2019.json", json.dumps(whole))
    refused(Inaturalist, tmp_path / "raw", tmp_path / "out" / "store", message)


def test_other_malformed_layouts(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    out = tmp_path / "out" / "store"
    refused(Inaturalist, tmp_path / "raw", out, "nothing of inaturalist found.*it is empty")
    table(tmp_path / "raw", "iNaturalist_train.csv", "image_id,class,geo_100", "a,1,g")
    refused(Inaturalist, tmp_path / "raw", out, "no column 'user_120k' in its header")
    table(tmp_path / "raw", "iNaturalist_train.csv", "image_id,class,user_120k", "a,1,g", "b,-1,g")
    refused(Inaturalist, tmp_path / "raw", out, r"iNaturalist_train\.csv row 2: label -1 is not from 0")
    mapping(tmp_path / "raw", train=["1,a.jpg,x,-2"])
    refused(Inaturalist, tmp_path / "raw", out, r"train\.csv row 1: label -2 is not from 0")
