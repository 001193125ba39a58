"""The beginning of a file under way: bytes, digests, and which edition they are of."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from fedscale.data.card import RawFile
from fedscale.errors import FetchError
from fedscale.files import sync_directory, write_text, writing


class Digests:
    """The digests of a file, as far as it has been seen: SHA-256, and MD5 if that is what is known of it."""

    def __init__(self, file: RawFile) -> None:
        self._known = {"sha256": file.sha256, "md5": file.md5}
        names = ["sha256", *(["md5"] if file.md5 else [])]
        self._running = {name: hashlib.new(name, usedforsecurity=False) for name in names}

    def update(self, content: bytes) -> None:
        """Go on with ``content``."""
        for running in self._running.values():
            running.update(content)

    def read(self, file: IO[bytes]) -> None:
        """Go on with all that is left of an open file."""
        while content := file.read(1 << 20):
            self.update(content)

    def mistake(self) -> str:
        """Say which digest is not the known one; empty if all are."""
        for name, running in self._running.items():
            known, found = self._known[name], running.hexdigest()
            if known is not None and found != known:
                return f"{name} is {found}, not {known}"
        return ""


class Part:
    """A file under way, in ``.NAME.part`` beside where it will be, and ``.NAME.part.json`` on where it came from.

    What an earlier process left is taken up: its bytes are read again for the digests.

    Attributes:
        size: bytes that are there.
        validator: the server's mark of the edition that they are of.
    """

    def __init__(self, file: RawFile, path: Path, handle: IO[bytes]) -> None:
        self.path = path
        self.size = 0
        self.validator: str | None = None
        self._file = file
        self._handle = handle
        self._digests = Digests(file)
        self._take_up()

    def _take_up(self) -> None:
        """Go on from what is there, if it came from the same address."""
        try:
            origin = json.loads(_note(self.path).read_bytes()[: 1 << 16])
            same = origin["url"] == self._file.url
            validator = origin["validator"]
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            same, validator = False, None
        if not same or not isinstance(validator, str | None):
            self.restart(None)
            return
        self.validator = validator
        self._handle.seek(0)
        self._digests.read(self._handle)
        self.size = self._handle.tell()

    @property
    def continues(self) -> bool:
        """Whether a wrong continuation would be noticed, by the server or by us."""
        return self.validator is not None or bool(self._file.sha256 or self._file.md5)

    def restart(self, validator: str | None) -> None:
        """Forget what is there; what comes next is of the edition ``validator``."""
        with writing(self.path):
            self._handle.seek(0)
            self._handle.truncate()
        write_text(_note(self.path), json.dumps({"url": self._file.url, "validator": validator}))
        self.size, self.validator, self._digests = 0, validator, Digests(self._file)

    def append(self, content: bytes) -> None:
        """Add what came in.

        Raises:
            WriteError: the disk is full, or the system refuses otherwise.
        """
        with writing(self.path):
            self._handle.write(content)
            self._handle.flush()
        self._digests.update(content)
        self.size += len(content)

    def mistake(self) -> str:
        """Say which digest is not the known one; empty if all are."""
        return self._digests.mistake()

    def finish(self, target: Path) -> None:
        """Make it durable and give it its name."""
        with writing(target):
            self._handle.flush()
            os.fsync(self._handle.fileno())
            self.path.replace(target)
            _note(self.path).unlink(missing_ok=True)
            sync_directory(target.parent)

    def remove(self) -> None:
        """Leave nothing."""
        self.path.unlink(missing_ok=True)
        _note(self.path).unlink(missing_ok=True)


def part_path(target: Path) -> Path:
    """Return where the beginning of ``target`` is kept."""
    return target.with_name(f".{target.name}.part")


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


@contextmanager
def open_part(file: RawFile, target: Path) -> Iterator[Part]:
    """Open the beginning of ``target``, which other processes leave alone meanwhile; it stays there after an error.

    Raises:
        FetchError: another process is at it.
        WriteError: the system refuses.
    """
    path = part_path(target)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a+b")
    with handle:
        _lock(handle, target)
        part = Part(file, path, handle)
        try:
            yield part
        finally:
            if not part.size:
                part.remove()


def _lock(handle: IO[Any], target: Path) -> None:
    busy = FetchError(f"{target}: another process is fetching it: wait for that one, or end it")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        same = os.path.samestat(os.fstat(handle.fileno()), part_path(target).stat())
    except OSError:
        raise busy from None
    if not same:  # it was renamed between opening and locking
        raise busy
