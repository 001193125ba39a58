"""What the datasets of labelled images have in common: rows name a file, a client and a label; the rest is here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from fedscale.data.card import Card
from fedscale.data.gather import Gather
from fedscale.data.images import need_pillow
from fedscale.data.importing import Importer, Load, Loaded, Scanned
from fedscale.data.mapping import data_directory, mapping_files, read_mapping
from fedscale.data.notes import Notes
from fedscale.data.pictures import EDGES, Folders, folders_of, stored_images
from fedscale.data.ragged import Column, IntArray, Ragged
from fedscale.data.rawfile import lacking
from fedscale.errors import DataError
from fedscale.section import Positive

NAMES: Final = 10_000
"""Most labels of which a card keeps the names: it is read whenever a store is opened."""

RARE: Final = "a label that is not among the most frequent ones"

REPEATED: Final = "a box that is there already"

Pixels = Annotated[int, Field(ge=8, le=1024)]


@dataclass(frozen=True)
class PictureLoad:
    """From rows to images of ``pixels`` × ``pixels`` and labels; it travels to other processes.

    Attributes:
        folders: where the images are; ``None`` where there are none.
        pixels: width and height.
        labels: what the column ``label`` may hold, in the order of their numbers; ``None`` where it holds numbers.
    """

    folders: Folders | None
    pixels: int
    labels: pa.Array | None = None

    def __call__(self, rows: pa.Table) -> Loaded:
        """Return columns ``x``, where there are images, and ``y``."""
        numbers, kept, skipped = self.numbered(rows)
        if self.folders is None:
            return Loaded({"y": numbers[kept]}, kept, +skipped)
        chosen = np.flatnonzero(kept)
        images, usable, why = stored_images(rows.take(pa.array(chosen)), self.folders, (self.pixels, self.pixels))
        kept[chosen[~usable]] = False
        columns: dict[str, Column] = {"x": Ragged.of(images, np.uint8), "y": numbers[kept]}
        return Loaded(columns, kept, +(skipped + why))

    def numbered(self, rows: pa.Table) -> tuple[IntArray, npt.NDArray[np.bool_], Counter[str]]:
        """Return the label numbers of rows, which rows are to be kept, and why others are not."""
        numbers, frequent = self._numbers(rows)
        fresh = first_ones(rows) if EDGES[0] in rows.column_names else np.ones(len(rows), np.bool_)
        skipped = Counter({RARE: int((~frequent).sum()), REPEATED: int((frequent & ~fresh).sum())})
        return numbers, frequent & fresh, skipped

    def _numbers(self, rows: pa.Table) -> tuple[IntArray, npt.NDArray[np.bool_]]:
        """Return the label numbers of rows, and which rows have one that counts."""
        if self.labels is None:
            return rows["label"].to_numpy().astype(np.int64), np.ones(len(rows), np.bool_)
        found = pc.index_in(rows["label"], value_set=self.labels).fill_null(-1).to_numpy().astype(np.int64)
        return found, found >= 0


@dataclass(frozen=True)
class Pictures(Importer):
    """A dataset of labelled images.

    Attributes:
        pixels: width and height of the images that are kept.
        labels: keep only samples of so many labels, the most frequent ones; ``None`` keeps all.
    """

    pixels: Pixels = 128
    labels: Positive | None = None

    parallel: ClassVar[bool] = True
    together: ClassVar[int | None] = 512

    @property
    def card(self) -> Card:
        """Return the card, with the size of images that was asked for."""
        return changed(self.about, sample_shape=(3, self.pixels, self.pixels))

    @property
    def about(self) -> Card:
        """Return what the card is, but for the images' size."""
        raise NotImplementedError

    def prepare(self, gather: Gather, notes: Notes) -> tuple[Card, Load]:
        """Number the labels, and see whether there are images."""
        numbering = label_numbers(gather, self.labels)
        assert self.raw is not None
        if numbering.classes == 0:
            raise notes.nothing_left(self.raw)
        folders: Folders | None = self.places(self.raw)
        card = changed(self.card, classes=numbering.classes, label_names=self.label_names(numbering))
        if folders is not None and folders.has_any(gather, self.clients):
            need_pillow()
        else:
            notes.tell(lacking(self.raw, "images"))
            card, folders = changed(card, without=("x",)), None
        return card, self.loader(PictureLoad(folders, self.pixels, numbering.labels))

    def places(self, raw: Path) -> Folders:
        """Return where images may be: in ``raw``, and in the archive to which mapping files in it belong."""
        archives = dict.fromkeys(map(data_directory, mapping_files(raw)))
        return Folders(tuple(dict.fromkeys(base for root in (raw, *archives) for base in folders_of(root).bases)))

    def loader(self, load: PictureLoad) -> Load:
        """Return what turns rows into columns, given what turns them into images and labels."""
        return load

    def label_names(self, numbering: Numbering) -> tuple[str, ...] | None:
        """Return what the labels stand for; by default what the rows say."""
        return numbering.names


def first_ones(rows: pa.Table) -> npt.NDArray[np.bool_]:
    """Return which rows are not the same as an earlier one, by image, label and box."""
    columns = ["path", "label", *EDGES]
    numbered = rows.select(columns).append_column("row", pa.array(np.arange(len(rows))))
    firsts = numbered.group_by(columns, use_threads=False).aggregate([("row", "min")])["row_min"].to_numpy()
    fresh = np.zeros(len(rows), np.bool_)
    fresh[firsts] = True
    return fresh


def changed(card: Card, **fields: Any) -> Card:
    """Return a card with other values in some fields, checked."""
    return Card.model_validate({**dict(card), **fields})


@dataclass(frozen=True)
class Numbering:
    """How labels are numbered: those of column ``label`` by their place in ``labels``, or as they are."""

    classes: int
    labels: pa.Array | None
    names: tuple[str, ...] | None


def label_numbers(gather: Gather, most: int | None) -> Numbering:
    """Look at all rows and number their labels; without a row there are no classes.

    Text is numbered in its order (numbers in text in theirs), of ``most`` labels if there are more, the most frequent
    ones. Numbers stay; a column ``name`` says what they stand for.
    """
    counts: Counter[Any] = Counter()
    names: dict[int, str] = {}
    for group in gather.groups():
        for item in pc.value_counts(group.rows["label"]).to_pylist():
            counts[item["values"]] += item["counts"]
        if "name" in group.rows.column_names:
            pairs = group.rows.select(["label", "name"]).group_by(["label", "name"]).aggregate([])
            names |= dict(zip(pairs["label"].to_pylist(), pairs["name"].to_pylist(), strict=True))
    if not counts:
        return Numbering(0, None, None)
    if isinstance(next(iter(counts)), int) and (most is None or len(counts) <= most):
        return _as_they_are(counts, names)
    chosen = sorted(sorted(counts, key=_order), key=counts.__getitem__, reverse=True)[:most]
    ordered = sorted(chosen, key=_order)
    shown = tuple(str(names.get(label, label)) for label in ordered) if len(ordered) <= NAMES else None
    kind = pa.int64() if isinstance(ordered[0], int) else pa.large_string()
    return Numbering(len(ordered), pa.array(ordered, kind), shown)


def _as_they_are(counts: Counter[Any], names: dict[int, str]) -> Numbering:
    classes = max(counts) + 1
    shown = tuple(names.get(label, "") for label in range(classes)) if names and classes <= NAMES else None
    return Numbering(classes, None, shown)


def _order(label: int | str) -> tuple[int, int, str]:
    text = str(label)
    return (0, int(text), text) if text.isdecimal() else (1, 0, text)


def scan_mapping(raw: Path, notes: Notes) -> Iterator[Scanned]:
    """Yield the rows of FedScale's mapping files: ``path``, ``label`` and what it is called."""
    for part in read_mapping(raw, notes, ("client", "path", "name", "label")):
        table = part.rows.table
        check_labels(table["label"].to_numpy(), part.rows.where)
        yield Scanned(part.clients, table.select(["path", "name", "label"]))


MOST: Final = 10_000_000
"""Labels are below this."""


def check_labels(labels: npt.NDArray[Any], where: Any) -> None:
    """Make sure that labels are possible numbers.

    Raises:
        DataError: one is not; ``where`` names the place of a row.
    """
    wrong = (labels < 0) | (labels >= MOST)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(f"{where(row)}: label {labels[row]} is not from 0 to {MOST - 1}")
