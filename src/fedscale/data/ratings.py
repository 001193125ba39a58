"""Amazon's tables of ratings alone: CSV files of reviewer, product, stars and time.

Those of 2014 have no header and the reviewer first, those of 2018 the product first, and those of 2023 have a header.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from fedscale.data.importing import Scanned
from fedscale.data.notes import Notes
from fedscale.data.rawcsv import Dialect, first_values, read_csv
from fedscale.errors import DataError

STARS: Final = 5

PRODUCT: Final = 10
"""Characters of a product's number; a reviewer's has more."""

TYPES: Final = {"user_id": pa.large_string(), "rating": pa.float64()}


def read_ratings(path: Path, notes: Notes) -> Iterator[Scanned]:
    """Yield reviewers and stars less one.

    Raises:
        DataError: the file is damaged, or has none of these layouts.
    """
    for rows in read_csv(path, TYPES, notes, Dialect(header=_header(path, notes))):
        notes.read += len(rows.table)
        stars = rows.table["rating"].to_numpy()
        good = (stars >= 1) & (stars <= STARS) & (stars == np.floor(stars))
        if not good.all():
            notes.skip(f"not 1 to {STARS} stars", rows.where(int(np.argmin(good))), int((~good).sum()))
        kept = pa.array(np.flatnonzero(good))
        y = pa.array((stars[good] - 1).astype(np.uint8))
        yield Scanned(rows.table["user_id"].take(kept), pa.table({"y": y}))


def _header(path: Path, notes: Notes) -> list[str]:
    """Return the names of the columns of a file without a header; nothing if it has one."""
    values = first_values(path, notes)
    line = ",".join(values)
    if "rating" in values:
        return []
    if len(values) != 4:
        raise DataError(f"{path} row 1: {line[:60]!r}: four values are wanted: reviewer, product, stars, time")
    first, second = (len(value) == PRODUCT for value in values[:2])
    if first == second and not path.name.startswith("ratings_"):
        raise DataError(
            f"{path} row 1: {line[:60]!r}: which is the reviewer? A product's number has {PRODUCT} characters"
        )
    return (
        ["product", "user_id", "rating", "time"] if first and not second else ["user_id", "product", "rating", "time"]
    )
