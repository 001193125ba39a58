"""What tests of text sets share: importing a folder of raw files, and reading a client's words back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedscale.data.catalogue import DATASETS
from fedscale.data.federated import FederatedDataset
from fedscale.data.identity import client_digest
from fedscale.data.notes import Notes
from fedscale.data.ragged import Ragged
from fedscale.data.store import open_store
from fedscale.errors import DataError

RAW = Path(__file__).parents[3] / "shared" / "data" / "raw"


def real(*parts: str) -> Path:
    """Return a folder of real samples; without it the test is skipped, aloud."""
    path = RAW.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path


def imported(tmp_path: Path, name: str, raw: Path, **options: Any) -> tuple[FederatedDataset, Notes]:
    notes = Notes()
    DATASETS.build(name, {"raw": raw, **options}).write(tmp_path / "store", notes)
    return open_store(tmp_path / "store"), notes


def place(names: list[str], name: str) -> int:
    """Return the number that one of the clients ``names`` has."""
    return sorted(names, key=client_digest).index(name)


def said(dataset: FederatedDataset, client: int, column: str = "tokens") -> list[str]:
    """Return a client's rows as words with spaces between them."""
    known = dataset.card.vocabulary
    assert known is not None
    rows = dataset.client(client).columns[column]
    lists = rows.rows() if isinstance(rows, Ragged) else list(rows[slice(None)])  # type: ignore[index]
    return [" ".join(known[token] for token in row.tolist() if token) for row in lists]


def nothing_of(path: Path, *private: str) -> None:
    """See that no file of a store has any of these texts in it."""
    for file in path.iterdir():
        content = file.read_bytes()
        for text in private:
            assert text.encode() not in content, f"{text!r} is in {file.name}"


def refused(tmp_path: Path, name: str, raw: Path, message: str) -> None:
    """See that an import says what is wrong, where, and leaves nothing."""
    folder = tmp_path / "made"
    with pytest.raises(DataError, match=message):
        DATASETS.build(name, {"raw": raw}).write(folder / "store", Notes())
    assert list(folder.iterdir()) == []
