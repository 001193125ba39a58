"""Getting a dataset's raw files from their owners, or saying how a person gets them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from fedscale import files
from fedscale.data.archive import appearing, unpack_into
from fedscale.data.card import Card, RawFile
from fedscale.data.download import UNWATCHED, Watcher, download
from fedscale.data.packed import is_archive
from fedscale.errors import FetchError
from fedscale.units import human_bytes

UNPACKED = "unpacked"
"""Folder of what was in archives, with the other files beside it."""


def raw_directory(name: str, cache: Path | None = None) -> Path:
    """Return where raw files of a dataset go: ``<cache>/raw/<name>``."""
    return (cache or files.cache_directory()) / "raw" / name


def is_free(card: Card) -> bool:
    """Whether all raw files can be downloaded without anything to be accepted by hand."""
    return bool(card.files) and card.terms is None and all(file.url is not None for file in card.files)


def size_of(raw: Sequence[RawFile]) -> tuple[int, str]:
    """Return the bytes of files that are known, and all of them in words: ``4 files, 20.4 MB``."""
    known = sum(file.bytes or 0 for file in raw)
    least = "at least " if any(file.bytes is None for file in raw) else ""
    size = f"{least}{human_bytes(known)}" if known else "nobody says how large"
    return known, f"{len(raw)} {'file' if len(raw) == 1 else 'files'}, {size}"


def collect(card: Card, directory: Path, watcher: Watcher = UNWATCHED) -> Path:
    """Download a dataset's raw files into ``directory``, unpack archives, and return the folder to import from.

    Raises:
        FetchError: they are not to be had without a person, or the download or an archive failed.
        WriteError: the system refuses to write, or the disk has too little room.
    """
    if not is_free(card):
        raise FetchError(by_hand(card, directory))
    packed = sum(file.bytes or 0 for file in card.files if is_archive(file.name))
    unpacked = directory / UNPACKED
    paths = download(card.files, directory, watcher, spare_bytes=0 if unpacked.exists() else packed)
    if not any(is_archive(file.name) for file in card.files):
        return directory
    if not unpacked.exists():
        with appearing(unpacked) as temporary:
            for file, path in zip(card.files, paths, strict=True):
                watcher.notice(f"unpacking {file.name}")
                _lay_out(path, (temporary / file.name).parent)
    return unpacked


def _lay_out(path: Path, folder: Path) -> None:
    """Unpack an archive into a folder, or put another file there without using room twice."""
    folder.mkdir(parents=True, exist_ok=True)
    if is_archive(path.name):
        unpack_into(path, folder)
        return
    try:
        os.link(path, folder / path.name)
    except OSError:  # a file system without such links
        with files.writing(folder / path.name):
            shutil.copyfile(path, folder / path.name)


def by_hand(card: Card, directory: Path) -> str:
    """Say what a person must fetch, from where and into which directory, and what to run then."""
    lines = [f"{card.name} cannot be downloaded by a program: {card.terms or 'its owner asks for a visit first'}"]
    lines.append(f"From {card.source} fetch into {directory}")
    lines += [f"  {_line(file)}" for file in card.files] or [f"  {card.layout or 'the files as they are published'}"]
    if any(is_archive(file.name) for file in card.files):
        lines.append("unpack the archives there,")
    lines.append(f"and run: fedscale data import {card.name} --from {directory}")
    return "\n".join(lines)


def _line(file: RawFile) -> str:
    facts = [file.name, file.url or ""]
    facts.append("" if file.bytes is None else f"{file.bytes:,} bytes")
    facts += [f"{name} {value}" for name, value in (("sha256", file.sha256), ("md5", file.md5)) if value]
    return " · ".join(fact for fact in facts if fact)
