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
from fedscale.data.packed import is_packed, unpacked
from fedscale.data.rawfile import lacking, nothing
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
        if not self.raw.exists():
            raise DataError(f"{self.raw}: no such file or directory: `fedscale data info qmnist` says what is in it")
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.raw.is_file() and is_packed(self.raw.name):
            with unpacked(self.raw, path, notes) as folder:
                Qmnist(folder).write(path, notes)
            return
        card, parts = _chosen(self.raw.parent if self.raw.is_file() else self.raw, notes)
        read = [part.read() for part in parts]
        notes.read += sum(len(labels) for _, labels in read)
        labels = np.concatenate([labels for _, labels in read])
        order = np.argsort(labels[:, WRITER], kind="stable")
        counts = np.unique(labels[:, WRITER], return_counts=True)[1]
        columns = {"y": labels[order, CLASS].astype(np.int64)}
        if not card.without:
            columns["x"] = np.concatenate([images for images, _ in read])[order]
        with StoreWriter(path, card, notes) as writer:
            writer.append(counts, columns)


@dataclass(frozen=True)
class _Part:
    """The files of a part, ``train`` or ``test``; there may be labels alone."""

    labels: Path
    images: Path | None

    def read(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return images (none of them if there is no file of them) and labels."""
        labels = read_idx(self.labels, code=0x0C, dimensions=2)
        if labels.shape[1] != LABEL_COLUMNS:
            raise DataError(f"{self.labels} offset 8: {labels.shape[1]} columns, not {LABEL_COLUMNS}")
        _check_labels(self.labels, labels)
        if self.images is None:
            return np.empty(0), labels
        images = read_idx(self.images, code=0x08, dimensions=3)
        if images.shape[1:] != CARD.sample_shape:
            raise DataError(f"{self.images} offset 8: images of shape {images.shape[1:]}, not {CARD.sample_shape}")
        if len(images) != len(labels):
            raise DataError(
                f"{self.images} offset 4: {len(images)} images, but {self.labels.name} has {len(labels)} rows"
            )
        return images, labels


def _chosen(raw: Path, notes: Notes) -> tuple[Card, list[_Part]]:
    """Return the parts that are there, and the card: those with images, or labels alone if there are no images."""
    parts = []
    for name in ("train", "test"):
        labels, images = (find_idx(raw, f"qmnist-{name}-{rest}") for rest in ("labels-idx2-int", "images-idx3-ubyte"))
        if labels is not None:
            parts.append(_Part(labels, images))
        else:
            notes.tell(f"no qmnist-{name}-labels-idx2-int under {raw}: that part is left out")
    if not parts:
        raise nothing(raw, CARD.name, [f"{file.name} (or without .gz)" for file in FILES])
    if whole := [part for part in parts if part.images is not None]:
        for part in parts:
            if part.images is None:
                notes.tell(f"no images of {part.labels.name} under {raw}: that part is left out")
        return CARD, whole
    notes.tell(lacking(raw, "images"))
    return CARD.model_copy(update={"without": ("x",)}), parts


def _check_labels(path: Path, labels: npt.NDArray[Any]) -> None:
    classes, writers = labels[:, CLASS], labels[:, WRITER]
    wrong = np.flatnonzero((classes < 0) | (classes > 9) | (writers < 0))
    if len(wrong):
        row = int(wrong[0])
        offset = 12 + row * LABEL_COLUMNS * 4
        raise DataError(f"{path} row {row} (offset {offset}): class {classes[row]}, writer {writers[row]} cannot be")
