"""Reading raw files of JSON lines, with errors that name file, line and field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fedscale import limits
from fedscale.data.notes import Notes
from fedscale.data.rawfile import opened
from fedscale.errors import DataError


def read_lines(path: Path, notes: Notes) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file (which may be compressed) with their numbers, without their ends; empty ones not.

    Raises:
        DataError: the file is absent, damaged, or has a line longer than ``limits.RAW_LINE_BYTES``.
    """
    number = 0
    with opened(path, notes) as stream:
        try:
            while line := stream.readline(limits.RAW_LINE_BYTES + 1):
                number += 1
                if len(line) > limits.RAW_LINE_BYTES:
                    raise DataError(
                        f"{path} line {number}: longer than the {limits.RAW_LINE_BYTES} bytes that are read"
                    )
                if line := line.strip():
                    yield number, line
        except (OSError, EOFError) as error:
            raise DataError(f"{path}, after line {number}: cannot be read: {error}") from None


def read_objects(path: Path, notes: Notes) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a file of JSON lines with the numbers of their lines.

    Raises:
        DataError: the file is absent or damaged, or a line is no JSON object.
    """
    for number, line in read_lines(path, notes):
        yield number, parsed(path, number, line)


def parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    """Return the object that a line holds.

    Raises:
        DataError: it is no JSON, or something else than an object.
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} line {number}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise DataError(f"{path} line {number}: {str(value)[:40]!r} is not an object: a line should be {{...}}")
    return value


def text_of(value: dict[str, Any], key: str, path: Path, number: int) -> str | None:
    """Return the text under ``key``, ``None`` if there is none.

    Raises:
        DataError: it is something else than text.
    """
    found = value.get(key)
    if found is not None and not isinstance(found, str):
        raise DataError(f"{path} line {number}, field {key!r}: {str(found)[:40]!r} is not text")
    return found
