"""``landmarks``: which landmark a photograph shows; its author is the client.

T. Weyand et al., "Google Landmarks Dataset v2 – A Large-Scale Benchmark for Instance-Level Recognition and Retrieval",
CVPR 2020. T.-M. Hsu et al., "Federated Visual Classification with Real-World Data Distribution", ECCV 2020, made the
division by user that TensorFlow Federated publishes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

from fedscale.data.card import Card, Figures, RawFile
from fedscale.data.importing import Scanned
from fedscale.data.joined import Join
from fedscale.data.mapping import mapping_files
from fedscale.data.notes import Notes
from fedscale.data.pictures import jpeg_names
from fedscale.data.pictureset import Pictures, check_labels, scan_mapping
from fedscale.data.rawcsv import Rows, read_csv
from fedscale.data.rawfile import found, home, nothing
from fedscale.errors import DataError
from fedscale.section import Component

BUCKET: Final = "https://s3.amazonaws.com/google-landmark"

TEXT: Final = pa.large_string()

CLEAN: Final = "train_clean"

ID: Final = "[0-9A-Za-z_-]{3,}"

ATTRIBUTIONS: Final = ("train_attribution.csv", "train_clean_attribution.csv", "attribution.csv")

CARD: Final = Card(
    name="landmarks",
    title="Google Landmarks v2: landmarks by photographer",
    description="photographs of natural and man-made landmarks from Wikimedia Commons, each with its author",
    task="classification",
    metric="accuracy",
    model=Component(name="mobilenet_v2"),
    modality="image",
    classes=203_094,
    sample_shape=(3, 128, 128),
    x_scale=1 / 255,
    decode=Component(name="image"),
    client_is="author of the photograph (train_attribution.csv), or user_id (federated_train.csv)",
    licence="annotations CC BY 4.0; each photograph its own (Creative Commons, or public domain)",
    source="Common Visual Data Foundation, github.com/cvdfoundation/google-landmark",
    terms="its images are 500 archives of about 1 GB each: fetch the lists, and as many archives as are wanted",
    files=(
        RawFile(name="train.csv", url=f"{BUCKET}/metadata/train.csv"),
        RawFile(name="train_attribution.csv", url=f"{BUCKET}/metadata/train_attribution.csv"),
        *(RawFile(name=f"images_{n:03d}.tar", url=f"{BUCKET}/train/images_{n:03d}.tar") for n in range(500)),
    ),
    layout=(
        "train.csv (id, url, landmark_id), or train_clean.csv (landmark_id, images); train_attribution.csv (id, url, "
        "author, license, title) and images a/b/c/abc0123456789def.jpg (from the id's first three digits); or "
        "federated_train.csv or mini_gld_train_split.csv (user_id, image_id, class); or "
        "FedScale's archive: client_data_mapping/*.csv and images"
    ),
    preprocessing=(
        "photographs without an author are left out; labels are the landmarks that occur, in the order of their "
        "numbers; the middle of an image, as wide as high, is made 128 × 128 (`pixels`) and kept as JPEG of quality 90"
    ),
    sample="x: a JPEG, decoded to uint8 (3, 128, 128); y: number of the landmark among those that occur",
    paper=Figures(clients=43_484, samples=3_600_000),
    citation="T. Weyand et al.: Google Landmarks Dataset v2. CVPR 2020",
    verification="real",
    verified=(
        "rows of train.csv as quoted in public documents, with attributions made by hand in the documented layout; "
        "federated_train.csv and images made by hand"
    ),
)


@dataclass(frozen=True)
class Landmarks(Pictures):
    """Photographs by author; landmarks are numbered in the order of their own numbers.

    Attributes:
        client: who is a client; ``landmark`` (each place one) is also taken where no file says who the authors are.
    """

    client: Literal["author", "landmark"] = "author"

    @property
    def about(self) -> Card:
        """Return the card."""
        return CARD

    def scan(self, raw: Path, notes: Notes) -> Iterator[Scanned]:
        """Yield the photographs of the first layout that is found."""
        if mapping_files(raw):
            return scan_mapping(raw, notes)
        if paths := _csv(raw, "federated_train") or _csv(raw, "mini_gld_train_split"):
            return _scan_federated(paths, notes)
        if paths := _csv(raw, "train") or _csv(raw, CLEAN):
            attributions = found(home(raw), *ATTRIBUTIONS, *(f"*/{name}" for name in ATTRIBUTIONS))
            if self.client == "author" and attributions:
                return _scan_authors(paths[0], attributions, notes)
            if self.client == "author":
                notes.tell(f"no {ATTRIBUTIONS[0]} under {raw}, so nobody knows the authors: each landmark is a client")
            return _scan_places(paths[0], notes)
        raise nothing(raw, CARD.name, ["train.csv and train_attribution.csv", "federated_train.csv", "a mapping"])


def _csv(raw: Path, name: str) -> list[Path]:
    return found(raw, f"{name}.csv", f"*/{name}.csv", f"*/*/{name}.csv")


def _scan_federated(paths: list[Path], notes: Notes) -> Iterator[Scanned]:
    for path in paths:
        for block in read_csv(path, {"user_id": TEXT, "image_id": TEXT, "class": pa.int64()}, notes):
            notes.read += len(block.table)
            yield _scanned(block, block.table["user_id"], block.table["image_id"], block.table["class"], notes)


def _labelled(path: Path, notes: Notes) -> Iterator[Rows]:
    """Yield the owner's photographs and their landmarks: a row for each, or (train_clean.csv) one for each landmark."""
    if not path.name.startswith(CLEAN):
        yield from read_csv(path, {"id": TEXT, "landmark_id": pa.int64()}, notes)
        return
    for block in read_csv(path, {"images": TEXT, "landmark_id": pa.int64()}, notes):
        check_labels(block.table["landmark_id"].to_numpy(), block.where)
        listed = pc.match_substring_regex(block.table["images"], rf"^\s*{ID}(\s+{ID})*\s*$")
        block.refuse("images", pc.invert(listed), "ids of photographs")
        names = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(block.table["images"])).combine_chunks()
        landmarks = block.table["landmark_id"].take(pc.list_parent_indices(names))
        yield Rows(path, block.first, pa.table({"id": pc.list_flatten(names), "landmark_id": landmarks}))


def _scan_authors(path: Path, attributions: list[Path], notes: Notes) -> Iterator[Scanned]:
    """Yield the rows of ``train.csv``, each with the author that an attribution names."""
    authors = Join.of(
        (block.table["id"], block.table["author"])
        for attribution in attributions
        for block in read_csv(attribution, {"id": TEXT, "author": TEXT}, notes)
    )
    matched = 0
    for block in _labelled(path, notes):
        notes.read += len(block.table)
        author = authors.find(block.table["id"])
        notes.skip("a photograph that the attributions lack", block.where(0), author.null_count)
        matched += len(author) - author.null_count
        yield _scanned(block, author, block.table["id"], block.table["landmark_id"], notes)
    if not matched:
        names = ", ".join(attribution.name for attribution in attributions)
        raise DataError(f"{path}: none of its {notes.read} photographs is in {names} ({len(authors)} photographs)")


def _scan_places(path: Path, notes: Notes) -> Iterator[Scanned]:
    for block in _labelled(path, notes):
        notes.read += len(block.table)
        landmarks = block.table["landmark_id"]
        yield _scanned(block, landmarks.cast(TEXT), block.table["id"], landmarks, notes)


def _scanned(block: Rows, client: Any, ids: pa.ChunkedArray, labels: pa.ChunkedArray, notes: Notes) -> Scanned:
    """Return the rows that have a client."""
    check_labels(labels.to_numpy(), block.where)
    wrong = pc.invert(pc.match_substring_regex(ids, f"^{ID}$"))
    if pc.any(wrong).as_py():
        row = wrong.combine_chunks().index(True).as_py()
        raise DataError(f"{block.where(row)}: {ids[row].as_py()[:40]!r} is no id of a photograph")
    empty = pc.equal(client, "").fill_null(False)
    notes.skip("no author", block.where(0), pc.sum(empty).as_py() or 0)
    table = pa.table({"client": client, "path": _paths(ids), "label": labels.cast(TEXT)})
    table = table.filter(pc.and_(pc.is_valid(client), pc.invert(empty)))
    return Scanned(table["client"], table.select(["path", "label"]))


def _paths(ids: pa.ChunkedArray) -> Any:
    """Return where photographs lie: a/b/c/abc0123456789def.jpg."""
    digits = [pc.utf8_slice_codeunits(ids, place, place + 1) for place in range(3)]
    return pc.binary_join_element_wise(*digits, jpeg_names(ids), pa.scalar("/", ids.type))
