"""Reading LEAF's JSON files: ``{"users": [...], "num_samples": [...], "user_data": {user: {"x": [...], "y": [...]}}}``.

S. Caldas et al., "LEAF: A Benchmark for Federated Settings", 2018. A file holds some users; it is read whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from fedscale import limits
from fedscale.data.notes import Notes
from fedscale.data.rawfile import found, opened
from fedscale.errors import DataError

FOLDERS: Final = ("", "all_data/", "train/", "test/", "data/all_data/", "data/train/", "data/test/")

MARKS: Final = frozenset(("<PAD>", "<BOS>", "<EOS>", "<OOV>"))
"""What LEAF's preparation of Reddit puts between words."""


def leaf_files(raw: Path) -> list[Path]:
    """Return the JSON files where LEAF's scripts put them; those of all data if there are, else of its parts."""
    return found(raw, *(f"{folder}*.json" for folder in FOLDERS))


def leaf_users(path: Path, notes: Notes) -> Iterator[tuple[str, list[Any], str]]:
    """Yield the users of a file: name, samples (``x``), and the place for errors.

    Raises:
        DataError: it is absent, too large, or not in LEAF's layout.
    """
    with opened(path, notes) as stream:
        try:
            content = stream.read(limits.RAW_WHOLE_BYTES + 1)
        except (OSError, EOFError) as error:
            raise DataError(f"{path}: cannot be read: {error}") from None
    if len(content) > limits.RAW_WHOLE_BYTES:
        raise DataError(f"{path}: more than the {limits.RAW_WHOLE_BYTES} bytes that are read whole: divide it by users")
    users = _users(path, _object(path, content))
    for user, data in users.items():
        where = f"{path}, user_data[{user!r}]"
        samples = data.get("x") if isinstance(data, dict) else None
        if not isinstance(samples, list):
            raise DataError(f"{where}: {str(data)[:40]!r} has no list under 'x'")
        yield user, samples, where


def spoken(sample: Any, where: str) -> str:
    """Return a text sample: a string, or (lists of) lists of words, without LEAF's marks.

    Raises:
        DataError: it is something else.
    """
    if isinstance(sample, str):
        return "" if sample in MARKS else sample
    if isinstance(sample, list):
        return " ".join(filter(None, (spoken(part, where) for part in sample)))
    raise DataError(f"{where}: {str(sample)[:40]!r} is neither text nor a list of words")


def _object(path: Path, content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise DataError(f"{path}: {str(value)[:40]!r} is not an object with 'users' and 'user_data'")
    return value


def _users(path: Path, value: dict[str, Any]) -> dict[str, Any]:
    users = value.get("user_data")
    if not isinstance(users, dict):
        raise DataError(f"{path}, field 'user_data': {str(users)[:40]!r} is not an object of users")
    return users
