"""Reading raw files that are one JSON object, member by member: memory is bounded by the largest member.

COCO's annotations are ``{"images": [{...}, ...], "annotations": [...]}``, LEAF's sets
``{"users": [...], "num_samples": [...], "user_data": {"name": {"x": [...], "y": [...]}}}``: what is large is one level
below the top.
"""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fedscale import limits
from fedscale.data.notes import Notes
from fedscale.data.rawfile import opened
from fedscale.errors import DataError

CHUNK: Final = 1 << 20
"""Bytes that are read at a time."""

SPACE: Final = " \t\r\n"

AFTER: Final = frozenset(",:]}" + SPACE)
"""Characters that may follow a value."""


@dataclass(frozen=True)
class Member:
    """One value of a whole-file JSON: the element number ``key``, or the member named ``key``, of ``field``.

    Values of fields that are neither lists nor objects have the ``key`` ``None``.
    """

    path: Path
    field: str
    key: int | str | None
    value: Any

    @property
    def where(self) -> str:
        """Name the place."""
        return f"{self.path}, {self.field}" + ("" if self.key is None else f"[{self.key!r}]")

    def get(self, name: str, kind: type | tuple[type, ...]) -> Any:
        """Return what the value, an object, has under ``name``.

        Raises:
            DataError: it is no object, or has nothing of this kind there.
        """
        if not isinstance(self.value, dict):
            raise DataError(f"{self.where}: {_shown(self.value)} is not an object")
        found = self.value.get(name)
        if not isinstance(found, kind) or isinstance(found, bool):
            raise DataError(f"{self.where}, field {name!r}: {_shown(found)} is not {_KINDS[kind]}")
        return found


_KINDS: Final[dict[Any, str]] = {str: "text", int: "a whole number", list: "a list", (int, str): "text or a number"}


def read_members(path: Path, notes: Notes) -> Iterator[Member]:
    """Yield the elements and members of all fields of the object in a file (which may be compressed), in their order.

    Raises:
        DataError: the file is absent or damaged, holds no JSON object, or a member larger than
            ``limits.RAW_LINE_BYTES``.
    """
    with opened(path, notes) as stream:
        source = _Source(path, stream)
        for field in _object(source, str(path)):
            match source.peek():
                case "[":
                    for number in _list(source, f"{path}, {field}"):
                        yield Member(path, field, number, source.value(f"{path}, {field}[{number}]"))
                case "{":
                    for name in _object(source, f"{path}, {field}"):
                        yield Member(path, field, name, source.value(f"{path}, {field}[{name!r}]"))
                case _:
                    yield Member(path, field, None, source.value(f"{path}, {field}"))
        if rest := source.peek():
            raise DataError(f"{path}: {rest!r} after the end of its object: not one JSON object")


class _Source:
    """The text of a file, of which only as much is kept as the next value needs."""

    def __init__(self, path: Path, stream: io.BufferedReader) -> None:
        self._path = path
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._json = json.JSONDecoder()
        self._text = ""
        self._place = 0
        self._ended = False

    def peek(self) -> str:
        """Skip white space and return the next character; nothing at the end."""
        while True:
            while self._place < len(self._text) and self._text[self._place] in SPACE:
                self._place += 1
            if self._place < len(self._text) or self._ended:
                return self._text[self._place : self._place + 1]
            self._more(CHUNK)

    def take(self, wanted: str, where: str) -> str:
        """Return the next character, which is one of ``wanted``."""
        found = self.peek()
        if not found or found not in wanted:
            met = f"{found!r} stands" if found else "the file ends"
            raise DataError(f"{where}: {met} where {' or '.join(wanted)} should: not JSON, or cut off")
        self._place += 1
        return found

    def value(self, where: str) -> Any:
        """Return the next value."""
        self.peek()
        size = CHUNK
        while True:
            last = self._ended or len(self._text) - self._place > limits.RAW_LINE_BYTES
            try:
                value, end = self._json.raw_decode(self._text, self._place)
            except (ValueError, RecursionError) as error:
                if last:
                    raise DataError(f"{where}: not JSON, or cut off: {error}") from None
            else:
                if last or self._text[end : end + 1] in AFTER:  # else a number may go on
                    self._place = end
                    return value
            self._more(size)
            size *= 2

    def _more(self, size: int) -> None:
        try:
            content = self._stream.read(size)
            text = self._decoder.decode(content, final=not content)
        except (OSError, EOFError) as error:
            raise DataError(f"{self._path}: cannot be read: {error}") from None
        except UnicodeDecodeError as error:
            raise DataError(f"{self._path}: not UTF-8: {error.reason}") from None
        self._ended = not content
        self._text, self._place = self._text[self._place :] + text, 0


def _object(source: _Source, where: str) -> Iterator[str]:
    """Yield the names of an object's members; whoever iterates takes each one's value."""
    source.take("{", where)
    if source.peek() == "}":
        source.take("}", where)
        return
    while True:
        name = source.value(where) if source.peek() == '"' else source.take('"', where)
        source.take(":", f"{where}, {name!r}")
        yield name
        if source.take(",}", where) == "}":
            return


def _list(source: _Source, where: str) -> Iterator[int]:
    """Yield the numbers of a list's elements; whoever iterates takes each one."""
    source.take("[", where)
    if source.peek() == "]":
        source.take("]", where)
        return
    number = 0
    while True:
        yield number
        number += 1
        if source.take(",]", where) == "]":
            return


def _shown(value: Any) -> str:
    return repr(value)[:60]
