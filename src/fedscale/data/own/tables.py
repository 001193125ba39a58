"""Own data in memory or behind Arrow: data frames, Arrow tables, arrays, Hugging Face datasets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Unpack

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fedscale.data.arrow import plain_array
from fedscale.data.federated import FederatedDataset
from fedscale.data.importing import Scanned
from fedscale.data.own.build import About, build
from fedscale.data.own.rows import Reader
from fedscale.errors import DataError

ROWS: Final = 50_000
"""Rows of a table that are looked at together."""


def from_table(
    table: Any,
    path: Path | str,
    *,
    client: str,
    x: str | Sequence[str] | None = None,
    y: str | None = None,
    tokens: str | None = None,
    text: str | None = None,
    shape: tuple[int, ...] | None = None,
    **about: Unpack[About],
) -> FederatedDataset:
    """Write a table as a store at ``path`` and open it.

    Args:
        table: a pandas or Polars data frame, an Arrow table, or another with ``__arrow_c_stream__``.
        path: of the store; must not exist.
        client: the column that names each row's client, by text or whole number.
        x: the column of inputs (numbers, lists, encoded images), or several columns of numbers that make up one.
        y: the column of labels (texts or whole numbers) or of numbers to predict (floating point).
        tokens: the column of token numbers (0 is padding), instead of x and y.
        text: the column of texts, whose characters are to be predicted, instead of x and y.
        shape: of an input; needed for images, and found by itself for numbers.
        about: what the card should say, and the default model; see `About`.

    Raises:
        DataError: naming the row, the column and the value that is missing or does not fit.
    """
    whole, reader = _arrow(table), Reader(client, x, y, tokens, text, shape)
    pieces = (whole.slice(start, ROWS) for start in range(0, len(whole), ROWS))
    return build(path, reader, _scan(reader, pieces), about, client)


def from_arrays(
    path: Path | str,
    clients: npt.ArrayLike,
    x: npt.NDArray[Any],
    y: npt.ArrayLike,
    **about: Unpack[About],
) -> FederatedDataset:
    """Write arrays as a store at ``path`` and open it: sample i is ``x[i]`` with ``y[i]``, and of ``clients[i]``.

    Raises:
        DataError: naming the row and the value that does not fit.
    """
    x = np.asarray(x)
    owners, targets = np.asarray(clients), np.asarray(y)
    if not len(owners) == len(x) == len(targets):
        raise DataError(f"{len(owners)} clients, {len(x)} inputs and {len(targets)} labels: one of each for a sample")
    table = pa.table({"client": pa.array(owners), "x": plain_array(x), "y": pa.array(targets)})
    return from_table(table, path, client="client", x="x", y="y", **about)


def from_huggingface(
    dataset: Any,
    path: Path | str,
    *,
    client: str,
    x: str | Sequence[str] | None = None,
    y: str | None = None,
    tokens: str | None = None,
    text: str | None = None,
    shape: tuple[int, ...] | None = None,
    **about: Unpack[About],
) -> FederatedDataset:
    """Write a Hugging Face dataset, in memory or streamed, as a store at ``path`` and open it.

    Args:
        dataset: a ``datasets.Dataset`` or ``IterableDataset``; one split, not a ``DatasetDict``.
        path: of the store; must not exist.
        client: the column that names each row's client.
        x: as of `from_table`; a column of ``datasets.Image`` stays encoded.
        y: as of `from_table`; the names of a ``datasets.ClassLabel`` are kept.
        tokens: as of `from_table`.
        text: as of `from_table`.
        shape: as of `from_table`.
        about: as of `from_table`.

    Raises:
        DataError: naming the row, the column and the value that is missing or does not fit.
    """
    if isinstance(dataset, dict):
        raise DataError(f"a set of splits: give one of them, dataset[{' or '.join(map(repr, dataset))}]")
    names = getattr((dataset.features or {}).get(y), "names", None)
    if names and "label_names" not in about:
        about["label_names"] = tuple(names)
    reader = Reader(client, x, y, tokens, text, shape)
    batches = dataset.with_format("arrow").iter(batch_size=1000)
    return build(path, reader, _scan(reader, batches), about, client)


def _scan(reader: Reader, pieces: Iterable[pa.Table]) -> Iterator[Scanned]:
    first = 0
    for piece in pieces:
        yield reader.read(piece, lambda row, first=first: f"row {first + row}")  # type: ignore[misc]
        first += len(piece)


def _arrow(table: Any) -> pa.Table:
    try:
        whole = pa.table(table)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(f"a {type(table).__name__} cannot be read as an Arrow table: {error}") from None
    return whole
