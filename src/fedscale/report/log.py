"""The log: an append-only file of facts, one JSON object per line, each chained to the one before.

The format is documented in ``docs/log-format.md``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from fedscale import limits
from fedscale.errors import LogError
from fedscale.files import writing

FORMAT: Final = 1
"""Version of the log's format."""

ROOT: Final = "0" * 16
"""The chain before the first line."""

Record = dict[str, Any]

_encode: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def link(previous: str, body: str) -> str:
    """Return the chain of a line: 16 hex digits over the previous chain and the line without its chain member."""
    return hashlib.blake2b((previous + body).encode(), digest_size=8).hexdigest()


class LogWriter:
    """Appends records; ``offset`` and ``chain`` are what a checkpoint must know to go on from here.

    Every method raises a `WriteError` if the system refuses to write.
    """

    def __init__(self, path: Path, offset: int = 0, chain: str = ROOT) -> None:
        """Open ``path`` for appending after its first ``offset`` bytes; whatever follows them is cut off.

        Raises:
            LogError: the file is shorter than ``offset``, or what comes before was altered.
        """
        self._path = path
        if offset:
            _check_start(path, offset, chain)
        with writing(path):
            self._file = path.open("r+b" if path.exists() else "w+b")
            self._file.truncate(offset)
            self._file.seek(offset)
        self.offset = offset
        self.chain = chain

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record."""
        self.extend([record])

    def extend(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Write several records: all of them, or none if one is no JSON."""
        chain, lines = self.chain, []
        for record in records:
            body = _encode(record)
            chain = link(chain, body)
            lines.append(f'{body[:-1]},"chain":"{chain}"}}\n'.encode())
        content = b"".join(lines)
        with writing(self._path):
            self._file.write(content)
        self.offset += len(content)
        self.chain = chain

    def sync(self) -> None:
        """Make everything appended durable."""
        with writing(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Sync and close; the file is closed even if it cannot be synced."""
        try:
            self.sync()
        finally:
            with writing(self._path):
                self._file.close()


def read_log(path: Path, *, verify: bool = True) -> Iterator[Record]:
    """Yield the records of a log, without their chain.

    A last line without its newline (a run that was killed while writing) is left out.

    Raises:
        LogError: a line is not valid, or (with ``verify``) was altered, lost or moved; the message names it.
    """
    chain = ROOT
    try:
        file = path.open("rb")
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror}") from None
    with file:
        for number, line in enumerate(iter(lambda: file.readline(limits.LOG_LINE_BYTES + 1), b""), start=1):
            if len(line) > limits.LOG_LINE_BYTES:
                raise LogError(f"{path} line {number}: longer than {limits.LOG_LINE_BYTES} bytes")
            if not line.endswith(b"\n"):
                return
            record, body, found = _parse(line, f"{path} line {number}")
            if verify:
                chain = link(chain, body)
                if chain != found:
                    raise LogError(f"{path} line {number}: {_BROKEN}")
            yield record


def _check_start(path: Path, offset: int, chain: str) -> None:
    """See to it that the first ``offset`` bytes are whole lines, unaltered, and that the last one has ``chain``."""
    found, done = ROOT, 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if done >= offset:
                    break
                body, stated = _split(line, f"{path} line {number}")
                found = link(found, body)
                if found != stated:
                    raise LogError(f"{path} line {number}: {_BROKEN}")
                done += len(line)
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror}") from None
    if (done, found) != (offset, chain):
        raise LogError(f"{path}: ends after {done} bytes, but its checkpoint was made after {offset}")


_BROKEN: Final = "altered, or a line before it is missing (chain is broken)"


def _split(line: bytes, where: str) -> tuple[str, str]:
    """Return a line without its chain member, and that chain."""
    try:
        body, separator, chain = line.decode().rpartition(',"chain":"')
    except UnicodeDecodeError:
        separator = ""
    if not separator or not chain.endswith('"}\n'):
        raise LogError(f"{where}: not a record of a log")
    return body + "}", chain[:-3]


def _parse(line: bytes, where: str) -> tuple[Record, str, str]:
    body, chain = _split(line, where)
    try:
        record = json.loads(body)
    except (ValueError, RecursionError):
        raise LogError(f"{where}: not a record of a log") from None
    if not isinstance(record, dict) or not isinstance(record.get("kind"), str):
        raise LogError(f"{where}: not a record of a log")
    return record, body, chain
