"""Folders with one text file per client, as in the archives that FedScale once distributed (``train/``, ``test/``)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fedscale.data.notes import Notes
from fedscale.data.rawjson import read_lines


def folder_files(raw: Path, name: str) -> list[Path]:
    """Return the files of ``train/``, ``val/`` and ``test/`` in ``raw``, or in its folder ``name``; hidden ones not."""
    folders = [top / part for top in (raw, raw / name) for part in ("train", "val", "test")]
    if raw.name in ("train", "val", "test"):
        folders.append(raw)
    return sorted(path for folder in folders if folder.is_dir() for path in folder.iterdir() if _is_text(path))


def _is_text(path: Path) -> bool:
    # caches of tokens, which lie in the same folders, are pickles
    return path.is_file() and not path.name.startswith(".") and "_cached_lm_" not in path.name


def lines_of(path: Path, notes: Notes) -> Iterator[tuple[str, str]]:
    """Yield the lines of a client's file, the client being the file's name without its ending."""
    for _, line in read_lines(path, notes):
        notes.read += 1
        yield path.stem, decoded(line)


def decoded(content: bytes) -> str:
    """Return text as UTF-8, or as Latin-1 where it is not."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")
