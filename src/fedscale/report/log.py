"""The log: an append-only file of facts, one JSON object per line, each chained to the one before.

The format is documented in ``docs/log-format.md``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from fedscale import limits
from fedscale.errors import LogError

FORMAT: Final = 1
"""Version of the log's format."""

ROOT: Final = "0" * 16
"""The chain before the first line."""

Record = dict[str, Any]


def link(previous: str, body: str) -> str:
    """Return the chain of a line: 16 hex digits over the previous chain and the line without its chain member."""
    return hashlib.blake2b((previous + body).encode(), digest_size=8).hexdigest()


class LogWriter:
    """Appends records; ``offset`` and ``chain`` are what a checkpoint must know to go on from here."""

    def __init__(self, path: Path, offset: int = 0, chain: str = ROOT) -> None:
        """Open ``path`` for appending after its first ``offset`` bytes; whatever follows them is cut off.

        Raises:
            LogError: the file is shorter than ``offset``.
        """
        self._path = path
        self._file = path.open("r+b" if path.exists() else "w+b")
        size = self._file.seek(0, os.SEEK_END)
        if size < offset:
            self._file.close()
            raise LogError(f"{path}: {size} bytes, but a checkpoint says at least {offset} were written")
        self._file.truncate(offset)
        self._file.seek(offset)
        self.offset = offset
        self.chain = chain

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record."""
        body = json.dumps(record, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        self.chain = link(self.chain, body)
        line = f'{body[:-1]},"chain":"{self.chain}"}}\n'.encode()
        self._file.write(line)
        self.offset += len(line)

    def sync(self) -> None:
        """Make everything appended durable."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Sync and close."""
        self.sync()
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
                    raise LogError(f"{path} line {number}: altered, or a line before it is missing (chain is broken)")
            yield record


def _parse(line: bytes, where: str) -> tuple[Record, str, str]:
    try:
        text = line.decode().rstrip("\n")
        record = json.loads(text)
        chain = record.pop("chain")
        body, separator, _ = text.rpartition(',"chain":"')
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise LogError(f"{where}: not a record of a log") from None
    if not separator or not isinstance(record.get("kind"), str):
        raise LogError(f"{where}: not a record of a log")
    return record, body + "}", str(chain)
