"""Downloading files: taken up where they were left, checked while they come, and there whole or not at all."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from fedscale import limits
from fedscale.data.card import RawFile
from fedscale.data.partial import Digests, Part, open_part, part_path
from fedscale.data.web import Answer, MisfitError, TransientError, ask
from fedscale.errors import FetchError, WriteError
from fedscale.units import human_bytes


class Watcher(Protocol):
    """Sees how a download goes on."""

    def begin(self, name: str, done: int, total: int | None) -> None:
        """See that bytes of a file come from ``done`` on, of ``total`` if that is known."""
        ...

    def advance(self, done: int) -> None:
        """See how many bytes of the file are there."""
        ...

    def notice(self, message: str) -> None:
        """See what hindered an attempt, or what else goes on."""
        ...


class Unwatched:
    """Shows nothing."""

    def begin(self, name: str, done: int, total: int | None) -> None:
        """Nothing."""

    def advance(self, done: int) -> None:
        """Nothing."""

    def notice(self, message: str) -> None:
        """Nothing."""


UNWATCHED: Final = Unwatched()


def download(
    files: Sequence[RawFile], directory: Path, watcher: Watcher = UNWATCHED, spare_bytes: int = 0
) -> list[Path]:
    """Download files into ``directory`` and return their paths; what is there and right is not fetched again.

    Args:
        files: each with an address, and with size and digest as far as they are known.
        directory: made if it is not there.
        watcher: is told how it goes on.
        spare_bytes: that must be free besides, e.g. for unpacking.

    Raises:
        FetchError: an address or a name is none, the server refuses, gives up too often or sends another file, or the
            disk has too little room. What was fetched of a file stays as ``.NAME.part``, unless it is wrong.
        WriteError: the system refuses to write.
    """
    targets = [place(file, directory) for file in files]
    missing = [(file, target) for file, target in zip(files, targets, strict=True) if not is_there(file, target)]
    for file, _ in missing:
        if file.url is None:
            raise FetchError(f"{file.name}: has no address to be downloaded from")
    need = sum(max((file.bytes or 0) - _size(part_path(target)), 0) for file, target in missing)
    if missing:
        check_room(directory, need + spare_bytes)
    for file, target in missing:
        _fetch(file, target, watcher)
    return targets


def place(file: RawFile, directory: Path) -> Path:
    """Return where a file goes.

    Raises:
        FetchError: its name would lead out of the directory.
    """
    path = PurePosixPath(file.name)
    if path.is_absolute() or ".." in path.parts or not path.name or "\\" in file.name:
        raise FetchError(f"{file.name!r} is no name for a file in {directory}")
    return directory / path


def is_there(file: RawFile, target: Path) -> bool:
    """Whether a file is there whole.

    Raises:
        FetchError: another file has its name.
    """
    if not target.exists():
        return False
    if mistake := _mistake(file, target):
        raise FetchError(f"{target}: {mistake}: not the known file; remove it and fetch it again")
    return True


def _mistake(file: RawFile, target: Path) -> str:
    """Say how a file differs from what is known of it."""
    size = _size(target)
    if file.bytes is not None and size != file.bytes:
        return f"has {size} bytes, not {file.bytes}"
    if not file.sha256 and not file.md5:
        return ""
    digests = Digests(file)
    with target.open("rb") as content:
        digests.read(content)
    return digests.mistake()


def check_room(directory: Path, need: int) -> None:
    """Make sure that ``need`` bytes are free where ``directory`` is or will be.

    Raises:
        WriteError: they are not.
    """
    there = directory.absolute()
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if need > free:
        raise WriteError(
            f"{directory}: {human_bytes(need)} are needed, but {human_bytes(free)} are free: "
            "make room, or choose another place"
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fetch(file: RawFile, target: Path, watcher: Watcher) -> None:
    """Fetch one file, attempt after attempt as long as there is progress."""
    with open_part(file, target) as part:
        failed, furthest = 0, part.size
        while True:
            try:
                _attempt(file, part, watcher)
                break
            except TransientError as error:
                if part.size >= furthest + limits.PROGRESS_BYTES:
                    failed, furthest = 0, part.size
                failed += 1
                if failed == limits.DOWNLOAD_ATTEMPTS:
                    raise FetchError(_given_up(file, part, error)) from None
                _pause(file, error, failed, watcher)
        part.finish(target)


def _given_up(file: RawFile, part: Part, error: TransientError) -> str:
    kept = f"; {human_bytes(part.size)} are kept, and another try goes on from there" if part.size else ""
    return f"{file.url}: {error}; given up after {limits.DOWNLOAD_ATTEMPTS} attempts{kept}"


def _pause(file: RawFile, error: TransientError, failed: int, watcher: Watcher) -> None:
    """Wait before the next attempt: longer each time, and as long as the server asked for."""
    first, longest = limits.PAUSE_SECONDS
    seconds = max(min(first * 2 ** (failed - 1), longest), error.wait)
    watcher.notice(f"{file.name}: {error}; attempt {failed + 1} of {limits.DOWNLOAD_ATTEMPTS} in {seconds:g} s")
    time.sleep(seconds)


def _attempt(file: RawFile, part: Part, watcher: Watcher) -> None:
    """Get what is missing, and check the whole."""
    try:
        by_one_answer = _get_rest(file, part, watcher)
        mistake = part.mistake()
        if mistake and not by_one_answer:  # the beginning may be another edition's
            raise MisfitError(f"{mistake}, as put together from several answers")
    except MisfitError:
        part.restart(None)
        raise
    if mistake:
        raise _wrong(file, part, f"{mistake}: not the known file")


def _get_rest(file: RawFile, part: Part, watcher: Watcher) -> bool:
    """Read what is missing, and return whether the whole came by one answer."""
    if part.size > _most(file):
        raise MisfitError(f"{part.size} bytes are there of {file.bytes}")
    if part.size and part.size == file.bytes:
        return False
    assert file.url is not None
    answer = ask(file.url, part.size if part.continues else 0, part.validator)
    with answer.body:
        _admit(file, part, answer)
        if answer.start == 0:
            part.restart(answer.validator)
        total = file.bytes if answer.total is None else answer.total
        watcher.begin(file.name, part.size, total)
        while content := answer.read():
            if part.size + len(content) > _most(file):
                raise _wrong(file, part, f"the server sends more than {_most(file)} bytes")
            part.append(content)
            watcher.advance(part.size)
    if total is not None and part.size != total:
        raise TransientError(f"the connection ended at byte {part.size} of {total}")
    return answer.start == 0


def _most(file: RawFile) -> int:
    return limits.RAW_FILE_BYTES if file.bytes is None else file.bytes


def _admit(file: RawFile, part: Part, answer: Answer) -> None:
    """Look at what an answer says of itself, before any of it is read."""
    if answer.total is not None:
        if file.bytes is not None and answer.total != file.bytes:
            raise _wrong(file, part, f"the server announces {answer.total} bytes, not {file.bytes}")
        if answer.total > _most(file):
            raise _wrong(file, part, f"the server announces {answer.total} bytes, more than {_most(file)}")
        check_room(part.path.parent, answer.total - answer.start)
    if file.sha256 or file.md5:
        return
    if answer.kind == "text/html" and not file.name.endswith((".html", ".htm")):
        raise _wrong(file, part, "the server sends a web page instead of the file: its owner may want a visit first")
    if answer.encoding != "identity":
        raise _wrong(file, part, f"the server sends it encoded as {answer.encoding!r}, which was not asked for")
    if answer.total is None and file.bytes is None and not answer.body.chunked:
        raise _wrong(file, part, "nothing tells where it ends, so a whole one is not told from a half")


def _wrong(file: RawFile, part: Part, message: str) -> FetchError:
    """Return the error about a file that is another one, and keep nothing of it."""
    part.remove()
    return FetchError(f"{file.url}: {message}")
