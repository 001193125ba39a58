"""Open Images: objects, and boxes in whole images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_raw import (
    MODELS,
    by_digest,
    encoded,
    imported,
    labels,
    mapping,
    no_name_in,
    plain,
    real,
    refused,
    table,
    trained,
)

from fedscale.data.importers.openimage import Openimage, OpenimageDetection
from fedscale.data.pictureset import Pictures
from fedscale.data.ragged import Ragged

IMAGES = (
    "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title,OriginalSize,OriginalMD5,"
    "Thumbnail300KURL,Rotation"
)
BOXES = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
ANN, BOB, CAT = (f"https://www.flickr.com/people/{name}/" for name in ("ann", "1@N04", "cat"))
ONE, TWO, THREE, FOUR = (f"{number}23456789abcdef{number}" for number in range(4))


def image(name: str, author: str) -> str:
    return f'{name},train,http://x,http://y,http://cc,{author},Same Name,"Title, long",1,KFu==,http://z,0.0'


def box(name: str, label: str, *edges: float) -> str:
    """A row; edges as in the file: XMin, XMax, YMin, YMax."""
    return f"{name},xclick,{label},1,{','.join(map(str, edges))},0,0,1,0,0"


def owners(raw: Path) -> None:
    table(
        raw,
        "train-images-boxable-with-rotation.csv",
        IMAGES,
        *(image(name, who) for name, who in ((ONE, ANN), (TWO, BOB), (THREE, ANN), ("f" * 16, CAT))),
        image(FOUR, ""),
    )
    table(
        raw,
        "train-annotations-bbox.csv",
        BOXES,
        box(ONE, "/m/b", 0.0, 0.5, 0.0, 1.0),
        box(ONE, "/m/a", 0.5, 1.0, 0.0, 0.5),
        box(TWO, "/m/a", 0.25, 0.75, 0.5, 1.0),
        box(THREE, "/m/c", 0.5, 0.5, 0.0, 1.0),  # no area
        box(FOUR, "/m/a", 0.0, 1.0, 0.0, 1.0),  # no author
        box("e" * 16, "/m/a", 0.0, 1.0, 0.0, 1.0),  # not in the list
        box(ONE, "/m/a", 0.5, 1.0, 0.0, 0.5),  # there already
        box(THREE, "/m/b", 0.0, 1.0, 0.0, 1.0),
    )
    table(raw, "class-descriptions-boxable.csv", "/m/a,Tortoise", '/m/b,"Magpie, small"')


SKIPPED = {
    "a box of a photograph that the lists lack": 1,
    "a box that is there already": 1,
    "a box without area": 1,
    "no AuthorProfileURL": 1,
}


def pictures(raw: Path) -> None:
    """Left half red, right half blue; the others in one colour."""
    halves = np.zeros((40, 80, 3), np.uint8)
    halves[:, :40, 0] = halves[:, 40:, 2] = 200
    (raw / "train").mkdir(parents=True)
    (raw / "train" / f"{ONE}.jpg").write_bytes(encoded(halves, "JPEG", quality=95, subsampling=0))
    plain(raw / "train" / f"{TWO}.jpg", (0, 200, 0))


@pytest.mark.parametrize("folder", ["", "2018_04", "2018_04/train"])
def test_objects_by_author_without_images(tmp_path: Path, folder: str) -> None:
    owners(tmp_path / "raw" / folder)
    dataset, notes = imported(Openimage, tmp_path / "raw", tmp_path / "store")
    assert labels(dataset) == by_digest({ANN: [1, 0, 1], BOB: [0]})
    assert dataset.card.label_names == ("Tortoise", "Magpie, small")
    assert (dataset.card.classes, dataset.card.without) == (2, ("x",))
    assert (notes.read, notes.skipped) == (8, SKIPPED)
    no_name_in(tmp_path / "store", ANN, BOB, CAT, "people/", "Same Name")


@pytest.mark.parametrize("importer", [Openimage, OpenimageDetection])
def test_one_list_of_boxes_is_read_with_what_lies_beside_it(tmp_path: Path, importer: type[Pictures]) -> None:
    owners(tmp_path / "raw")
    boxes = tmp_path / "raw" / "train-annotations-bbox.csv"
    dataset, notes = imported(importer, boxes, tmp_path / "store")
    assert len(dataset) == 2
    assert dataset.card.label_names == ("Tortoise", "Magpie, small")
    assert notes.told == [f"no images under {boxes}: labels and clients only; statistics can be had, training cannot"]


def test_lists_without_authors_are_left_alone(tmp_path: Path) -> None:
    owners(tmp_path / "raw")
    table(tmp_path / "raw", "train-images-boxable.csv", "image_name,image_url", f"{ONE}.jpg,https://x/{ONE}.jpg")
    dataset, _ = imported(Openimage, tmp_path / "raw", tmp_path / "store")
    assert labels(dataset) == by_digest({ANN: [1, 0, 1], BOB: [0]})
    (tmp_path / "raw" / "train-images-boxable-with-rotation.csv").unlink()
    _, notes = imported(Openimage, tmp_path / "raw", tmp_path / "alone")
    assert notes.told[0].startswith("no train-images-boxable-with-rotation.csv, in which authors are")


def test_objects_are_cut_out(tmp_path: Path) -> None:
    owners(tmp_path / "raw")
    pictures(tmp_path / "raw")
    dataset, notes = imported(Openimage, tmp_path / "raw", tmp_path / "store", pixels=16)
    assert labels(dataset) == by_digest({ANN: [1, 0], BOB: [0]})
    assert notes.skipped == SKIPPED | {"the image is not there": 1}
    colours = by_digest({ANN: [(200, 0, 0), (0, 0, 200)], BOB: [(0, 200, 0)]})
    for client, expected in enumerate(colours):
        x: Any = dataset.client(client).columns["x"][:]
        assert np.abs(x.astype(int)[:, :, 4:-4, 4:-4].mean(axis=(2, 3)) - expected).max() < 8


def test_boxes_by_author(tmp_path: Path) -> None:
    owners(tmp_path / "raw")
    dataset, notes = imported(OpenimageDetection, tmp_path / "raw", tmp_path / "labels")
    first, second = [1, 0, 0, 0.5, 1, 0, 0.5, 0, 1, 0.5], [1, 0, 0, 1, 1]
    expected = by_digest({ANN: [first, second], BOB: [[0, 0.25, 0.5, 0.75, 1]]})
    assert boxes(dataset) == expected
    assert (notes.read, notes.skipped) == (8, SKIPPED)
    pictures(tmp_path / "raw")
    dataset, notes = imported(OpenimageDetection, tmp_path / "raw", tmp_path / "images", pixels=16)
    assert boxes(dataset) == by_digest({ANN: [first], BOB: [[0, 0.25, 0.5, 0.75, 1]]})
    assert notes.skipped == SKIPPED | {"the image is not there": 1}
    (client,) = (number for number in range(2) if boxes(dataset)[number] == [first])
    x: Any = dataset.client(client).columns["x"][:]
    assert x[0, 0, :, :6].mean() > 190  # squeezed, not cut: the left is still red
    assert x[0, 2, :, 10:].mean() > 190
    assert x[0, 0, :, 10:].mean() < 10


def boxes(dataset: Any) -> list[list[list[float]]]:
    columns = [dataset.client(client).columns["boxes"] for client in range(len(dataset))]
    assert all(isinstance(column, Ragged) for column in columns)
    return [[row.tolist() for row in column.rows()] for column in columns]


def test_most_frequent_classes(tmp_path: Path) -> None:
    owners(tmp_path / "raw")
    dataset, notes = imported(Openimage, tmp_path / "raw", tmp_path / "store", labels=1)
    # /m/a occurs three times (once again), /m/b twice
    assert labels(dataset) == by_digest({ANN: [0], BOB: [0]})
    assert dataset.card.label_names == ("Tortoise",)
    assert notes.skipped["a label that is not among the most frequent ones"] == 2
    detection, _ = imported(OpenimageDetection, tmp_path / "raw", tmp_path / "boxes", labels=1)
    assert [len(rows) for rows in boxes(detection)] == [1, 1]


def test_newer_files_beside_older_ones(tmp_path: Path) -> None:
    owners(tmp_path / "raw")
    wide = [f"{BOXES},XClick1X", f"{ONE},xclick,/m/b,1,0.000000,0.500000,0.000000,1.000000,0,0,0,0,0,0.1"]
    table(tmp_path / "raw", "oidv6-train-annotations-bbox.csv", *wide)
    table(tmp_path / "raw", "oidv6-class-descriptions.csv", "LabelName,DisplayName", "/m/b,Magpie")
    (tmp_path / "raw" / "class-descriptions-boxable.csv").unlink()
    dataset, notes = imported(Openimage, tmp_path / "raw", tmp_path / "store")
    assert [sorted(row) for row in labels(dataset)] == by_digest({ANN: [0, 1, 1], BOB: [0]})
    assert notes.skipped["a box that is there already"] == 2
    assert dataset.card.label_names == ("/m/a", "Magpie")


def test_fedscales_archive(tmp_path: Path) -> None:
    mapping(tmp_path / "open_images", train=["0,a.jpg,Cat,5", "1,b.jpg,Dog,2"], val=["0,c.jpg,Cat,5"])
    for split, name in (("train", "a"), ("train", "b"), ("val", "c")):
        plain(tmp_path / "open_images" / split / f"{name}.jpg", (9, 9, 9))
    dataset, notes = imported(Openimage, tmp_path, tmp_path / "store", pixels=8)
    assert labels(dataset) == by_digest({"train/0": [5], "train/1": [2], "val/0": [5]})
    assert dataset.card.label_names == ("", "", "Dog", "", "", "Cat")
    assert notes.skipped == {}


@pytest.mark.parametrize("settings", MODELS)
def test_two_rounds_on_objects(tmp_path: Path, settings: list[str]) -> None:
    owners(tmp_path / "raw")
    pictures(tmp_path / "raw")
    imported(Openimage, tmp_path / "raw", tmp_path / "store", pixels=32)
    assert 0 <= trained("openimage", tmp_path / "store", tmp_path, *settings) <= 1


def test_two_rounds_on_boxes(tmp_path: Path) -> None:
    owners(tmp_path / "raw")
    pictures(tmp_path / "raw")
    imported(OpenimageDetection, tmp_path / "raw", tmp_path / "store", pixels=64)
    assert 0 <= trained("openimage_detection", tmp_path / "store", tmp_path) <= 1


def test_real_boxes(tmp_path: Path) -> None:
    raw = real("openimages")
    for importer in (Openimage, OpenimageDetection):
        message = "none of the 203 boxes is of one of the 3 photographs in.*--set client=image"
        refused(importer, raw, tmp_path / "out" / "store", message, client="author")
    rows = [row.split(",") for path in raw.glob("*bbox.csv") for row in path.read_text().splitlines()[1:]]
    names = [row[0] for row in rows]
    dataset, notes = imported(Openimage, raw, tmp_path / "photographs")
    assert any("each photograph is a client" in sentence for sentence in notes.told)
    assert "a box of a photograph that the lists lack" not in notes.skipped
    assert dataset.counts.tolist() == by_digest({name: names.count(name) for name in names})
    detection, _ = imported(OpenimageDetection, raw, tmp_path / "boxes", client="image")
    assert [len(row[0]) // 5 for row in boxes(detection)] == dataset.counts.tolist()


def test_real_authors(tmp_path: Path) -> None:
    raw = real("openimages")
    for path in raw.glob("*with-rotation.csv"):
        (tmp_path / path.name).symlink_to(path)
    table(tmp_path, "train-annotations-bbox.csv", BOXES, box("4fa8054781a4c382", "/m/011k07", 0, 1, 0, 1))
    table(tmp_path, "validation-annotations-bbox.csv", BOXES, box("fe600639ac5f36c1", "/m/012074", 0, 1, 0, 1))
    (tmp_path / "oidv6-class-descriptions-boxable.csv").symlink_to(raw / "oidv6-class-descriptions-boxable.csv")
    dataset, _ = imported(Openimage, tmp_path, tmp_path / "store")
    people = "https://www.flickr.com/people/{}/"
    assert labels(dataset) == by_digest({people.format("user_0001"): [0], people.format("000000003@N04"): [1]})
    assert dataset.card.label_names == ("Tortoise", "Magpie")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([BOXES, box(ONE, "/m/a", 0, 640, 0, 1)], r"row 1, column 'XMax': 640.0 is not from 0 to 1"),
        ([BOXES, box(ONE, "/m/a", 0, 1, 0, 1), box(ONE, "/m/a", -0.1, 1, 0, 1)], r"row 2, column 'XMin': -0.1 is not"),
        ([BOXES, box(ONE, "/m/a", 0, 1, 0, float("nan"))], r"row 1, column 'YMax': nan is not from 0 to 1"),
        ([BOXES, f"{ONE},xclick,/m/a,1,0,1,left,1,0,0,0,0,0"], r"column 'YMin': 'left' is not a number"),
        ([BOXES, f"{ONE},xclick,/m/a,1,0,1,,1,0,0,0,0,0"], r"column 'YMin': '' is not a number"),
        ([BOXES, f"{ONE},xclick,/m/a,1,0,1"], "Expected 13 columns, got 6"),
        ([BOXES.replace("LabelName", "Label"), box(ONE, "/m/a", 0, 1, 0, 1)], "no column 'LabelName'.*'Label'"),
        ([BOXES], "no sample is left|no row that can be used|none of the 0 boxes"),
        ([""], "no header"),
    ],
)
def test_malformed_boxes(tmp_path: Path, rows: list[str], message: str) -> None:
    owners(tmp_path / "raw")
    table(tmp_path / "raw", "train-annotations-bbox.csv", *rows)
    refused(Openimage, tmp_path / "raw", tmp_path / "out" / "store", message)


def test_other_malformed_files(tmp_path: Path) -> None:
    out, raw = tmp_path / "out" / "store", tmp_path / "raw"
    raw.mkdir()
    refused(Openimage, raw, out, "nothing of openimage found.*train-annotations-bbox.csv")
    owners(raw)
    table(raw, "class-descriptions-boxable.csv", "/m/a,Tortoise", "/m/b")
    refused(Openimage, raw, out, r"class-descriptions-boxable\.csv line 2: 1 values, not a class's code and its name")
    (raw / "class-descriptions-boxable.csv").write_bytes(b"/m/a,\xff\n")
    refused(Openimage, raw, out, r"class-descriptions-boxable\.csv: cannot be read")
    (raw / "class-descriptions-boxable.csv").unlink()
    table(raw, "train-images-boxable-with-rotation.csv", "ImageID,Author", "a,b")
    refused(OpenimageDetection, raw, out, "no column 'AuthorProfileURL'")
    (raw / "train-images-boxable-with-rotation.csv").unlink()
    message = "no train-images-boxable-with-rotation.csv.*--set client=image"
    refused(Openimage, raw, out, message, client="author")
