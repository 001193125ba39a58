"""What is noted while raw files are imported: how far it has come, what was left out and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fedscale.errors import DataError

Progress = Callable[[str, int, int | None], None]
"""Told of a stage, how much of it is done, and of how much (``None``: nobody knows)."""


class Notes:
    """Counts rows that were read and left out, and keeps what users should be told.

    Attributes:
        read: rows of the raw files that were looked at.
        skipped: how many of them were left out, by reason.
        first: where each reason was first met.
        told: sentences for the user, e.g. that there were no images.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self._progress = progress
        self._names: dict[str, str] = {}
        self.read = 0
        self.skipped: dict[str, int] = {}
        self.first: dict[str, str] = {}
        self.told: list[str] = []

    def skip(self, reason: str, where: str, rows: int = 1) -> None:
        """Note that ``rows`` were left out, the first of them at ``where`` (file and row)."""
        if rows:
            self.skipped[reason] = self.skipped.get(reason, 0) + rows
            self.first.setdefault(reason, self._named(where))

    def nothing_left(self, of: object) -> DataError:
        """Return the error for raw files ``of`` which no row can be used, with the reasons."""
        reasons = "; ".join(f"{rows} {reason}" for reason, rows in sorted(self.skipped.items()))
        return DataError(f"{of}: no sample is left of {self.read} rows{reasons and ': '}{reasons}")

    def tell(self, sentence: str) -> None:
        """Note something that the user should know."""
        sentence = self._named(sentence)
        if sentence not in self.told:
            self.told.append(sentence)

    def say_of(self, archive: Path, folder: Path) -> None:
        """Say of an archive what is said of the folder that it is unpacked into, from now on."""
        self._names[str(folder)] = str(archive)

    def _named(self, text: str) -> str:
        for folder, archive in self._names.items():
            text = text.replace(folder, archive)
        return text

    def progress(self, stage: str, done: int, total: int | None = None) -> None:
        """Say how far a stage has come."""
        if self._progress is not None:
            self._progress(stage, done, total)

    def record(self) -> dict[str, Any]:
        """Return what the store keeps of it; the same for the same files."""
        return {"read": self.read, "skipped": dict(sorted(self.skipped.items())), "told": self.told}
