"""Writing files so that a crash at any moment leaves the old one or the new one, never a half.

And reading those that others made, up to a limit.
"""

from __future__ import annotations

import glob
import hashlib
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from fedscale.errors import DataError, WriteError


def read_bytes(path: Path, most: int) -> bytes:
    """Return what is in a file that others made.

    Raises:
        DataError: it cannot be read, or has more than ``most`` bytes.
    """
    try:
        with path.open("rb") as file:
            return bounded(file.read(most + 1), path, most)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def bounded(content: bytes, path: Path, most: int) -> bytes:
    """Return ``content``, of which one byte more than ``most`` was asked for.

    Raises:
        DataError: it was there.
    """
    if len(content) > most:
        raise DataError(f"{path}: more than the {most} bytes that are read")
    return content


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write ``path`` into a `WriteError` that names it and the reason."""
    try:
        yield
    except OSError as error:
        raise WriteError(f"{path}: cannot be written: {error.strerror or error}") from error


def sync_directory(directory: Path) -> None:
    """Make a rename in ``directory`` durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def temporary(path: Path, kind: str) -> Path:
    """Return a new name beside ``path`` for something unfinished of a ``kind``, from which `sweep` knows its owner."""
    return path.with_name(f".{path.name}.{_host()}.{os.getpid()}.{secrets.token_hex(4)}.{kind}")


def sweep(path: Path) -> None:
    """Remove what processes of this machine that are no more left unfinished beside ``path``."""
    prefix = f".{path.name}.{_host()}."
    for left in path.parent.glob(f"{glob.escape(prefix)}*"):
        owner = left.name.removeprefix(prefix).split(".")[0]
        if owner.isdigit() and not _running(int(owner)):
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


def _host() -> str:
    return hashlib.blake2b(socket.gethostname().encode(), digest_size=4).hexdigest()


def _running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside ``path``; on success sync it and rename it to ``path``, else remove it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` whole or not at all.

    Raises:
        WriteError: the system refuses.
    """
    with writing(path), replacing(path) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    """Write ``content`` as UTF-8 to ``path`` whole or not at all."""
    write_bytes(path, content.encode())


def digest(path: Path) -> str:
    """Return 32 hex digits over a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def cache_directory() -> Path:
    """Return where datasets are kept: ``$FEDSCALE_CACHE``, ``$XDG_CACHE_HOME/fedscale`` or ``~/.cache/fedscale``."""
    if chosen := os.environ.get("FEDSCALE_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "fedscale"
