"""``qmnist``: MNIST with the writer of every digit; the writer is the client.

C. Yadav and L. Bottou, "Cold Case: The Lost MNIST Digits", NeurIPS 2019. The files are read in the layout of the
distribution (github.com/facebookresearch/qmnist, README section 2.2): labels are rows of 8 big-endian 32-bit integers:
class, HSF series, writer, digit number of the writer, NIST class code, digit number in NIST, duplicate, unused.
Training and test files are put together: who trains and who tests is decided by client.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fedscale.data.card import Card, Figures, RawFile
from fedscale.data.idx import find_idx, read_idx
from fedscale.data.importing import absent
from fedscale.data.notes import Notes
from fedscale.data.writer import StoreWriter
from fedscale.errors import DataError
from fedscale.section import Component

LABEL_COLUMNS: Final = 8
CLASS, WRITER = 0, 2
"""Columns of the label files that are used."""

_OWNER: Final = "https://raw.githubusercontent.com/facebookresearch/qmnist/master"

FILES: Final = tuple(
    RawFile(name=name, url=f"{_OWNER}/{name}", bytes=size, sha256=sha256)
    for name, size, sha256 in (
        (
            "qmnist-train-images-idx3-ubyte.gz",
            9_704_059,
            "9e26a7bf1683614e065d7b76460ccd52807165b3f22561fb782bd9f38c52b51d",
        ),
        (
            "qmnist-train-labels-idx2-int.gz",
            463_024,
            "2c05dc77f6b916b38e455e97ab129a42a444f3dbef09b278a366f82904e0dd9f",
        ),
        (
            "qmnist-test-images-idx3-ubyte.gz",
            9_742_279,
            "43fc22bf7498b8fc98de98369d72f752d0deabc280a43a7bcc364ab19e57b375",
        ),
        ("qmnist-test-labels-idx2-int.gz", 526_800, "9fbcbe594c3766fdf4f0b15c5165dc0d1e57ac604e01422608bb72c906030d06"),
    )
)
"""Sizes and digests are those of the list that TensorFlow Datasets keeps (url_checksums/qmnist.txt); those of the label
files were found in the files themselves."""

CARD: Final = Card(
    name="qmnist",
    title="QMNIST: handwritten digits by writer",
    description="28×28 images of ten digits, each with its writer; the 60,000 of MNIST's training and 60,000 to test",
    task="classification",
    model=Component(name="cnn"),
    modality="tensor",
    classes=10,
    sample_shape=(28, 28),
    x_scale=1 / 255,
    client_is="writer (NIST writer number)",
    licence="BSD-style (QMNIST)",
    source="github.com/facebookresearch/qmnist",
    files=FILES,
    citation="C. Yadav, L. Bottou: Cold Case: The Lost MNIST Digits. NeurIPS 2019",
    counted=Figures(clients=1_074, samples=120_000),
    verification="real",
    verified="label files: 539 training and 535 test writers, disjoint",
)


@dataclass(frozen=True)
class Qmnist:
    """QMNIST from its raw files in directory ``raw``."""

    raw: Path | None = None

    @property
    def card(self) -> Card:
        """Return the card."""
        return CARD

    @property
    def directory(self) -> str:
        """Return the name of the store."""
        return "qmnist"

    def write(self, path: Path, notes: Notes) -> None:
        """Read the raw files, sort the digits by writer, and write the store."""
        if self.raw is None:
            raise DataError(absent(CARD))
        parts = [_read_part(self.raw, part) for part in _PARTS]
        images = np.concatenate([images for images, _ in parts])
        labels = np.concatenate([labels for _, labels in parts])
        order = np.argsort(labels[:, WRITER], kind="stable")
        counts = np.unique(labels[:, WRITER], return_counts=True)[1]
        with StoreWriter(path, CARD, notes) as writer:
            writer.append(counts, {"x": images[order], "y": labels[order, CLASS].astype(np.int64)})


_PARTS: Final = ("train", "test")
_IMAGES: Final = "images-idx3-ubyte"
_LABELS: Final = "labels-idx2-int"


def _read_part(raw: Path, part: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    images_path = find_idx(raw, f"qmnist-{part}-{_IMAGES}")
    labels_path = find_idx(raw, f"qmnist-{part}-{_LABELS}")
    images, labels = read_idx(images_path, code=0x08, dimensions=3), read_idx(labels_path, code=0x0C, dimensions=2)
    if images.shape[1:] != CARD.sample_shape:
        raise DataError(f"{images_path} offset 8: images of shape {images.shape[1:]}, not {CARD.sample_shape}")
    if labels.shape[1] != LABEL_COLUMNS:
        raise DataError(f"{labels_path} offset 8: {labels.shape[1]} columns, not {LABEL_COLUMNS}")
    if len(images) != len(labels):
        raise DataError(f"{images_path} offset 4: {len(images)} images, but {labels_path.name} has {len(labels)} rows")
    _check_labels(labels_path, labels)
    return images, labels


def _check_labels(path: Path, labels: npt.NDArray[Any]) -> None:
    classes, writers = labels[:, CLASS], labels[:, WRITER]
    wrong = np.flatnonzero((classes < 0) | (classes > 9) | (writers < 0))
    if len(wrong):
        row = int(wrong[0])
        offset = 12 + row * LABEL_COLUMNS * 4
        raise DataError(f"{path} row {row} (offset {offset}): class {classes[row]}, writer {writers[row]} cannot be")
