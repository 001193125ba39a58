"""The members of an archive: what they may be called, and how much may come of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from fedscale import limits
from fedscale.data.download import check_room
from fedscale.errors import FetchError, WriteError
from fedscale.files import writing

_ABSOLUTE: Final = re.compile(r"/|[A-Za-z]:")
_ODD: Final = re.compile(r"[\x00-\x1f\x7f\\]")
"""Characters that mean something else to other systems or to terminals."""


class Readable(Protocol):
    """Whatever bytes can be read from."""

    def read(self, size: int = ..., /) -> bytes:
        """Return at most ``size`` bytes, none at the end."""
        ...


class Metered:
    """A stream that ends with an error when more comes out of an archive than its size makes likely."""

    def __init__(self, stream: Readable, unpacker: Unpacker) -> None:
        self._stream = stream
        self._unpacker = unpacker

    def read(self, size: int = 1 << 20) -> bytes:
        """Return at most ``size`` bytes."""
        content = self._stream.read(size)
        self._unpacker.came_out(len(content))
        return content


class Unpacker:
    """Writes the members of one archive into a directory.

    Attributes:
        archive: for messages.
        member: the name of the one under way.
    """

    def __init__(self, archive: Path, directory: Path) -> None:
        self.archive = archive
        self.member = ""
        self.directory = directory
        self._path = directory
        self._folders: set[Path] = set()
        self._members = 0
        self._bytes = 0
        size = archive.stat().st_size
        self._most = min(limits.UNPACKED_BYTES, max(limits.UNPACKED_FREE_BYTES, limits.UNPACKED_RATIO * size))

    def begin(self, name: str) -> None:
        """Begin with a member.

        Raises:
            FetchError: there are too many, or it is called what none may be called.
        """
        self.member = name
        self._members += 1
        if self._members > limits.UNPACKED_MEMBERS:
            raise self.refused(f"is one of more than {limits.UNPACKED_MEMBERS} members")
        self._path = self.directory / self._checked(name)

    def came_out(self, count: int) -> None:
        """Count bytes that came out of the archive.

        Raises:
            FetchError: there are too many.
        """
        self._bytes += count
        if self._bytes > self._most:
            raise self.refused(f"makes it more than {self._most} bytes, too many for an archive of its size")

    def folder(self) -> None:
        """Make the folder that the member is."""
        self._make(self._path)

    def file(self, stream: Readable, size: int | None = None) -> None:
        """Write the member's bytes, which must be ``size`` if that is given.

        Raises:
            FetchError: there is such a file already, or the content is cut off.
            WriteError: the system refuses, or the disk has too little room.
        """
        if self._path == self.directory:
            raise self.refused("is a file without a name")
        if size is not None and size > limits.UNPACKED_FREE_BYTES:
            check_room(self.directory, size)
        self._make(self._path.parent)
        with self._making("is there already"):
            target = self._path.open("xb")
        with target:
            while content := stream.read(1 << 20):
                with writing(self._path):
                    target.write(content)
            written = target.tell()
        if size is not None and written != size:
            raise self.refused(f"ends at byte {written} of {size}")

    def refused(self, why: str) -> FetchError:
        """Return the error about the member under way."""
        return FetchError(f"{self.archive}: member {self.member!r} {why}")

    def _make(self, folder: Path) -> None:
        if folder not in self._folders:
            with self._making("lies in a folder that is a file, too"):
                folder.mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)

    @contextmanager
    def _making(self, taken: str) -> Iterator[None]:
        """Say ``taken`` where something of the name is there."""
        try:
            with writing(self._path):
                yield
        except WriteError as error:
            if isinstance(error.__cause__, FileExistsError | NotADirectoryError):
                raise self.refused(taken) from None
            raise

    def _checked(self, text: str) -> PurePosixPath:
        """Return a name, if a member may have it."""
        name = PurePosixPath(text)
        if _ABSOLUTE.match(text):
            raise self.refused("has an absolute name")
        if ".." in name.parts:
            raise self.refused("leads out of its folder")
        if _ODD.search(text):
            raise self.refused("has a name with backslashes or control characters")
        sizes = [len(os.fsencode(part)) for part in name.parts]
        if max(sizes, default=0) > 255 or sum(sizes) > limits.ARCHIVE_NAME_BYTES:
            raise self.refused("has too long a name")
        if len(sizes) > limits.ARCHIVE_NAME_DEPTH:
            raise self.refused("lies too deep")
        return name
