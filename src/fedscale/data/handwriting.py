"""The layouts in which FEMNIST's images by writer are handed out; each reader yields `Scanned` rows.

Rows have the columns ``x`` (pixels, where the layout has them) or ``image`` (the bytes of a file), and ``label``. In
all layouts paper is white: 255, or 1.0.
"""

from __future__ import annotations

import hashlib
import os
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fedscale.data.columns import to_arrow
from fedscale.data.importing import Scanned
from fedscale.data.notes import Notes
from fedscale.data.rawwhole import Member, read_members
from fedscale.data.tffdatabase import read_examples
from fedscale.errors import DataError, MissingExtraError

SIDE: Final = 28
BATCH: Final = 5_000
"""Images that a scan yields together."""

CHARACTERS: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
"""What the labels stand for."""

HEX: Final = {f"{ord(character):x}": label for label, character in enumerate(CHARACTERS)}
"""Label of each folder of ``by_class``, which is called by the character's code."""

DIGITS_ONLY: Final = ("digitsonly", "digits_only")
"""What is in the names of those files and splits of TensorFlow Federated that repeat a part of the others."""


def scan_nist(by_class: Path, by_write: Path, notes: Notes) -> Iterator[Scanned]:
    """Yield NIST's images: ``by_write`` says whose each one is, and the same content in ``by_class`` what it shows.

    NIST Special Database 19, second edition: ``by_write/hsf_0/f0000_14/c0000_14/*.png`` (part, writer, kind), of which
    no name tells the class, and ``by_class/4a/hsf_0/*.png``. (The folders ``by_class/4a/train_4a`` repeat others.)
    """
    known = _classes(by_class, notes)
    batch = _Batch("image")
    for writer, path in _written(by_write):
        content = path.read_bytes()
        notes.read += 1
        label = known.find(content)
        if label is None:
            notes.skip("an image that is not in by_class, or in several classes", str(path))
            continue
        batch.add(writer, content, label)
        if batch.full:
            notes.progress("images of by_write", notes.read)
            yield batch.rows()
    yield batch.rows()


def _written(by_write: Path) -> Iterator[tuple[str, Path]]:
    """Yield writers and their images, in the order of names."""
    for part in _folders(by_write):
        for writer in _folders(part):
            for kind in _folders(writer):
                for path in _images(kind):
                    yield writer.name, path


def _folders(path: Path) -> list[Path]:
    return sorted(Path(entry.path) for entry in os.scandir(path) if entry.is_dir())


def _images(path: Path) -> list[Path]:
    return sorted(Path(entry.path) for entry in os.scandir(path) if entry.name.lower().endswith(".png"))


@dataclass(frozen=True)
class _Contents:
    """Labels by the digest of a file's content: 9 bytes for each."""

    digests: npt.NDArray[np.uint64]
    labels: npt.NDArray[np.uint8]

    def find(self, content: bytes) -> int | None:
        digest = _digest(content)
        first, last = (int(np.searchsorted(self.digests, digest, side)) for side in ("left", "right"))
        labels = set(self.labels[first:last].tolist())
        return labels.pop() if len(labels) == 1 else None


def _digest(content: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.md5(content, usedforsecurity=False).digest()[:8], "big"))


def _classes(by_class: Path, notes: Notes) -> _Contents:
    digests, labels = bytearray(), bytearray()
    for folder in _folders(by_class):
        if folder.name.lower() not in HEX:
            continue
        parts = _folders(folder)
        for part in [path for path in parts if path.name.startswith("hsf")] or parts:
            for path in _images(part):
                digests += int(_digest(path.read_bytes())).to_bytes(8, "little")
                labels.append(HEX[folder.name.lower()])
            notes.progress("images of by_class", len(labels))
    if not labels:
        raise DataError(f"{by_class}: no images in folders called 30 to 7a: it should be NIST's by_class.zip, unpacked")
    keys, values = np.frombuffer(digests, "<u8"), np.frombuffer(labels, np.uint8)
    order = np.argsort(keys, kind="stable")
    return _Contents(keys[order], values[order])


def scan_leaf(paths: Sequence[Path], notes: Notes) -> Iterator[Scanned]:
    """Yield the users of LEAF's JSON files: ``x`` are lists of 784 numbers from 0 to 1, ``y`` labels."""
    for path in paths:
        said: dict[str, list[Any]] = {"users": [], "num_samples": []}
        counts: dict[str, int] = {}
        for member in read_members(path, notes):
            if member.field in said:
                said[member.field].append(member.value)
            elif member.field == "user_data":
                rows = _leaf_user(member)
                counts[str(member.key)] = len(rows.rows)
                notes.read += len(rows.rows)
                yield rows
        _check_counts(path, said, counts)


def _leaf_user(member: Member) -> Scanned:
    x, y = member.get("x", list), member.get("y", list)
    if len(x) != len(y):
        raise DataError(f"{member.where}: {len(x)} images in 'x', but {len(y)} labels in 'y'")
    return _decoded(str(member.key), pixels_of(x, f"{member.where}, field 'x'"), y, f"{member.where}, field 'y'")


def _check_counts(path: Path, said: dict[str, list[Any]], counts: dict[str, int]) -> None:
    if not counts:
        raise DataError(f"{path}: no field 'user_data': not one of LEAF's files")
    for user, expected in zip(said["users"], said["num_samples"], strict=False):
        if counts.get(str(user)) != expected:
            raise DataError(
                f"{path}, num_samples of {user!r}: {expected}, but user_data has {counts.get(str(user), 0)}"
            )


def scan_hdf5(paths: Sequence[Path], notes: Notes) -> Iterator[Scanned]:
    """Yield the clients of TensorFlow Federated's HDF5 files: ``examples/<writer>/{pixels,label}``."""
    try:
        import h5py
    except ImportError:
        raise MissingExtraError(f"reading {paths[0].name}", "h5py", "hdf5") from None
    for path in paths:
        try:
            with h5py.File(path, "r") as file:
                yield from _hdf5_clients(path, file, notes)
        except (OSError, RuntimeError, KeyError) as error:
            raise DataError(f"{path}: not an HDF5 file that can be read: {error}") from None


def _hdf5_clients(path: Path, file: Any, notes: Notes) -> Iterator[Scanned]:
    clients = file.get("examples")
    if not hasattr(clients, "keys"):
        raise DataError(f"{path}: no group 'examples': it should have examples/<writer>/pixels and /label")
    for writer in clients:
        where = f"{path}, examples/{writer}"
        x = pixels_of(_numbers(clients[writer], "pixels", where), f"{where}/pixels")
        labels = _numbers(clients[writer], "label", where).reshape(-1)
        if len(x) != len(labels):
            raise DataError(f"{where}: {len(x)} images in pixels, but {len(labels)} labels")
        notes.read += len(x)
        yield _decoded(writer, x, labels, f"{where}/label")


def _numbers(group: Any, name: str, where: str) -> npt.NDArray[Any]:
    part: Any = group.get(name) if hasattr(group, "keys") else None
    if not hasattr(part, "dtype") or part.dtype.kind not in "iuf":
        raise DataError(f"{where}/{name}: no such dataset of numbers")
    return np.asarray(part[()])


def scan_sqlite(paths: Sequence[Path], notes: Notes) -> Iterator[Scanned]:
    """Yield the samples of TensorFlow Federated's database: features ``pixels`` (784 floats) and ``label``."""
    for path in paths:
        batch = _Batch("x")
        for example in read_examples(path, notes, without_digits_only):
            pixels, label = example.features.get("pixels"), example.features.get("label")
            if not isinstance(pixels, np.ndarray) or not isinstance(label, np.ndarray) or len(label) != 1:
                raise DataError(f"{example.where}: it has {sorted(example.features)}, not pixels and one label")
            notes.read += 1
            x = pixels_of(pixels[None], f"{example.where}, feature 'pixels'")[0]
            batch.add(example.client, x, int(labels_of(label, f"{example.where}, feature 'label'")[0]))
            if batch.full:
                yield batch.rows()
        yield batch.rows()


def without_digits_only(names: Sequence[str]) -> list[str]:
    """Return those of some names that are not of digits only, unless all are: the digits are among the others."""
    others = [name for name in names if not any(mark in name for mark in DIGITS_ONLY)]
    return others or list(names)


@dataclass
class _Batch:
    """Rows that are collected until there are enough of them."""

    column: str
    clients: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)

    def add(self, client: str, value: Any, label: int) -> None:
        self.clients.append(client)
        self.values.append(value)
        self.labels.append(label)

    @property
    def full(self) -> bool:
        return len(self.labels) >= BATCH

    def rows(self) -> Scanned:
        """Return what was collected, and begin anew."""
        values = (
            pa.array(self.values, pa.large_binary())
            if self.column == "image"
            else to_arrow(np.array(self.values, np.uint8).reshape(-1, SIDE, SIDE))
        )
        table = pa.table({self.column: values, "label": pa.array(self.labels, pa.int64())})
        scanned = Scanned(pa.array(self.clients, pa.large_string()), table)
        self.clients, self.values, self.labels = [], [], []
        return scanned


def _decoded(writer: str, x: npt.NDArray[np.uint8], labels: Any, where: str) -> Scanned:
    y = labels_of(labels, where)
    return Scanned(pa.array([writer] * len(y), pa.large_string()), pa.table({"x": to_arrow(x), "label": pa.array(y)}))


def pixels_of(values: Any, where: str) -> npt.NDArray[np.uint8]:
    """Return numbers from 0 to 1, or from 0 to 255 where they are whole, as (n, 28, 28) of uint8.

    Raises:
        DataError: there are others, or not 784 an image.
    """
    try:
        array = np.asarray(values, None if isinstance(values, np.ndarray) else np.float64)
    except (ValueError, TypeError, OverflowError):
        raise DataError(f"{where}: not images of {SIDE} × {SIDE} numbers") from None
    if array.dtype.kind not in "iuf" or array.ndim == 0 or array.size != len(array) * SIDE * SIDE:
        raise DataError(f"{where}: {array.shape} of {array.dtype}, not images of {SIDE} × {SIDE} numbers")
    most = 1.0 if array.dtype.kind == "f" else 255
    if array.size and not (array.min() >= 0 and array.max() <= most):  # also false of NaN
        raise DataError(f"{where}: pixels from {array.min()} to {array.max()}, not from 0 to {most}")
    scaled = np.rint(array * 255.0) if array.dtype.kind == "f" else array
    return scaled.astype(np.uint8).reshape(-1, SIDE, SIDE)


def labels_of(values: Any, where: str) -> npt.NDArray[np.int64]:
    """Return labels as int64.

    Raises:
        DataError: one is not a whole number from 0 to 61.
    """
    for place, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value < len(CHARACTERS):
            raise DataError(f"{where}[{place}]: label {value!r} is not from 0 to {len(CHARACTERS) - 1}")
    return np.asarray(values, np.int64).reshape(-1)
