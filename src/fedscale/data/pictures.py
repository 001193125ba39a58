"""Images in files of their own: where they lie, and what a store keeps of them.

Rows name a file in the column ``path``, relative to one of several folders. They may say in ``left``, ``top``,
``right``, ``bottom`` which part of the image is the sample, in shares of its width and height.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fedscale import limits
from fedscale.data.gather import Gather
from fedscale.data.images import encode_image, open_image
from fedscale.data.rawfile import home

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES: Final = (".jpg", ".jpeg", ".png")

DEPTH: Final = 3
"""How many folders down images are looked for."""

MANY: Final = 64
"""Folders beside one another that are no places to look in any more, but what paths lead through (species, say)."""

EDGES: Final = ("left", "top", "right", "bottom")

Box = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Folders:
    """Folders to which paths may be relative."""

    bases: tuple[Path, ...]

    def find(self, path: str) -> Path | None:
        """Return the file at ``path``, else one of the same name right in a folder, else ``None``."""
        name = path.rsplit("/", 1)[-1]
        candidates = (base / relative for relative in dict.fromkeys((path, name)) for base in self.bases)
        return next((file for file in candidates if file.is_file()), None)

    def has_any(self, gather: Gather, clients: int | None) -> bool:
        """Say whether the file of any row of the first ``clients`` is there."""
        groups = gather.groups(clients)
        return any(self.find(path) for group in groups for path in pc.unique(group.rows["path"]).to_pylist())


def jpeg_names(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the names of the files of images whose ids are given: ``<id>.jpg``."""
    return pc.binary_join_element_wise(ids, *(pa.scalar(part, ids.type) for part in (".jpg", "")))


def folders_of(raw: Path) -> Folders:
    """Return ``raw`` and the folders in it to which paths may be relative, or which hold images themselves."""
    return Folders((home(raw), *_below(home(raw), DEPTH)))


def _below(folder: Path, depth: int) -> Iterator[Path]:
    """Yield the folders in ``folder`` and in those; what is inside of one that holds images is not looked at."""
    below = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if depth < DEPTH and entry.name.lower().endswith(SUFFIXES):
                return
            if len(entry.name) > 1 and not entry.name.startswith(".") and entry.is_dir():
                below.append(folder / entry.name)
    if len(below) > MANY:
        return
    for path in sorted(below):
        yield path
        if depth > 1:
            yield from _below(path, depth - 1)


def stored_images(
    rows: pa.Table, folders: Folders, size: tuple[int, int], squeezed: bool = False
) -> tuple[list[npt.NDArray[np.uint8]], npt.NDArray[np.bool_], Counter[str]]:
    """Return the images of ``rows`` as JPEG of ``size`` (width, height), which rows have one, and why others have none.

    Args:
        rows: with ``path``, maybe with edges; neighbouring rows may be parts of one image, which is read once.
        folders: where the files are.
        size: of all images.
        squeezed: whether an image becomes ``size`` as a whole; else its middle is kept, in its own proportions.
    """
    boxes = np.stack([rows[edge].to_numpy() for edge in EDGES], 1) if EDGES[0] in rows.column_names else None
    contents: list[npt.NDArray[np.uint8]] = []
    kept = np.zeros(len(rows), np.bool_)
    skipped: Counter[str] = Counter()
    path: str | None = None
    image: Image | ValueError = ValueError()
    for place, name in enumerate(rows["path"].to_pylist()):
        if name != path:
            path, image = name, _read(folders, name, size if boxes is None else None)
        try:
            part = _part(image, None if boxes is None else boxes[place])
            contents.append(np.frombuffer(_jpeg(part, size, squeezed), np.uint8))
            kept[place] = True
        except ValueError as error:
            skipped[str(error)] += 1
    return contents, kept, skipped


def _read(folders: Folders, path: str, size: tuple[int, int] | None) -> Image | ValueError:
    """Return an image, or what is wrong with it."""
    file = folders.find(path)
    if file is None:
        return ValueError("the image is not there")
    try:
        if file.stat().st_size > limits.IMAGE_FILE_BYTES:
            return ValueError(f"the image is a file of more than {limits.IMAGE_FILE_BYTES} bytes")
        return open_image(file.read_bytes(), size)
    except OSError as error:
        return ValueError(f"the image cannot be opened: {error.strerror or error}")
    except ValueError as error:
        return error


def _part(image: Image | ValueError, box: Box | None) -> Image:
    if isinstance(image, ValueError):
        raise image
    return image if box is None else cropped(image, box)


def cropped(image: Image, box: Box) -> Image:
    """Return the part of an image in ``box`` (left, top, right, bottom; shares), one pixel at least.

    Raises:
        ValueError: there is nothing in it.
    """
    left, top, right, bottom = (float(edge) for edge in box)
    if left >= right or top >= bottom:
        raise ValueError("a box without area")
    width, height = image.size
    first = min(int(left * width), width - 1), min(int(top * height), height - 1)
    last = max(round(right * width), first[0] + 1), max(round(bottom * height), first[1] + 1)
    return image.crop((*first, *last))


def _jpeg(image: Image, size: tuple[int, int], squeezed: bool) -> bytes:
    from PIL import ImageOps

    image = image.convert("RGB")
    return encode_image(image.resize(size) if squeezed else ImageOps.fit(image, size), max(size))
