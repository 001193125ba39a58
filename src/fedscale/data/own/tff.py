"""HDF5 files as TensorFlow Federated has them: ``examples/<client>/<column>``, a row per sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pyarrow as pa

from fedscale.data.arrow import plain_array
from fedscale.data.federated import FederatedDataset
from fedscale.data.own.build import About, build
from fedscale.data.own.rows import Reader, together
from fedscale.errors import DataError, MissingExtraError, nearest

ROOT = "examples"
"""The group that has a group for each client."""


def from_tff(
    raw: Path | str,
    path: Path | str,
    *,
    x: str | None = None,
    y: str | None = None,
    text: str | None = None,
    shape: tuple[int, ...] | None = None,
    **about: Unpack[About],
) -> FederatedDataset:
    """Write an HDF5 file of TensorFlow Federated as a store at ``path`` and open it.

    Needs h5py: ``pip install 'fedscale[hdf5]'``.

    Args:
        raw: the file.
        path: of the store; must not exist.
        x: the column of inputs, such as ``pixels``.
        y: the column of labels, such as ``label``.
        text: the column of texts (``snippets`` of Shakespeare), instead of x and y.
        shape: of an input, if it is other than in the file.
        about: what the card should say, and the default model; see `About`.

    Raises:
        DataError: naming the file, the client and the column that is missing or does not fit.
        MissingExtraError: h5py is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise MissingExtraError("reading HDF5", "h5py", "hdf5") from None
    reader = Reader("client", x, y, text=text, shape=shape)
    names = [name for name in (x, y, text) if name is not None]
    try:
        file = h5py.File(raw, "r")
    except OSError as error:
        raise DataError(f"{raw}: cannot be read as HDF5: {error}") from None
    with file:
        if ROOT not in file or not isinstance(file[ROOT], h5py.Group):
            raise DataError(f"{raw}: no group {ROOT!r} of clients; it has {', '.join(file)[:200] or 'nothing'}")
        return build(path, reader, together(reader, _tables(Path(raw), file[ROOT], names)), about, f"group of {ROOT}")


def _tables(source: Path, clients: Any, names: Sequence[str]) -> Iterator[tuple[pa.Table, str]]:
    for name in clients:
        where = f"{source}, client {name!r}"
        columns = {column: _array(clients[name], column, where) for column in names}
        lengths = {column: len(values) for column, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(f"{where}: its columns have different numbers of rows: {lengths}")
        rows = next(iter(lengths.values()))
        table = pa.table({"client": [name] * rows, **columns})
        if rows:
            yield table, where


def _array(group: Any, column: str, where: str) -> pa.Array:
    import h5py

    if not isinstance(group, h5py.Group) or column not in group:
        raise DataError(f"{where}: no column {column!r}: {nearest(column, group if hasattr(group, 'keys') else ())}")
    try:
        values = group[column][()]
    except (OSError, TypeError) as error:
        raise DataError(f"{where}, column {column!r}: damaged: {error}") from None
    if not isinstance(values, np.ndarray) or values.ndim == 0:
        raise DataError(f"{where}, column {column!r}: one value, not a row for each sample")
    if values.dtype.kind == "O":
        return _decoded(values, f"{where}, column {column!r}")
    return plain_array(values)


def _decoded(values: Any, where: str) -> pa.Array:
    try:
        return pa.array([value.decode() if isinstance(value, bytes) else value for value in values], pa.large_string())
    except (UnicodeDecodeError, pa.ArrowException) as error:
        raise DataError(f"{where}: not text in UTF-8: {error}") from None
