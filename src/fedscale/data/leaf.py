"""Reading LEAF's JSON files: ``{"users": [...], "num_samples": [...], "user_data": {user: {"x": [...], "y": [...]}}}``.

S. Caldas et al., "LEAF: A Benchmark for Federated Settings", 2018.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from fedscale.data.notes import Notes
from fedscale.data.rawfile import found
from fedscale.data.rawwhole import Member, read_members
from fedscale.errors import DataError

FOLDERS: Final = ("", "all_data/", "train/", "test/", "data/all_data/", "data/train/", "data/test/")

MARKS: Final = frozenset(("<PAD>", "<BOS>", "<EOS>", "<OOV>"))
"""What LEAF's preparation of Reddit puts between words."""


def leaf_files(raw: Path) -> list[Path]:
    """Return the JSON files where LEAF's scripts put them."""
    return found(raw, *(f"{folder}*.json" for folder in FOLDERS))


def leaf_texts(path: Path, notes: Notes) -> Iterator[tuple[str, str, str]]:
    """Yield the samples of a file: user, text, and the place for errors.

    Raises:
        DataError: it is absent, damaged, or not in LEAF's layout.
    """
    users = 0
    for member in read_members(path, notes):
        if member.field == "user_data":
            if not isinstance(member.key, str):
                raise DataError(f"{path}, field 'user_data': it is no object of users")
            users += 1
            yield from _samples(member, member.key)
    if users == 0:
        raise DataError(f"{path}, field 'user_data': no user is in it")


def _samples(member: Member, user: str) -> Iterator[tuple[str, str, str]]:
    for row, sample in enumerate(member.get("x", list)):
        where = f"{member.where}, x[{row}]"
        yield user, spoken(sample, where), where


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
