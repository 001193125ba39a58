"""FedScale's archive of Open Images for detection: boxes in PASCAL VOC's XML files, clients in mapping files.

The layout is that of github.com/SymbioticLab/FedScale at 7ec441c2 (``benchmark/dataset/open_images_detection``, and
what ``fedscale/dataloaders/rcnn`` reads); nine lines of a mapping are quoted there, under the number 238::

    class.txt                                     a class on each line
    *.txt                                         sizes of images, "<name> <width> <height>" on each line
    client_data_mapping/{trainval,test}.csv       client_id,data_path,label_name,label_id; lines such as 0,<id>.jpg,,-1
    VOCdevkit2007/VOC2007/Annotations/<id>.xml    objects: name, bndbox (xmin, ymin, xmax, ymax, in pixels)
    VOCdevkit2007/VOC2007/JPEGImages/<id>.jpg     photographs, which users had to add themselves
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final
from xml.etree import ElementTree

import pyarrow as pa

from fedscale import files, limits
from fedscale.data.importing import Scanned
from fedscale.data.mapping import data_directory, mapping_files, read_mapping
from fedscale.data.notes import Notes
from fedscale.data.pictures import EDGES
from fedscale.data.rawfile import found, nothing
from fedscale.data.rawjson import read_lines
from fedscale.errors import DataError, nearest

CLASSES: Final = "class.txt"

SIDES: Final = ("xmin", "ymin", "xmax", "ymax")
"""What VOC calls the edges (`EDGES`) of a box."""

OUTSIDE: Final = 1.0
"""By how many pixels an edge may be outside of its image: VOC counts pixels from 1."""

AREA: Final = "a box without area"

Size = tuple[float, float]
Box = tuple[str, float, float, float, float]

ROWS: Final = pa.schema(
    [("path", pa.large_string()), ("label", pa.large_string()), *((e, pa.float32()) for e in EDGES)]
)


def has_annotations(raw: Path) -> bool:
    """Say whether a mapping in ``raw`` has annotations beside it."""
    return any(_folders(data_directory(path)) for path in mapping_files(raw))


def scan_annotations(raw: Path, notes: Notes, *, by_image: bool = False) -> Iterator[Scanned]:
    """Yield the boxes of the images that mapping files name: ``path``, ``label`` and edges in shares of the image.

    Args:
        raw: the archive's directory.
        notes: what was left out.
        by_image: whether each image is a client, whatever the mapping says.

    Raises:
        DataError: there are no annotations, or a file is damaged.
    """
    sets = {base: _annotations(base, notes) for base in dict.fromkeys(map(data_directory, mapping_files(raw)))}
    for part in read_mapping(raw, notes, ("client", "path")):
        annotations = sets[data_directory(part.rows.path)]
        paths = part.rows.table["path"].to_pylist()
        clients = paths if by_image else part.clients.to_pylist()
        for start in range(0, len(paths), limits.SCANNED_ROWS):
            some = slice(start, start + limits.SCANNED_ROWS)
            yield _scanned(annotations, clients[some], paths[some], notes)


@dataclass(frozen=True)
class Annotations:
    """The annotations of one archive.

    Attributes:
        folder: where the XML files are.
        classes: what objects may be; empty where no file says so.
        sizes: width and height of images by name without ending, from text files.
    """

    folder: Path
    classes: Sequence[str]
    sizes: Mapping[str, Size]

    def boxes(self, name: str) -> list[Box]:
        """Return class and edges of each object in the image of this name.

        Raises:
            DataError: the image's file is damaged, or says what cannot be; it names file, object, field and value.
            LookupError: the image cannot be used; it says why.
        """
        path = self.folder / f"{name}.xml"
        if not path.is_file():
            raise LookupError("no annotation of the image")
        root = _parsed(path)
        size = _size(root, path) or self.sizes.get(name)
        if size is None:
            raise LookupError("neither annotation nor text file says how large the image is")
        return [
            self._box(item, size, f"{path}, object {number}") for number, item in enumerate(root.findall("object"), 1)
        ]

    def _box(self, item: ElementTree.Element, size: Size, where: str) -> Box:
        label = (item.findtext("name") or "").strip().lower()
        if not label:
            raise DataError(f"{where}: no <name>, or an empty one, which says what it is")
        if self.classes and label not in self.classes:
            raise DataError(f"{where}, <name>: {label!r} is no class of {CLASSES}: {nearest(label, self.classes)}")
        left, top, right, bottom = (_share(item, side, size[place % 2], where) for place, side in enumerate(SIDES))
        return label, left, top, right, bottom


def _annotations(base: Path, notes: Notes) -> Annotations:
    folders = _folders(base)
    if not folders:
        raise nothing(base, "openimage_detection", ["VOCdevkit2007/VOC2007/Annotations", "*annotations*bbox.csv"])
    classes = dict.fromkeys(
        line.decode(errors="replace").lower() for path in found(base, CLASSES) for _, line in read_lines(path, notes)
    )
    texts = [path for path in found(base, "*.txt") if not path.name.startswith(CLASSES)]
    sizes = {name: size for path in texts for name, size in _sizes(path, notes)}
    return Annotations(folders[0], tuple(classes), sizes)


def _folders(base: Path) -> list[Path]:
    return [path for path in sorted(base.glob("VOCdevkit*/VOC*/Annotations")) if path.is_dir()]


def _sizes(path: Path, notes: Notes) -> Iterator[tuple[str, Size]]:
    """Yield names and sizes of images; nothing of a text file of another kind."""
    for _, line in read_lines(path, notes):
        name, *numbers = line.decode(errors="replace").split()
        if len(numbers) != 2 or not all(number.isdecimal() and int(number) for number in numbers):
            return
        yield PurePosixPath(name).stem, (float(numbers[0]), float(numbers[1]))


def _scanned(annotations: Annotations, clients: Sequence[str], paths: Sequence[str], notes: Notes) -> Scanned:
    owners: list[str] = []
    rows: list[tuple[str, ...] | tuple[str | float, ...]] = []
    for client, path in zip(clients, paths, strict=True):
        try:
            boxes = annotations.boxes(PurePosixPath(path).stem)
        except LookupError as error:
            notes.skip(str(error), path)
            continue
        notes.read += max(len(boxes) - 1, 0)  # the image itself was counted, boxes are what is left out
        usable = [box for box in boxes if box[1] < box[3] and box[2] < box[4]]
        notes.skip(AREA, path, len(boxes) - len(usable))
        notes.skip("an image without objects", path, not boxes)
        image = path if PurePosixPath(path).suffix else f"{path}.jpg"
        owners += [client] * len(usable)
        rows += [(image, *box) for box in usable]
    columns = zip(*rows, strict=True) if rows else [()] * len(ROWS)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, ROWS, strict=True)]
    return Scanned(pa.array(owners, pa.large_string()), pa.table(arrays, schema=ROWS))


def _parsed(path: Path) -> ElementTree.Element:
    content = files.read_bytes(path, limits.ANNOTATION_BYTES)
    if b"<!DOCTYPE" in content:
        raise DataError(f"{path}: a document type, with which few bytes can become many; annotations have none")
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise DataError(f"{path} line {error.position[0]}: no XML: {error}") from None
    except (LookupError, ValueError) as error:
        raise DataError(f"{path}: no XML: {error}") from None
    if root.tag != "annotation":
        raise DataError(f"{path}: <{root.tag}> is at its top, not <annotation>")
    return root


def _size(root: ElementTree.Element, path: Path) -> Size | None:
    """Return width and height, ``None`` where they are not told, or are 0 as some tools write."""
    size = root.find("size")
    if size is None:
        return None
    width, height = (_number(size, name, f"{path}, <size>") for name in ("width", "height"))
    return (width, height) if width > 0 and height > 0 else None


def _share(item: ElementTree.Element, side: str, extent: float, where: str) -> float:
    box = item.find("bndbox")
    if box is None:
        raise DataError(f"{where}: no <bndbox>, which every object has")
    pixels = _number(box, side, where)
    if not -OUTSIDE <= pixels <= extent + OUTSIDE:
        raise DataError(
            f"{where}, <{side}>: {pixels:g} is outside of its image, which is {extent:g} pixels long there: take the "
            "file away to leave the image out"
        )
    return min(max(pixels / extent, 0.0), 1.0)


def _number(parent: ElementTree.Element, name: str, where: str) -> float:
    text = (parent.findtext(name) or "").strip()
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{where}, <{name}>: {text[:40]!r} is no number of pixels")
    return number
