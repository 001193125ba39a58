"""``openimage`` and ``openimage_detection``: objects in photographs; the photograph's author is the client.

A. Kuznetsova et al., "The Open Images Dataset V4", IJCV 128, 2020. Of every box, ``openimage`` makes a sample of its
own, as FedScale does (§3.1: "we extract each object therein"); ``openimage_detection`` keeps images and their boxes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fedscale.data.card import Card, Figures, RawFile
from fedscale.data.importing import Loaded, Scanned
from fedscale.data.joined import Join
from fedscale.data.mapping import mapping_files
from fedscale.data.notes import Notes
from fedscale.data.pictures import EDGES, jpeg_names, stored_images
from fedscale.data.pictureset import Numbering, PictureLoad, Pictures, scan_mapping
from fedscale.data.ragged import Column, Ragged
from fedscale.data.rawcsv import Rows, first_values, read_csv
from fedscale.data.rawfile import found, home, nothing, opened
from fedscale.data.voc import has_annotations, scan_annotations
from fedscale.errors import DataError
from fedscale.section import Component, Positive

TEXT: Final = pa.large_string()

BOXABLE: Final = 600
"""Classes of which boxes are drawn."""

SIDES: Final = {"left": "XMin", "top": "YMin", "right": "XMax", "bottom": "YMax"}

SLACK: Final = 1e-3
"""By how much an edge may be outside of its image, where numbers were rounded."""

Client = Literal["author", "image"]

PUBLISHED: Final = "https://storage.googleapis.com/openimages"

FILES: Final = (
    RawFile(
        name="train-annotations-bbox.csv",
        url=f"{PUBLISHED}/2018_04/train/train-annotations-bbox.csv",
        bytes=1_194_033_454,
    ),
    RawFile(
        name="train-images-boxable-with-rotation.csv",
        url=f"{PUBLISHED}/2018_04/train/train-images-boxable-with-rotation.csv",
    ),
    RawFile(name="class-descriptions-boxable.csv", url=f"{PUBLISHED}/2018_04/class-descriptions-boxable.csv"),
    *(
        RawFile(
            name=f"train_{part}.tar.gz", url=f"https://open-images-dataset.s3.amazonaws.com/tar/train_{part}.tar.gz"
        )
        for part in "0123456789abcdef"
    ),
)

LAYOUT: Final = (
    "*annotations*bbox.csv (ImageID, Source, LabelName, Confidence, XMin, XMax, YMin, YMax, in shares, ...), "
    "*images*.csv (ImageID, Subset, ..., AuthorProfileURL, ...), class-descriptions-boxable.csv (with or without a "
    "header), as published since 2017 (V3) and with oidv6- in their names; images <ImageID>.jpg in folders up to three "
    "levels down"
)

CARD: Final = Card(
    name="openimage",
    title="Open Images: objects by photographer",
    description="the objects in photographs, cut out: 600 classes, each photograph with its author",
    task="classification",
    metric="accuracy",
    model=Component(name="shufflenet_v2"),
    modality="image",
    classes=BOXABLE,
    sample_shape=(3, 128, 128),
    x_scale=1 / 255,
    decode=Component(name="image"),
    client_is="author of the photograph (AuthorProfileURL; the names under Author are not unique)",
    licence="annotations CC BY 4.0; photographs CC BY 2.0, as their authors listed them",
    source="Open Images, https://storage.googleapis.com/openimages/web/index.html",
    terms="its images are 16 archives, together some 500 GB: fetch the lists, and as many archives as are wanted",
    files=FILES,
    layout=LAYOUT
    + "; or FedScale's archive: client_data_mapping/{train,val,test}.csv and images; or that of detection",
    preprocessing=(
        "a sample is the part of a photograph in a box (boxes of groups among them); its middle, as wide as high, is "
        "made 128 × 128 (`pixels`) and kept as JPEG of quality 90. Labels are the 600 (`labels`) most frequent ones, "
        "in the order of their codes. Boxes without area, repeated ones, and those of photographs whose author is not "
        "known, are left out"
    ),
    sample="x: a JPEG, decoded to uint8 (3, 128, 128); y: number of the class",
    paper=Figures(clients=13_771, samples=1_300_000),
    citation="A. Kuznetsova et al.: The Open Images Dataset V4. IJCV 128, 2020",
    verification="real",
    verified=(
        "boxes, lists of photographs and of classes as published, which have no photograph in common; the same files "
        "made by hand with matching rows, and images"
    ),
)

DETECTION: Final = CARD.model_copy(
    update={
        "name": "openimage_detection",
        "title": "Open Images: boxes by photographer",
        "description": "photographs with boxes around objects of 600 classes, each with its author",
        "task": "detection",
        "metric": "map",
        "model": Component(name="ssdlite"),
        "layout": LAYOUT
        + (
            "; or FedScale's archive of detection: client_data_mapping/{trainval,test}.csv (client_id, data_path: "
            "<id>.jpg, ...), class.txt, *.txt (name, width, height), VOCdevkit2007/VOC2007/Annotations/<id>.xml "
            "(PASCAL VOC) and JPEGImages/<id>.jpg"
        ),
        "preprocessing": (
            "a sample is a photograph and its boxes (those of groups among them); it is squeezed to 128 × 128 "
            "(`pixels`) as a whole, so that boxes stay where they are in shares of it, and kept as JPEG of quality 90. "
            "Labels, and what is left out, are as for openimage"
        ),
        "sample": "x: a JPEG, decoded to uint8 (3, 128, 128); boxes: float32, label, left, top, right, bottom of each",
        "verified": CARD.verified
        + (
            "; FedScale's archive of detection made by hand, as its description, the code that read it and nine quoted "
            "lines of its mapping say (github.com/SymbioticLab/FedScale)"
        ),
    }
)


@dataclass(frozen=True)
class Openimage(Pictures):
    """Objects by author.

    Attributes:
        client: who is a client: ``author``, or ``image``, which makes each photograph one; by default its author, and
            each photograph only if no file says who took any of them.
    """

    labels: Positive | None = BOXABLE
    client: Client | None = None

    @property
    def about(self) -> Card:
        """Return the card."""
        return CARD

    def scan(self, raw: Path, notes: Notes) -> Iterator[Scanned]:
        """Yield the boxes of all files of boxes."""
        if has_annotations(raw):
            return scan_annotations(raw, notes, by_image=self.client == "image")
        if mapping_files(raw):
            return scan_mapping(raw, notes)
        return scan_boxes(raw, self.client, notes)

    def label_names(self, numbering: Numbering) -> tuple[str, ...] | None:
        """Return what the classes are called."""
        assert self.raw is not None
        return described(self.raw, numbering)


@dataclass(frozen=True)
class OpenimageDetection(Pictures):
    """Photographs and their boxes, by author; the options are those of `Openimage`."""

    labels: Positive | None = BOXABLE
    client: Client | None = None

    @property
    def about(self) -> Card:
        """Return the card."""
        return DETECTION

    def scan(self, raw: Path, notes: Notes) -> Iterator[Scanned]:
        """Yield the boxes of all files of boxes."""
        if mapping_files(raw):
            return scan_annotations(raw, notes, by_image=self.client == "image")
        return scan_boxes(raw, self.client, notes)

    def label_names(self, numbering: Numbering) -> tuple[str, ...] | None:
        """Return what the classes are called."""
        assert self.raw is not None
        return described(self.raw, numbering)

    def loader(self, load: PictureLoad) -> BoxesLoad:
        """Return what turns rows into images with boxes."""
        return BoxesLoad(load)


@dataclass(frozen=True)
class BoxesLoad:
    """From rows of boxes to images and all their boxes."""

    load: PictureLoad

    def __call__(self, rows: pa.Table) -> Loaded:
        """Return columns ``x``, where there are images, and ``boxes``; of an image's rows, the first stands for it."""
        numbers, usable, skipped = self.load.numbered(rows)
        chosen = np.flatnonzero(usable)
        images, firsts = _numbered_images(rows["path"].take(pa.array(chosen)))
        order = np.argsort(images, kind="stable")
        edges = np.stack([rows[edge].to_numpy() for edge in EDGES], 1)[chosen]
        boxes = np.hstack([numbers[chosen, None].astype(np.float32), edges])[order]
        offsets = 5 * np.r_[0, np.cumsum(np.bincount(images, minlength=len(firsts)))]
        column = Ragged(boxes.reshape(-1), offsets.astype(np.int64))
        kept = np.zeros(len(rows), np.bool_)
        if self.load.folders is None:
            kept[chosen[firsts]] = True
            return Loaded({"boxes": column}, kept, +skipped)
        size = (self.load.pixels, self.load.pixels)
        paths = rows.select(["path"]).take(pa.array(chosen[firsts]))
        contents, there, why = stored_images(paths, self.load.folders, size, squeezed=True)
        kept[chosen[firsts[there]]] = True
        columns: dict[str, Column] = {"x": Ragged.of(contents, np.uint8), "boxes": column.take(np.flatnonzero(there))}
        return Loaded(columns, kept, +(skipped + why))


def _numbered_images(paths: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the number of each row's image, in the order in which they are met, and the first row of each."""
    numbers = paths.combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return numbers, np.unique(numbers, return_index=True)[1]


def scan_boxes(raw: Path, client: Client | None, notes: Notes) -> Iterator[Scanned]:
    """Yield boxes: ``path``, ``label`` and edges, with the photograph's author (or itself) as client.

    Raises:
        DataError: files are absent, an edge is none, or no photograph is in both kinds of files.
    """
    paths = _deep(raw, "*annotations*bbox.csv")
    if not paths:
        raise nothing(raw, CARD.name, ["train-annotations-bbox.csv", "client_data_mapping"])
    lists = [] if client == "image" else _lists(raw, notes)
    authors = _authors(lists, notes)
    if client != "image" and (unknown := _unknown(authors, lists, paths)):
        if client == "author":
            raise DataError(f"{raw}: {unknown}; with --set client=image each photograph is a client")
        notes.tell(f"{unknown}: each photograph is a client")
        client = "image"
    for block in _blocks(paths, {"LabelName": TEXT} | dict.fromkeys(SIDES.values(), pa.float64()), notes):
        notes.read += len(block.table)
        who = block.table["ImageID"] if client == "image" else authors.find(block.table["ImageID"])
        yield _scanned(block, who, notes)


def _unknown(authors: Join, lists: Sequence[Path], paths: Sequence[Path]) -> str:
    """Say why nobody knows the authors of the boxes' photographs; nothing if those of some are known."""
    if not lists:
        return "no train-images-boxable-with-rotation.csv, in which authors are"
    boxes = 0
    for block in _blocks(paths, {}, Notes()):
        who, boxes = authors.find(block.table["ImageID"]), boxes + len(block.table)
        if who.null_count < len(who):
            return ""
    names = ", ".join(path.name for path in lists)
    return (
        f"none of the {boxes} boxes is of one of the {len(authors)} photographs in {names}, which must be of the same "
        "part (train, validation, test) as the boxes"
    )


def _lists(raw: Path, notes: Notes) -> list[Path]:
    """Return the lists of photographs that name authors; figure-eight's (image_name, image_url) does not."""
    headers = {path: first_values(path, notes) for path in _deep(home(raw), "*images*.csv", "image_ids*.csv")}
    lists = [path for path, header in headers.items() if "ImageID" in header]
    return [path for path in lists if "AuthorProfileURL" in headers[path]] or lists


def _authors(lists: Sequence[Path], notes: Notes) -> Join:
    return Join.of(
        (block.table["ImageID"], block.table["AuthorProfileURL"])
        for path in lists
        for block in read_csv(path, {"ImageID": TEXT, "AuthorProfileURL": TEXT}, notes)
    )


def _blocks(paths: Sequence[Path], columns: Mapping[str, pa.DataType], notes: Notes) -> Iterator[Rows]:
    return (block for path in paths for block in read_csv(path, {"ImageID": TEXT, **columns}, notes))


def _deep(raw: Path, *patterns: str) -> list[Path]:
    return found(raw, *(f"{above}{pattern}" for pattern in patterns for above in ("", "*/", "*/*/")))


def _scanned(block: Rows, who: Any, notes: Notes) -> Scanned:
    """Return the rows that have a client and an area."""
    edges = {edge: _edge(block, name) for edge, name in SIDES.items()}
    known = np.asarray(pc.is_valid(who))
    named = known & ~np.asarray(pc.equal(who, "").fill_null(False))
    kept = named & (edges["left"] < edges["right"]) & (edges["top"] < edges["bottom"])
    notes.skip("a box of a photograph that the lists lack", block.where(0), int((~known).sum()))
    notes.skip("no AuthorProfileURL", block.where(0), int((known & ~named).sum()))
    notes.skip("a box without area", block.where(0), int((named & ~kept).sum()))
    table = pa.table(
        {"client": who, "path": jpeg_names(block.table["ImageID"]), "label": block.table["LabelName"], **edges}
    )
    table = table.filter(pa.array(kept))
    return Scanned(table["client"], table.drop_columns("client"))


def _edge(block: Rows, name: str) -> npt.NDArray[np.float32]:
    values = block.table[name].to_numpy()
    wrong = ~((values >= -SLACK) & (values <= 1 + SLACK))  # also true of NaN
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(f"{block.where(row)}, column {name!r}: {values[row]} is not from 0 to 1, a share of the image")
    inside: npt.NDArray[np.float32] = np.clip(values, 0, 1).astype(np.float32)
    return inside


def described(raw: Path, numbering: Numbering) -> tuple[str, ...] | None:
    """Return the classes' names, where the lists of classes have them; else their codes."""
    if numbering.names is None:
        return None
    names = {code: name for path in _deep(home(raw), "*class-descriptions*.csv") for code, name in _descriptions(path)}
    return tuple(names.get(name, name) for name in numbering.names)


def _descriptions(path: Path) -> Iterator[Sequence[str]]:
    with opened(path, Notes()) as stream:
        try:
            text = io.TextIOWrapper(stream, "utf-8-sig", newline="")
            for number, row in enumerate(csv.reader(text, strict=True), 1):
                if len(row) != 2:
                    raise DataError(f"{path} line {number}: {len(row)} values, not a class's code and its name")
                yield row
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path}: cannot be read: {error}") from None
