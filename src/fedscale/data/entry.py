"""What the catalogue asks of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from fedscale.data.card import Card
from fedscale.data.notes import Notes


class Entry(Protocol):
    """A dataset of the catalogue: its card, and how to get it.

    An implementation is a frozen dataclass whose fields are the dataset's options; a field ``seed`` receives the
    job's seed, and ``raw: Path | None`` names a directory of files that the user fetched.
    """

    @property
    def card(self) -> Card:
        """Return the card; cheap, and without the data."""
        ...

    @property
    def directory(self) -> str:
        """Return the name of the store in the cache; it differs whenever the content does."""
        ...

    def write(self, path: Path, notes: Notes) -> None:
        """Get the data and write them as a store at ``path``; say to ``notes`` how it goes.

        Raises:
            DataError: raw files are absent or wrong.
            FetchError: the data cannot be fetched.
            MissingExtraError: a library is needed that is not installed.
        """
        ...
