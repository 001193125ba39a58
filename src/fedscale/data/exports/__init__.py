"""Exports: a dataset in files that other programs read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from fedscale import files
from fedscale.data.federated import FederatedDataset
from fedscale.errors import DataError
from fedscale.tables import Table


class Export(Protocol):
    """Writes a dataset in some format; a class whose parameters are its options."""

    def write(self, dataset: FederatedDataset, folder: Path) -> None:
        """Write all of ``dataset`` into a folder that is there and empty, block by block."""
        ...


EXPORTS: Final[Table[Export]] = Table(
    "export format",
    {
        "parquet": "fedscale.data.exports.parquet:Parquet",
        "leaf": "fedscale.data.exports.leaf:Leaf",
    },
)


def export(dataset: FederatedDataset, folder: Path | str, format: str = "parquet") -> Path:  # noqa: A002
    """Write a dataset, a store or a view of one, into a new ``folder``; it appears whole or not at all.

    Args:
        dataset: what to write; memory is bounded by a block of it.
        folder: must not exist.
        format: a name of `EXPORTS`: ``parquet`` or ``leaf``.

    Raises:
        JobError: the format is unknown.
        DataError: the folder exists, or the format has no place for what the dataset holds.
        WriteError: the system refuses.
    """
    chosen, target = EXPORTS.build(format), Path(folder)
    if target.exists():
        raise DataError(f"{target}: exists already: remove it, or choose another place")
    with files.writing(target), _appearing(target) as temporary:
        chosen.write(dataset, temporary)
    return target


@contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    files.sweep(folder)
    temporary = files.temporary(folder, "export")
    temporary.mkdir()
    try:
        yield temporary
        for path in temporary.rglob("*"):
            files.sync_directory(path)
        temporary.rename(folder)
        files.sync_directory(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
