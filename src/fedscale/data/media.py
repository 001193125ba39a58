"""Recordings and videos in files of their own: finding them, reading those of some rows, doing without.

Rows of an importer name their file in a column ``path`` (`path_column`), null where there is none.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fedscale import limits
from fedscale.data.gather import Gather
from fedscale.data.ragged import Ragged

BATCH: Final = 10_000
"""Rows that a scan of a directory yields together."""

TOGETHER: Final = 256
"""Rows whose files are read together (`fedscale.data.importing.Importer.together`)."""


@dataclass(frozen=True)
class Media:
    """What a store keeps of some files.

    Attributes:
        rows: the bytes of those that can be used.
        kept: which those are.
        skipped: how many others there are of each reason.
    """

    rows: Ragged
    kept: npt.NDArray[np.bool_]
    skipped: Mapping[str, int]


def path_column(paths: Sequence[Path | None]) -> pa.Array:
    """Return paths as a column; names of files are bytes, not always text."""
    return pa.array([None if path is None else os.fsencode(path) for path in paths], pa.large_binary())


def any_media(gather: Gather, clients: int | None) -> bool:
    """Say whether any row of the first ``clients`` names a file."""
    return any(group.rows["path"].null_count < len(group.rows) for group in gather.groups(clients))


def read_media(paths: pa.ChunkedArray, kind: str, keep: Callable[[Path], bytes]) -> Media:
    """Read the files that a column names.

    Args:
        paths: as made by `path_column`.
        kind: what they are, for reasons why they are left out.
        keep: returns what a store keeps of a file; it raises a ``ValueError`` if that is nothing.
    """
    contents: list[npt.NDArray[np.uint8]] = []
    kept = np.zeros(len(paths), bool)
    skipped: Counter[str] = Counter()
    for place, name in enumerate(paths.to_pylist()):
        if name is None:
            skipped[f"the {kind} is not there"] += 1
            continue
        try:
            contents.append(np.frombuffer(keep(Path(os.fsdecode(name))), np.uint8))
            kept[place] = True
        except ValueError as error:
            skipped[f"{kind}: {error}"] += 1
        except OSError as error:
            skipped[f"{kind}: cannot be opened: {error.strerror or error}"] += 1
    return Media(Ragged.of(contents, np.uint8), kept, skipped)


def content_of(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        ValueError: it is larger than ``limits.MEDIA_FILE_BYTES``.
        OSError: it cannot be read.
    """
    if path.stat().st_size > limits.MEDIA_FILE_BYTES:
        raise ValueError(f"a file of more than {limits.MEDIA_FILE_BYTES} bytes")
    return path.read_bytes()


def walked(raw: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield the folders under ``raw`` and the names of the files in each, both in order; hidden ones not."""
    for folder, folders, names in os.walk(raw):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(folder), sorted(name for name in names if not name.startswith("."))
