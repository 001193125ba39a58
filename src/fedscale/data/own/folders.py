"""Own data as files in folders of clients, or as files with a list that names their clients."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Unpack

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fedscale.data.arrow import plain_array
from fedscale.data.federated import FederatedDataset
from fedscale.data.images import open_image
from fedscale.data.importing import Scanned
from fedscale.data.mapping import data_directory, mapping_files, read_mapping
from fedscale.data.notes import Notes
from fedscale.data.own.build import About, build
from fedscale.data.own.rows import Reader
from fedscale.errors import DataError

IMAGES: Final = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

FILES: Final = 500
"""Files that are read together."""

_Row = tuple[str, Path, str | int]
"""Client, file and label."""


def from_folders(
    raw: Path | str,
    path: Path | str,
    *,
    layout: Literal["client/label/file", "client/file"] = "client/label/file",
    shape: tuple[int, ...] | None = None,
    **about: Unpack[About],
) -> FederatedDataset:
    """Write a folder of folders as a store at ``path`` and open it.

    Args:
        raw: the folder. ``client/label/file`` is for images and for arrays (``.npy``), whose folder is their label;
            ``client/file`` for texts (``.txt``), whose characters are to be predicted.
        path: of the store; must not exist.
        layout: what folders and files are. Names that begin with a dot are left out.
        shape: what images become, (height, width) or (3, height, width); they stay encoded in the store.
        about: what the card should say, and the default model; see `About`.

    Raises:
        DataError: naming the file that does not fit, or cannot be read.
    """
    root, labelled = Path(raw), layout == "client/label/file"
    files = sorted(_walk(root, 3 if labelled else 2))
    if not files:
        raise DataError(f"{root}: no files {layout} there")
    reader = Reader("client", "x", "y", shape=shape) if labelled else Reader("client", text="text")
    media = _Media("an image", "an array") if labelled else _Media("a text")
    rows: Iterator[_Row] = ((file.relative_to(root).parts[0], file, file.parent.name) for file in files)
    return build(path, reader, _scan(reader, rows, media), about, "folder")


def from_mapping(
    raw: Path | str,
    path: Path | str,
    *,
    data: Path | str | None = None,
    shape: tuple[int, ...] | None = None,
    **about: Unpack[About],
) -> FederatedDataset:
    """Write what a ``client_data_mapping`` of FedScale lists as a store at ``path`` and open it.

    Rows of ``client_id, sample_path, label_name, label_id`` (or other names in these places); all CSV files of the
    folder together, and the labels are the numbers.

    Args:
        raw: the archive's directory, the one with ``client_data_mapping`` in it, or that folder itself.
        path: of the store; must not exist.
        data: where the samples' paths begin; by default the archive's directory, or in it the split's folder.
        shape: what images become, (height, width) or (3, height, width).
        about: what the card should say, and the default model; see `About`.

    Raises:
        DataError: naming file and row, or the sample that does not fit.
    """
    root = Path(raw)
    lists = mapping_files(root)
    if not lists:
        raise DataError(f"{root}: no client_data_mapping/*.csv there")
    base = data_directory(lists[0]) if data is None else Path(data)
    reader = Reader("client", "x", "y", shape=shape)
    return build(path, reader, _scan(reader, _listed(root, base), _Media("an image", "an array")), about, "client_id")


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    try:
        inside = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror or error}") from None
    for entry in inside:
        if entry.is_dir() != (depth > 1):
            wanted = "a folder" if depth > 1 else "a file"
            raise DataError(f"{entry}: {wanted} should be here: move it, or choose another layout")
        if depth > 1:
            yield from _walk(entry, depth - 1)
        else:
            yield entry


def _listed(root: Path, base: Path) -> Iterator[_Row]:
    for mapping in read_mapping(root, Notes(), ("client", "path", "label")):
        table = mapping.rows.table
        columns = (column.to_pylist() for column in (mapping.clients, table["path"], table["label"]))
        for row, (client, name, label) in enumerate(zip(*columns, strict=True)):
            file = next((place for place in (base / name, base / mapping.split / name) if place.is_file()), None)
            if file is None:
                raise DataError(f"{mapping.rows.where(row)}: there is no file {name!r} in {base}: say where in data=")
            yield client, file, label


def _scan(reader: Reader, rows: Iterator[_Row], media: _Media) -> Iterator[Scanned]:
    for batch in _batches(rows):
        clients, files, labels = (list(part) for part in zip(*batch, strict=True))
        columns = {"client": clients, **media.columns(files)}
        if reader.text is None:
            columns["y"] = labels
        yield reader.read(pa.table(columns), lambda row, files=files: str(files[row]))  # type: ignore[misc]


def _batches(rows: Iterator[_Row]) -> Iterator[list[_Row]]:
    while batch := list(itertools.islice(rows, FILES)):
        yield batch


class _Media:
    """Reads files of one kind, which is that of the first."""

    def __init__(self, *allowed: str) -> None:
        self._allowed = allowed
        self._kind: str | None = None
        self._shape: tuple[int, ...] | None = None

    def columns(self, files: Sequence[Path]) -> dict[str, Any]:
        """Return the column of what is in the files."""
        for file in files:
            kind = _KINDS.get(file.suffix.lower())
            self._kind = self._kind or kind
            if kind not in self._allowed or kind != self._kind:
                wanted = self._kind if self._kind in self._allowed else " or ".join(self._allowed)
                raise DataError(f"{file}: not {wanted}: move it away, or give it the name of one")
        if self._kind == "a text":
            return {"text": pa.array(map(_text, files), pa.large_string())}
        if self._kind == "an array":
            return {"x": plain_array(np.stack([self._array(file) for file in files]))}
        return {"x": pa.array(map(_image, files), pa.large_binary())}

    def _array(self, file: Path) -> npt.NDArray[Any]:
        try:
            values: npt.NDArray[Any] = np.load(io.BytesIO(_bytes(file)), allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise DataError(f"{file}: not an array as NumPy writes it: {error}") from None
        self._shape = self._shape or values.shape
        if values.shape != self._shape or values.dtype.kind not in "iufb":
            raise DataError(f"{file}: {values.dtype} of shape {values.shape}; the first has shape {self._shape}")
        return values


_KINDS: Final = dict.fromkeys(IMAGES, "an image") | {".npy": "an array", ".txt": "a text"}


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from None


def _text(file: Path) -> str:
    try:
        return _bytes(file).decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not text in UTF-8: {error}") from None


def _image(file: Path) -> bytes:
    content = _bytes(file)
    try:
        open_image(content)
    except ValueError as error:
        raise DataError(f"{file}: {error}") from None
    return content
