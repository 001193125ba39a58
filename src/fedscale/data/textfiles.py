"""Folders with one text file per client, as in the archives that FedScale once distributed (``train/``, ``test/``).

Of the archives of Reddit and Stack Overflow it is said that clients' ids are in the names of files
(``benchmark/dataset/{reddit,stackoverflow}`` of github.com/SymbioticLab/FedScale at 7ec441c2); the code that read them
took every file of a folder for a client (``fedscale/dataloaders/nlp.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fedscale.data.notes import Notes
from fedscale.data.rawjson import read_lines

WINDOWS: Final = {code: bytes([code]).decode("cp1252", errors="ignore") or chr(code) for code in range(0x80, 0xA0)}
"""What the control characters of Latin-1 are in Windows-1252: quotation marks, dashes."""


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
    """Yield the lines of a client's file, the client being the file's name without its ending.

    A number has its folder before it, since another folder's means another client (see `fedscale.data.mapping`).
    """
    client = f"{path.parent.name}/{path.stem}" if path.stem.isdecimal() else path.stem
    for _, line in read_lines(path, notes):
        notes.read += 1
        yield client, decoded(line)


def decoded(content: bytes) -> str:
    """Return text as UTF-8, or where it is not as Windows-1252, which is what Latin-1 means on the web."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1").translate(WINDOWS)
