"""FedScale's archive of Open Images for detection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_raw import (
    annotation,
    by_digest,
    detection_mapping,
    encoded,
    imported,
    labels,
    no_name_in,
    plain,
    refused,
    text,
    trained,
)
from typer.testing import CliRunner

from fedscale.cli.main import app
from fedscale.data.importers.openimage import Openimage, OpenimageDetection

ONE, TWO, THREE, FOUR, FIVE = (f"4fa8054781a4c38{number}" for number in range(5))
VOC = Path("VOCdevkit2007") / "VOC2007"


def archive(root: Path) -> None:
    """Client 0 of trainval has one and two, client 1 three; client 0 of test has four. All but four are 80 × 40."""
    text(root / "class.txt", "Tortoise\nMagpie\nSea turtle\n")
    text(root / "train_size.txt", f"{FOUR}.jpg 20 10\n{ONE}.jpg 7 7\n")
    text(root / "readme.txt", "about this\n")
    detection_mapping(
        root, trainval=[f"0,{ONE}.jpg", f"1,{THREE}.jpg", f"0,{TWO}.jpg"], test=[f"0,{FOUR}.jpg", f"0,{FIVE}.jpg"]
    )
    text(root / VOC / "ImageSets" / "Main" / "trainval.txt", f"{ONE}\n{THREE}\n{TWO}\n")
    annotation(root, ONE, [("magpie", (0, 0, 40, 40)), (" Sea Turtle ", (60, 10, 80, 20))])
    annotation(root, TWO, [("Tortoise", (1, 1, 80, 40)), ("Tortoise", (9, 9, 9, 30)), ("Tortoise", (1, 1, 80, 40))])
    annotation(root, THREE, [])
    annotation(root, FOUR, [("Magpie", (5, 2.5, 10, 10.5))], size="")


def pictures(root: Path) -> None:
    """Left half red, right half blue."""
    halves = np.zeros((40, 80, 3), np.uint8)
    halves[:, :40, 0] = halves[:, 40:, 2] = 200
    folder = root / VOC / "JPEGImages"
    plain(folder / f"{TWO}.jpg", (0, 200, 0))
    (folder / f"{ONE}.jpg").write_bytes(encoded(halves, "JPEG", quality=95, subsampling=0))


def boxes(dataset: Any) -> list[list[list[float]]]:
    columns = [dataset.client(client).columns["boxes"] for client in range(len(dataset))]
    return [[row.tolist() for row in column.rows()] for column in columns]


MAGPIE, TURTLE, TORTOISE = range(3)
"""Classes are numbered in the order of their names."""

FIRST = [MAGPIE, 0, 0, 0.5, 1, TURTLE, 0.75, 0.25, 1, 0.5]
SECOND = [TORTOISE, 0.0125, 0.025, 1, 1]
FOURTH = [MAGPIE, 0.25, 0.25, 0.5, 1]  # in 20 × 10; 10.5 is within a pixel
SKIPPED = {
    "a box that is there already": 1,
    "a box without area": 1,
    "an image without objects": 1,
    "no annotation of the image": 1,
}


@pytest.mark.parametrize("folder", ["raw", "raw/detection", "raw/detection/client_data_mapping"])
def test_boxes_of_clients(tmp_path: Path, folder: str) -> None:
    archive(tmp_path / "raw" / "detection")
    dataset, notes = imported(OpenimageDetection, tmp_path / folder, tmp_path / "store")
    assert boxes(dataset) == [
        [pytest.approx(row) for row in rows] for rows in by_digest({"trainval/0": [FIRST, SECOND], "test/0": [FOURTH]})
    ]
    assert dataset.card.label_names == ("magpie", "sea turtle", "tortoise")
    assert (notes.read, notes.skipped) == (8, SKIPPED)
    assert dataset.card.without == ("x",)
    no_name_in(tmp_path / "store", ONE, FOUR, "trainval/0")


def test_a_few_images_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive(tmp_path / "raw")
    whole, _ = imported(OpenimageDetection, tmp_path / "raw", tmp_path / "whole")
    monkeypatch.setattr("fedscale.limits.SCANNED_ROWS", 2)
    parts, notes = imported(OpenimageDetection, tmp_path / "raw", tmp_path / "parts")
    assert parts.fingerprint == whole.fingerprint
    assert notes.skipped == SKIPPED


@pytest.mark.parametrize("folder", ["raw", "raw/detection", "raw/detection/client_data_mapping"])
def test_photographs(tmp_path: Path, folder: str) -> None:
    archive(tmp_path / "raw" / "detection")
    pictures(tmp_path / "raw" / "detection")
    dataset, notes = imported(OpenimageDetection, tmp_path / folder, tmp_path / "store", pixels=16)
    assert boxes(dataset) == [[pytest.approx(FIRST), pytest.approx(SECOND)]]
    column: Any = dataset.client(0).columns["x"]
    x = column[:]
    assert x.shape == (2, 3, 16, 16)
    assert x[0, 0, :, :6].mean() > 190
    assert x[0, 2, :, 10:].mean() > 190
    assert x[1, 1].mean() > 190
    assert notes.skipped == SKIPPED | {"the image is not there": 1}


def test_objects_of_the_same_archive(tmp_path: Path) -> None:
    archive(tmp_path / "raw")
    dataset, notes = imported(Openimage, tmp_path / "raw", tmp_path / "store")
    assert labels(dataset) == by_digest({"trainval/0": [MAGPIE, TURTLE, TORTOISE], "test/0": [MAGPIE]})
    assert notes.skipped == SKIPPED
    by_image, _ = imported(Openimage, tmp_path / "raw", tmp_path / "images", client="image")
    names = {f"{ONE}.jpg": [MAGPIE, TURTLE], f"{TWO}.jpg": [TORTOISE], f"{FOUR}.jpg": [MAGPIE]}
    assert labels(by_image) == by_digest(names)


def test_without_class_txt_and_with_other_names_of_folders(tmp_path: Path) -> None:
    archive(tmp_path / "raw")
    (tmp_path / "raw" / "class.txt").unlink()
    (tmp_path / "raw" / VOC).rename(tmp_path / "raw" / "VOCdevkit2007" / "VOC2012")
    dataset, _ = imported(OpenimageDetection, tmp_path / "raw", tmp_path / "store", labels=2)
    assert dataset.card.label_names in (("magpie", "sea turtle"), ("magpie", "tortoise"))


@pytest.mark.soak  # torchvision's model takes seconds to import and to build
def test_two_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive(tmp_path / "raw" / "detection")
    pictures(tmp_path / "raw" / "detection")
    plain(tmp_path / "raw" / "detection" / VOC / "JPEGImages" / f"{FOUR}.jpg", (9, 9, 200))
    monkeypatch.setenv("FEDSCALE_CACHE", str(tmp_path / "cache"))
    arguments = ["data", "import", "openimage_detection", "--from", str(tmp_path / "raw"), "--set", "pixels=64"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "openimage_detection: 2 clients" in done.output
    (store,) = (tmp_path / "cache" / "datasets-1").iterdir()
    assert 0 <= trained("openimage_detection", store, tmp_path) <= 1


BOX = "<xmin>0</xmin><ymin>0</ymin><xmax>40</xmax><ymax>40</ymax>"


def voc(content: str = f"<object><name>magpie</name><bndbox>{BOX}</bndbox></object>", size: str = "80") -> str:
    return f"<annotation><size><width>{size}</width><height>40</height></size>\n{content}</annotation>"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"line 1: no XML: no element found"),
        (voc()[:-20], r"line 2: no XML: (no element found|unclosed token)"),
        ("<annotation>\n<object></annotation>", "line 2: no XML: mismatched tag"),
        ("{}", "line 1: no XML"),
        ("<?xml version='1.0' encoding='rot13'?><annotation/>", "no XML"),
        ("<boxes/>", "<boxes> is at its top, not <annotation>"),
        ('<!DOCTYPE a [<!ENTITY b "bb">]><annotation>&b;</annotation>', "a document type"),
        (voc(size="wide"), r", <size>, <width>: 'wide' is no number of pixels"),
        (voc(size="inf"), r"<width>: 'inf' is no number of pixels"),
        (voc(f"<object><bndbox>{BOX}</bndbox></object>"), "object 1: no <name>"),
        (voc("<object><name>magpie</name></object>"), "object 1: no <bndbox>"),
        (voc().replace("<xmax>40</xmax>", ""), "object 1, <xmax>: '' is no number"),
        (voc().replace("<ymax>40", "<ymax>forty"), "object 1, <ymax>: 'forty' is no number"),
        (voc().replace("<ymax>40", "<ymax>nan"), "object 1, <ymax>: 'nan' is no number"),
        (voc().replace("<xmax>40", "<xmax>81.5"), r"<xmax>: 81\.5 is outside of its image, which is 80 pixels"),
        (voc().replace("<ymax>40", "<ymax>42"), r"<ymax>: 42 is outside of its image, which is 40 pixels"),
        (voc().replace("<xmin>0", "<xmin>-2"), r"object 1, <xmin>: -2 is outside.*take the file away"),
        (voc().replace("magpie", "magpies"), r"object 1, <name>: 'magpies' is no class of class\.txt.*'magpie'"),
    ],
)
def test_malformed_annotations(tmp_path: Path, content: str, message: str) -> None:
    archive(tmp_path / "raw")
    text(tmp_path / "raw" / VOC / "Annotations" / f"{TWO}.xml", content)
    refused(OpenimageDetection, tmp_path / "raw", tmp_path / "out" / "store", rf"{TWO}\.xml.*{message}")


def test_what_else_can_be_wrong(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out" / "store"
    archive(raw)
    detection_mapping(raw, trainval=[f"0,{ONE}.jpg", f",{TWO}.jpg"])
    refused(OpenimageDetection, raw, out, r"trainval\.csv row 2, the client: '' names no client")
    detection_mapping(raw, trainval=[f"0,../{ONE}.jpg"])
    refused(OpenimageDetection, raw, out, r"trainval\.csv row 1, the path.*leads out")
    detection_mapping(raw, trainval=[f"0,{FIVE}.jpg"], test=[f"0,{FIVE}.jpg"])
    refused(OpenimageDetection, raw, out, "no sample is left of 2 rows: 2 no annotation of the image")
    detection_mapping(raw, trainval=[f"0,{FOUR}.jpg"])
    (raw / "train_size.txt").unlink()
    refused(OpenimageDetection, raw, out, "neither annotation nor text file says how large the image is")
    (raw / VOC / "Annotations").rename(raw / "elsewhere")
    refused(OpenimageDetection, raw, out, "nothing of openimage_detection found: it should have VOCdevkit2007/VOC2007")
