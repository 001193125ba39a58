"""``femnist``: handwritten digits and letters by writer, from NIST's own images or from what others made of them.

P. Grother and K. Hanaoka, "NIST Special Database 19: Handprinted Forms and Characters Database", second edition, 2016.
S. Caldas et al., "LEAF: A Benchmark for Federated Settings", 2018, made the federated set of it: images of 128 × 128
are made grey, resized to 28 × 28 and divided by 255. TensorFlow Federated publishes the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fedscale.data.card import Card, Figures, RawFile
from fedscale.data.columns import from_arrow
from fedscale.data.gather import Gather
from fedscale.data.handwriting import (
    CHARACTERS,
    SIDE,
    labels_of,
    scan_hdf5,
    scan_leaf,
    scan_nist,
    scan_sqlite,
    without_digits_only,
)
from fedscale.data.images import need_pillow, open_image
from fedscale.data.importing import Importer, Load, Loaded, Scanned
from fedscale.data.mapping import mapping_files, read_mapping
from fedscale.data.notes import Notes
from fedscale.data.pictures import Folders, folders_of
from fedscale.data.pictureset import changed
from fedscale.data.rawfile import folder, found, lacking, nothing
from fedscale.errors import DataError
from fedscale.section import Component

CARD: Final = Card(
    name="femnist",
    title="FEMNIST: handwritten digits and letters by writer",
    description="28×28 images of the ten digits, 26 capitals and 26 small letters, each with its writer",
    task="classification",
    metric="accuracy",
    model=Component(name="resnet18"),
    modality="tensor",
    classes=len(CHARACTERS),
    sample_shape=(SIDE, SIDE),
    x_scale=1 / 255,
    label_names=tuple(CHARACTERS),
    client_is="writer (the folder of by_write, such as f0000_14)",
    licence="public domain (NIST standard reference data)",
    source="NIST Special Database 19, https://www.nist.gov/srd/nist-special-database-19",
    files=(
        RawFile(name="by_class.zip", url="https://s3.amazonaws.com/nist-srd/SD19/by_class.zip"),
        RawFile(name="by_write.zip", url="https://s3.amazonaws.com/nist-srd/SD19/by_write.zip"),
    ),
    layout=(
        "one of: NIST's by_write/hsf_0/f0000_14/c0000_14/*.png (part, writer, kind) with by_class/4a/hsf_0/*.png (code "
        "of the character), joined by their content; LEAF's all_data_<n>.json {users, num_samples, user_data: {writer: "
        "{x, y}}}; TensorFlow Federated's emnist_all.sqlite.lzma, or examples/<writer>/{pixels,label} in *.h5; "
        "FedScale's archive: client_data_mapping/{train,val,test}.csv and images"
    ),
    preprocessing=(
        "as LEAF does: grey, resized to 28 × 28 (Lanczos), paper 255 and ink 0 (MNIST has it the other way round); "
        "training and test samples of a writer are put together; the digits-only splits of TensorFlow Federated repeat "
        "others and are left out; LEAF's files hold the first image of nearly every writer twice, as they were made"
    ),
    sample=f"x: uint8 ({SIDE}, {SIDE}), 255 is paper; y: 0 to 9 digits, 10 to 35 A to Z, 36 to 61 a to z",
    paper=Figures(clients=3_400, samples=640_000),
    citation="S. Caldas et al.: LEAF: A Benchmark for Federated Settings. 2018 (images: NIST Special Database 19)",
    verification="hand-made",
    verified=(
        "NIST's layout: rebuilt from images of digits whose writers are known (QMNIST); LEAF, SQLite and FedScale's "
        "layouts: files made by hand; HDF5: TensorFlow Federated's own ten synthetic digits"
    ),
)


@dataclass(frozen=True)
class Femnist(Importer):
    """Characters by writer, from any of five layouts."""

    parallel: ClassVar[bool] = True
    together: ClassVar[int | None] = 2_000

    @property
    def card(self) -> Card:
        """Return the card."""
        return CARD

    def scan(self, raw: Path, notes: Notes) -> Iterator[Scanned]:
        """Yield the images of the first layout that is found, in the order of the card's ``layout``."""
        above = raw.parent if raw.name in ("by_write", "by_class") else raw
        by_write, by_class = folder(above, "by_write"), folder(above, "by_class")
        if mapping_files(raw):
            return _scan_mapping(raw, notes)
        if by_write is not None and by_class is not None:
            return scan_nist(by_class, by_write, notes)
        if paths := _leaf_files(raw):
            return scan_leaf(paths, notes)
        if paths := found(raw, "*.sqlite", "*/*.sqlite"):
            return scan_sqlite(paths, notes)
        if paths := found(raw, *(f"{above}*.{ending}" for above in ("", "*/", "*/*/") for ending in ("h5", "hdf5"))):
            wanted = without_digits_only([str(path) for path in paths])
            return scan_hdf5([path for path in paths if str(path) in wanted], notes)
        if by_write is not None or by_class is not None:
            there, lacking = ("by_write", "by_class") if by_write is not None else ("by_class", "by_write")
            raise DataError(f"{raw}: {there} without {lacking}: the one tells the writers, the other the characters")
        raise nothing(raw, CARD.name, ["by_write and by_class", "all_data_*.json", "*.sqlite", "*.h5", "a mapping"])

    def prepare(self, gather: Gather, notes: Notes) -> tuple[Card, Load]:
        """See which columns there are, and whether files of images are there."""
        assert self.raw is not None
        columns: list[str] = next((group.rows.column_names for group in gather.groups()), [])
        if "x" not in columns:
            need_pillow()
        if "path" in columns:
            folders = folders_of(self.raw)
            if not folders.has_any(gather, self.clients):
                notes.tell(lacking(self.raw, "images"))
                return changed(CARD, without=("x",)), CharacterLoad(None)
            return CARD, CharacterLoad(folders)
        return CARD, CharacterLoad(None)


@dataclass(frozen=True)
class CharacterLoad:
    """From rows with ``x``, or ``image``, or ``path`` (in ``folders``) to characters and labels."""

    folders: Folders | None

    def __call__(self, rows: pa.Table) -> Loaded:
        """Return columns ``x`` and ``y``."""
        y = rows["label"].to_numpy()
        if "x" in rows.column_names:
            return Loaded({"x": from_arrow(rows["x"].combine_chunks()), "y": y})
        if "path" in rows.column_names and self.folders is None:
            return Loaded({"y": y})
        x = np.empty((len(rows), SIDE, SIDE), np.uint8)
        kept = np.zeros(len(rows), np.bool_)
        skipped: dict[str, int] = {}
        for place in range(len(rows)):
            try:
                x[place] = character(self._content(rows, place))
                kept[place] = True
            except ValueError as error:
                skipped[str(error)] = skipped.get(str(error), 0) + 1
        return Loaded({"x": x[kept], "y": y[kept]}, kept, skipped)

    def _content(self, rows: pa.Table, place: int) -> bytes:
        if self.folders is None:
            content: bytes = rows["image"][place].as_py()
            return content
        file = self.folders.find(rows["path"][place].as_py())
        if file is None:
            raise ValueError("the image is not there")
        return file.read_bytes()


def character(content: bytes) -> npt.NDArray[np.uint8]:
    """Return the image in a file's bytes as LEAF makes it: grey, 28 × 28, by Lanczos' filter.

    Raises:
        ValueError: it is no image.
    """
    from PIL.Image import Resampling

    grey = open_image(content).convert("L")
    return np.asarray(grey if grey.size == (SIDE, SIDE) else grey.resize((SIDE, SIDE), Resampling.LANCZOS))


def _leaf_files(raw: Path) -> list[Path]:
    """Return LEAF's files: all data, or else the parts that its scripts make of them."""
    whole = found(
        raw, *(f"{above}all_data_*.json" for above in ("", "all_data/", "data/all_data/", "femnist/data/all_data/"))
    )
    parts = (f"{above}{part}/*.json" for above in ("", "data/", "femnist/data/") for part in ("train", "test"))
    return whole or found(raw, *parts)


def _scan_mapping(raw: Path, notes: Notes) -> Iterator[Scanned]:
    for part in read_mapping(raw, notes):
        table = part.rows.table
        labels_of(table["label"].to_pylist(), f"{part.rows.path}, rows from {part.rows.first}, column label")
        yield Scanned(part.clients, table.select(["path", "label"]))
