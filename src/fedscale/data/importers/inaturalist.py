"""``inaturalist``: which species a photograph shows; the person who holds its rights is the client.

G. Van Horn et al., "The iNaturalist Species Classification and Detection Dataset", CVPR 2018; the files of its
competitions (github.com/visipedia/inat_comp), of which 2019's is the paper's, are in COCO's form. T.-M. Hsu et al.,
"Federated Visual Classification with Real-World Data Distribution", ECCV 2020, divided 2017's by user and by place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fedscale.data.card import Card, Figures, RawFile
from fedscale.data.importing import Scanned
from fedscale.data.joined import Join
from fedscale.data.mapping import mapping_files
from fedscale.data.notes import Notes
from fedscale.data.pictures import SUFFIXES, jpeg_names
from fedscale.data.pictureset import MOST, Numbering, Pictures, check_labels, scan_mapping
from fedscale.data.rawcsv import read_csv
from fedscale.data.rawfile import found, nothing
from fedscale.data.rawwhole import Member, read_members
from fedscale.errors import DataError
from fedscale.section import Component

BUCKET: Final = "https://ml-inat-competition-datasets.s3.amazonaws.com/2019"

SPLITS: Final = "iNaturalist_train.csv"
"""TensorFlow Federated's divisions of 2017's set."""

DIVISION: Final = "federated_train_"
"""How files of one division of 2017's set begin, as their authors publish them (user_id, image_id, class, label;
google-research/federated_vision_datasets)."""

CARD: Final = Card(
    name="inaturalist",
    title="iNaturalist 2019: species by photographer",
    description="photographs of 1,010 species of plants and animals, each with the person who holds its rights",
    task="classification",
    metric="accuracy",
    model=Component(name="mobilenet_v2"),
    modality="image",
    classes=1_010,
    sample_shape=(3, 128, 128),
    x_scale=1 / 255,
    decode=Component(name="image"),
    client_is="person who holds the photograph's rights (rights_holder)",
    licence="each photograph its own (Creative Commons, or all rights reserved); the set: non-commercial research",
    source="github.com/visipedia/inat_comp, 2019",
    files=(
        RawFile(
            name="train_val2019.tar.gz", url=f"{BUCKET}/train_val2019.tar.gz", md5="c60a6e2962c9b8ccbd458d12c8582644"
        ),
        RawFile(
            name="train2019.json.tar.gz", url=f"{BUCKET}/train2019.json.tar.gz", md5="b06a6683537867c0d5c7a45f407a306d"
        ),
        RawFile(
            name="val2019.json.tar.gz", url=f"{BUCKET}/val2019.json.tar.gz", md5="5cc5509b0fe495f1c8c1362612448497"
        ),
    ),
    layout=(
        "train2019.json, val2019.json: images (id, file_name, rights_holder, ...), annotations (image_id, "
        "category_id), categories (id, name, ...); images at file_name, train_val2019/<group>/<category>/<hash>.jpg. "
        f"Other years' files of that form are read, too. Before them come divisions of 2017's set (option split): "
        f"{DIVISION}user_120k.csv and the like (user_id, image_id, class), or TensorFlow Federated's {SPLITS} "
        "(image_id, class, a column of clients for each: NA where an image is not in it), images anywhere below; and "
        "FedScale's archive: client_data_mapping/*.csv and images"
    ),
    preprocessing=(
        "training and validation images are put together; images without a rights holder are left out; the middle of "
        "an image, as wide as high, is made 128 × 128 (`pixels`) and kept as JPEG of quality 90"
    ),
    sample="x: a JPEG, decoded to uint8 (3, 128, 128); y: category_id",
    paper=Figures(clients=2_295, samples=193_000),
    citation="G. Van Horn et al.: The iNaturalist Species Classification and Detection Dataset. CVPR 2018",
    verification="real",
    verified="155 images' entries of val2019.json, labels only; images, and the divisions of 2017's set, made by hand",
)


@dataclass(frozen=True)
class Inaturalist(Pictures):
    """Photographs by rights holder.

    Attributes:
        split: which division of 2017's set, where it is that.
    """

    split: Literal["user_120k", "geo_100", "geo_300", "geo_1k", "geo_3k", "geo_10k", "geo_30k"] = "user_120k"

    @property
    def about(self) -> Card:
        """Return the card."""
        return CARD

    def scan(self, raw: Path, notes: Notes) -> Iterator[Scanned]:
        """Yield the photographs of all files in COCO's form, else of another layout."""
        if mapping_files(raw):
            return scan_mapping(raw, notes)
        if paths := _divisions(raw):
            several = paths[0].name.startswith(SPLITS)
            return _scan_split(raw, *((paths[0], self.split) if several else (self._one(paths), "user_id")), notes)
        if paths := _coco_files(raw):
            return (scanned for path in paths for scanned in _scan_coco(path, notes))
        wanted = ["train2019.json and val2019.json", SPLITS, f"{DIVISION}{self.split}.csv", "client_data_mapping"]
        raise nothing(raw, CARD.name, wanted)

    def _one(self, paths: Sequence[Path]) -> Path:
        names = {path.name.split(".")[0].removeprefix(DIVISION): path for path in paths}
        if self.split not in names:
            given = ", ".join(names)
            raise DataError(f"{paths[0].parent}: no {DIVISION}{self.split}.csv: set the option split: it has {given}")
        return names[self.split]

    def label_names(self, numbering: Numbering) -> tuple[str, ...] | None:
        """Return the names of the categories, as far as the files tell them."""
        assert self.raw is not None
        paths = [] if mapping_files(self.raw) or _divisions(self.raw) else _coco_files(self.raw)
        names = {number: name for path in paths for number, name in _categories(path).items()}
        if not names:
            return numbering.names
        labels = range(numbering.classes) if numbering.labels is None else numbering.labels.to_pylist()
        return tuple(names.get(label, "") for label in labels)


def _scan_split(raw: Path, path: Path, client: str, notes: Notes) -> Iterator[Scanned]:
    """Yield the images of a division, in whose column ``client`` is whose they are."""
    columns = {client: pa.large_string(), "image_id": pa.large_string(), "class": pa.int64()}
    where = Join.of(_walked(raw))
    for block in read_csv(path, columns, notes):
        table = block.table
        notes.read += len(table)
        check_labels(table["class"].to_numpy(), block.where)
        inside = pc.invert(pc.is_in(table[client], value_set=pa.array(["NA", ""], pa.large_string())))
        notes.skip(f"an image that is not in {client}", block.where(0), pc.sum(pc.invert(inside)).as_py() or 0)
        table = table.filter(inside)
        names = jpeg_names(table["image_id"])
        paths = pc.coalesce(where.find(names), names)
        yield Scanned(table[client], pa.table({"path": paths, "label": table["class"]}))


def _walked(raw: Path) -> Iterator[tuple[pa.ChunkedArray, pa.ChunkedArray]]:
    """Yield the names of images anywhere under ``raw``, and where they are, folder by folder."""
    for folder, _, names in os.walk(raw):
        images = [name for name in names if name.lower().endswith(SUFFIXES)]
        paths = [str((Path(folder) / name).relative_to(raw)) for name in images]
        if images:
            yield pa.chunked_array([pa.array(images)]), pa.chunked_array([pa.array(paths)])


def _divisions(raw: Path) -> list[Path]:
    """Return the file of all divisions, or those of one each."""
    return found(raw, SPLITS, f"*/{SPLITS}") or found(raw, f"{DIVISION}*.csv", f"*/{DIVISION}*.csv")


def _coco_files(raw: Path) -> list[Path]:
    """Return the files of images and labels: not those of places, nor 2021's small part of what is there whole."""
    names = [f"{part}20[0-9][0-9]*.json" for part in ("train", "val")] + ["train.json", "val.json", "train_mini.json"]
    paths = found(raw, *names, *(f"*/{name}" for name in names))
    whole = any(path.name.startswith("train.json") for path in paths)
    return [
        path for path in paths if "_locations" not in path.name and not (whole and path.name.startswith("train_mini."))
    ]


def _scan_coco(path: Path, notes: Notes) -> Iterator[Scanned]:
    """Yield the rows of a file, joined by image: memory holds a few numbers and the file name of each."""
    images, categories = _images_of(path, notes)
    if not len(categories):
        raise DataError(f"{path}: no annotations: the labels of its images are not in it")
    ids = images["id"].to_numpy()
    order = np.argsort(ids, kind="stable")
    places = np.minimum(np.searchsorted(ids[order], categories[:, 0]), len(ids) - 1)
    known = ids[order][places] == categories[:, 0]
    notes.read += len(categories)
    notes.skip("an annotation of an image that the file lacks", str(path), int((~known).sum()))
    table = images.take(pa.array(order[places[known]]))
    table = pa.table({**dict(zip(table.column_names, table.columns, strict=True)), "label": categories[known, 1]})
    named = pc.not_equal(table["holder"], "")
    notes.skip("no rights_holder", str(path), len(table) - (pc.sum(named).as_py() or 0))
    table = table.filter(named)
    yield Scanned(table["holder"], table.select(["path", "label"]))


def _images_of(path: Path, notes: Notes) -> tuple[pa.Table, Any]:
    """Return the images of a file (``id``, ``path``, ``holder``), and its annotations, (n, 2): image and category."""
    chunks = _Chunks()
    pairs: list[int] = []
    annotations = [np.empty((0, 2), np.int64)]
    for member in read_members(path, notes):
        if member.field == "images" and member.key is not None:
            chunks.add(member)
        elif member.field == "annotations" and member.key is not None:
            pairs += (_number(member, "image_id"), _category(member, "category_id"))
            if len(pairs) >= 2 * CHUNK:
                annotations.append(np.array(pairs, np.int64).reshape(-1, 2))
                pairs.clear()
    images = chunks.table()
    if not len(images):
        raise DataError(f"{path}: no images in it: it should have lists 'images', 'annotations' and 'categories'")
    return images, np.concatenate([*annotations, np.array(pairs, np.int64).reshape(-1, 2)])


CHUNK: Final = 50_000
"""Entries that are Python objects at a time."""


MOST_ID: Final = 1 << 62


class _Chunks:
    """Entries of images, put into columns now and then."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, str, str]] = []
        self._tables: list[pa.Table] = []

    def add(self, member: Member) -> None:
        path = member.get("file_name", str)
        if path.startswith("/") or ".." in path.split("/"):
            raise DataError(f"{member.where}, field 'file_name': {path!r} leads out of the directory of the data")
        holder = member.value.get("rights_holder")
        self._rows.append((_number(member, "id"), path, "" if holder is None else member.get("rights_holder", str)))
        if len(self._rows) >= CHUNK:
            self._close()

    def _close(self) -> None:
        columns = [pa.array(column) for column in zip(*self._rows, strict=True)] if self._rows else []
        if columns:
            kinds = (pa.int64(), pa.large_string(), pa.large_string())
            arrays = [column.cast(kind) for column, kind in zip(columns, kinds, strict=True)]
            self._tables.append(pa.table(arrays, names=["id", "path", "holder"]))
        self._rows = []

    def table(self) -> pa.Table:
        self._close()
        return pa.concat_tables(self._tables).combine_chunks() if self._tables else pa.table({"id": []})


def _number(member: Member, name: str) -> int:
    number: int = member.get(name, int)
    if not -MOST_ID <= number <= MOST_ID:
        raise DataError(f"{member.where}, field {name!r}: {number} is no number of an image")
    return number


def _category(member: Member, name: str) -> int:
    number: int = member.get(name, int)
    if not 0 <= number < MOST:
        raise DataError(f"{member.where}, field {name!r}: {number} is not from 0 to {MOST - 1}")
    return number


def _categories(path: Path) -> dict[int, str]:
    members = (
        member for member in read_members(path, Notes()) if member.field == "categories" and member.key is not None
    )
    return {_category(member, "id"): member.get("name", str) for member in members}
