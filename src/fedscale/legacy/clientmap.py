"""Who has which samples, as early releases of the original kept it: a pickle of one dictionary, file name to client.

``speech_commands/clientDataMap`` has 103,171 entries such as ``'yes_742d6431_nohash_1.wav': 0``; ``imageToAuthor`` of
Open Images maps names of images to authors. Later releases have CSV files instead, which this becomes. The early
archive of Open Images says what an image shows in its name: ``{train,test}/<image>__<class>.jpg``, and ``classTags``
lists the classes in the order of their numbers (``data-preprocess-script`` and the loader ``OPENIMG`` of
github.com/SymbioticLab/Oort).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from fedscale import limits
from fedscale.errors import DataError, TraceError
from fedscale.files import read_bytes, write_text
from fedscale.jobfile import SHORT
from fedscale.traces.unpickle import load_plain

_SPEECH: Final = re.compile(r"(?P<word>[a-z]+)_[0-9a-f]+_nohash_\d+\.wav")
"""Names of recordings of spoken words, flat in one folder."""


_OBJECT: Final = re.compile(r"(?P<image>.+?)__(?P<tag>.+?)(?:__.*)?\.jpg")
"""Names of images of objects, in the folder of their split."""

CLASSES: Final = "classTags"

HEADER: Final = ("client_id", "sample_name", "sample_category", "category_id")


@dataclass(frozen=True)
class ClientMap:
    """Samples by name, in the file's order, and the client that each belongs to.

    Attributes:
        names: of samples.
        clients: int64, one for each name; clients are numbered from 0 by first appearance.
        words: what is said in each, where all names tell; else empty.
    """

    names: tuple[str, ...]
    clients: npt.NDArray[np.int64]
    words: tuple[str, ...]

    def counts(self) -> npt.NDArray[np.int64]:
        """Return how many samples each client has: int64, by client."""
        return np.bincount(self.clients).astype(np.int64)


def read_client_map(path: Path) -> ClientMap:
    """Read the pickle, without running it.

    Raises:
        DataError: it cannot be read, or holds anything but names and clients; the message names the entry.
    """
    entries = _entries(path)
    numbers: dict[object, int] = {}
    clients = []
    for number, (name, client) in enumerate(entries.items(), start=1):
        if not isinstance(name, str) or not name or "\n" in name:
            raise DataError(f"{path} entry {number}: the name of a sample is {SHORT.repr(name)}; it must be a text")
        if not isinstance(client, str | int) or isinstance(client, bool):
            raise DataError(
                f"{path} entry {number}, {name!r}: the client is {SHORT.repr(client)}; text or number needed"
            )
        clients.append(numbers.setdefault(client, len(numbers)))
    found = [_SPEECH.fullmatch(str(name)) for name in entries]
    words = tuple(match["word"] for match in found if match)
    names = tuple(map(str, entries))
    return ClientMap(names, np.array(clients, np.int64), words if len(words) == len(names) else ())


def _entries(path: Path) -> dict[object, object]:
    try:
        entries = load_plain(read_bytes(path, limits.TRACE_WHOLE_BYTES), path)
    except TraceError as error:
        raise DataError(str(error)) from None
    if not isinstance(entries, dict) or not entries:
        raise DataError(f"{path}: must be a dictionary of names and clients, not {SHORT.repr(entries)}")
    return entries


def write_mapping(found: ClientMap, directory: Path) -> Path:
    """Write ``client_data_mapping/train.csv`` into ``directory`` in the layout of later releases, and return its path.

    Columns are client_id, sample_name, sample_category, category_id; categories are numbered in alphabetical order.
    Where names do not tell what a sample is, the first two columns are all that is known.
    """
    numbers = {word: number for number, word in enumerate(sorted({*found.words}))}
    columns = [found.clients.tolist(), found.names]
    columns += [found.words, [numbers[word] for word in found.words]] if found.words else []
    return _written(directory, "train", zip(*columns, strict=True), HEADER[: len(columns)])


def write_image_lists(found: ClientMap, directory: Path) -> list[tuple[Path, int, int]]:
    """Write ``client_data_mapping/{train,val,test}.csv`` for the images of objects in ``directory``.

    Returns:
        Each list, how many objects it has, and how many were left out since `CLASSES` lacks what they show; nothing if
        there are no such images.

    Raises:
        DataError: an image is in no entry of the map.
    """
    splits = {split: _objects(directory / split) for split in ("train", "val", "test")}
    tags = sorted({tag for objects in splits.values() for _, _, tag in objects})
    listed = directory / CLASSES
    classes = [line.strip() for line in listed.read_text(errors="replace").splitlines()] if listed.is_file() else tags
    numbers = {tag: number for number, tag in enumerate(classes)}
    authors = dict(zip(found.names, found.clients.tolist(), strict=True))
    for split, objects in splits.items():
        for name, image, _ in objects:
            if image not in authors:
                where = directory / split / name
                raise DataError(f"{where}: the map has no client of {image!r}: is it of another archive?")
    written = []
    for split, objects in splits.items():
        # a name, since a number would be another client in another list
        rows = [(f"author{authors[image]}", name, tag, numbers[tag]) for name, image, tag in objects if tag in numbers]
        if objects:
            written.append((_written(directory, split, rows, HEADER), len(rows), len(objects) - len(rows)))
    return written


def _objects(folder: Path) -> list[tuple[str, str, str]]:
    """Return name, image and class of each image of an object, in the order of their names."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [(name, match["image"], match["tag"]) for name in names if (match := _OBJECT.fullmatch(name))]


def _written(directory: Path, split: str, rows: Iterable[Sequence[object]], header: Sequence[str]) -> Path:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([header, *rows])
    path = directory / "client_data_mapping" / f"{split}.csv"
    write_text(path, text.getvalue())
    return path
