"""Finding and opening raw files: compressed or not, with progress."""

from __future__ import annotations

import bz2
import fnmatch
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from fedscale import files, limits
from fedscale.data.notes import Notes
from fedscale.data.packed import is_packed, remedy
from fedscale.errors import DataError, MissingExtraError

COMPRESSED: Final = (".gz", ".bz2", ".xz", ".lzma", ".zst")
"""Suffixes of files that are read through a decompressor."""


MAC: Final = "._"
"""How the names of files begin in which macOS keeps what other systems have no room for (AppleDouble)."""


class _Counted(io.RawIOBase):
    """A file that says how much of it was read, before it is decompressed."""

    def __init__(self, file: IO[bytes], told: Callable[[int], None]) -> None:
        self._file = file
        self._told = told

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            content = self._file.read(len(buffer))
        except (EOFError, lzma.LZMAError, zlib.error) as error:
            raise OSError(f"damaged, or cut off: {error}") from None
        buffer[: len(content)] = content
        self._told(len(content))
        return len(content)


@contextmanager
def opened(path: Path, notes: Notes) -> Iterator[io.BufferedReader]:
    """Open a raw file for reading bytes, decompressed by what its name ends with.

    Raises:
        DataError: it is absent, or cannot be opened.
        MissingExtraError: it needs a decompressor that is not installed.
    """
    try:
        file = _open(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be opened: {error.strerror or error}") from None
    done = 0

    def told(count: int) -> None:
        nonlocal done
        done += count
        notes.progress(f"bytes of {path.name}", done, None if path.suffix in COMPRESSED else size)

    with file:
        size = path.stat().st_size
        if size == 0 and path.suffix in COMPRESSED:
            raise DataError(f"{path}: damaged, or cut off: it is empty")
        yield io.BufferedReader(_Counted(file, told), 1 << 20)


def content_of(path: Path, notes: Notes) -> bytes:
    """Return what is in a raw file that is looked at as a whole, decompressed.

    Raises:
        DataError: it is absent, damaged, or has more than ``limits.RAW_LINE_BYTES``.
    """
    with opened(path, notes) as stream:
        try:
            content = stream.read(limits.RAW_LINE_BYTES + 1)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error}") from None
    return files.bounded(content, path, limits.RAW_LINE_BYTES)


def _open(path: Path) -> Any:
    match path.suffix:
        case ".gz":
            return gzip.open(path)
        case ".bz2":
            return bz2.open(path)
        case ".xz" | ".lzma":
            return lzma.open(path)
        case ".zst":
            return _zstandard(path)
    return path.open("rb")


def _zstandard(path: Path) -> Any:
    try:
        import zstandard
    except ImportError:
        raise MissingExtraError(f"reading {path.name}", "zstandard", "compress") from None
    return _Zstandard(path, zstandard)


class _Zstandard:
    """Reads a file of one or several Zstandard frames, and tells when the last one is cut off.

    The library's own reader ends quietly there.
    """

    def __init__(self, path: Path, library: Any) -> None:
        self._file = path.open("rb")
        self._error = library.ZstdError
        self._begin = library.ZstdDecompressor(max_window_size=1 << 31).decompressobj
        self._frame: Any = None
        self._left = b""

    def __enter__(self) -> _Zstandard:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def read(self, size: int) -> bytes:
        while not self._left:
            content = self._file.read(1 << 16)
            if not content:
                if self._frame is not None:
                    raise EOFError("the last frame has no end")
                return b""
            self._left = b"".join(self._decompressed(content))
        content, self._left = self._left[:size], self._left[size:]
        return content

    def _decompressed(self, content: bytes) -> Iterator[bytes]:
        while content:
            self._frame = self._frame or self._begin()
            try:
                yield self._frame.decompress(content)
            except self._error as error:
                raise EOFError(str(error)) from None
            content = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame = None


def found(raw: Path, *patterns: str) -> list[Path]:
    """Return the files under ``raw`` that match any of ``patterns``, compressed or not, sorted by their paths.

    Where a file is there both ways, the compressed one is left out, and so are files that macOS puts beside others.
    ``raw`` may be such a file itself.
    """
    endings = ("", *COMPRESSED)
    if raw.is_file():
        names = (re.sub(r"^(?:\*\*?/)+", "", pattern) for pattern in patterns)
        own = {name + ending for name in names if "/" not in name for ending in endings}
        return [raw] if any(fnmatch.fnmatchcase(raw.name, name) for name in own) else []
    paths = {
        path
        for pattern in patterns
        for ending in endings
        for path in raw.glob(pattern + ending)
        if path.is_file() and not path.name.startswith(MAC)
    }
    return sorted(path for path in paths if path.suffix not in COMPRESSED or path.with_suffix("") not in paths)


def folders(raw: Path) -> list[Path]:
    """Return ``raw``, or the folder that such a file is in, and the folders in it."""
    return [home(raw), *sorted(path for path in home(raw).glob("*") if path.is_dir())]


def home(raw: Path) -> Path:
    """Return ``raw``, or the folder that such a file is in, where what belongs to it is looked for."""
    return raw.parent if raw.is_file() else raw


def folder(raw: Path, name: str) -> Path | None:
    """Return the folder called ``name``, up to three levels inside of ``raw``; if one is in another, the inner one."""
    inside = (path for above in ("", "*/", "*/*/") for path in sorted(raw.glob(above + name)))
    outer = next((path for path in inside if path.is_dir()), None)
    return outer / name if outer is not None and (outer / name).is_dir() else outer


def nothing(raw: Path, name: str, wanted: Sequence[str]) -> DataError:
    """Return the error for a directory in which no layout of the dataset ``name`` was recognised."""
    if raw.is_file():
        return DataError(f"{raw}: no file of {name} by its name: it should be {' or '.join(wanted)}, or their folder")
    present = sorted(path.name for path in raw.iterdir())
    there = f"; it has {', '.join(present[:5])}" if present else "; it is empty"
    return DataError(f"{raw}: nothing of {name} found: it should have {' or '.join(wanted)}{there}{_packed(raw)}")


def lacking(raw: Path, media: str, instead: str = "labels") -> str:
    """Say that there are no ``media`` under ``raw``."""
    return f"no {media} under {raw}: {instead} and clients only; statistics can be had, training cannot{_packed(raw)}"


def _packed(raw: Path) -> str:
    """Say what to do with the archives in a directory; nothing if there are none."""
    present = sorted(path.name for path in raw.iterdir()) if raw.is_dir() else []
    archives = [name for name in present if is_packed(name)]
    return f": {remedy(archives)}" if archives else ""
