"""LEAF's JSON (Caldas et al., arXiv:1812.01097): files with ``users``, ``num_samples`` and ``user_data``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pyarrow as pa

from fedscale.data.federated import FederatedDataset
from fedscale.data.importing import Scanned
from fedscale.data.leaf import leaf_files
from fedscale.data.notes import Notes
from fedscale.data.own.build import About, build
from fedscale.data.own.rows import Reader, together
from fedscale.data.rawwhole import read_members
from fedscale.errors import DataError


def from_leaf(
    raw: Path | str, path: Path | str, *, shape: tuple[int, ...] | None = None, **about: Unpack[About]
) -> FederatedDataset:
    """Write LEAF's JSON as a store at ``path`` and open it.

    A user's ``x`` are lists of numbers, with labels in ``y``; or texts, with the characters that follow them in ``y``
    (as in LEAF's Shakespeare), which become texts of tokens. A user in several files has the samples of all.

    Args:
        raw: a JSON file, or a folder with such files, or with folders ``train`` and ``test`` of them.
        path: of the store; must not exist.
        shape: of an input, if it is other than the flat list; (28, 28) for FEMNIST.
        about: what the card should say, and the default model; see `About`.

    Raises:
        DataError: naming the file, the user and the value that is missing or does not fit.
    """
    files = _files(Path(raw))
    texts = isinstance(_first(files), str)
    reader = Reader("client", text="text") if texts else Reader("client", "x", "y", shape=shape)
    return build(path, reader, _scan(files, reader, texts), about, "user")


def _files(source: Path) -> list[Path]:
    files = [source] if source.is_file() else leaf_files(source)
    if not files:
        raise DataError(f"{source}: no JSON files there, nor in its folders all_data, train and test")
    return files


def _first(files: Sequence[Path]) -> Any:
    for _, _, x, _ in _users(files):
        if x:
            return x[0]
    raise DataError(f"{files[0]}, user_data: no user has a sample")


def _users(files: Sequence[Path]) -> Iterator[tuple[str, str, list[Any], list[Any]]]:
    """Yield where a user's data stand, the user, x and y; one user is in memory at a time."""
    for path in files:
        for member in read_members(path, Notes()):
            if member.field != "user_data":
                continue
            if not isinstance(member.key, str):
                raise DataError(f"{path}, user_data: it must be an object, with what each user has")
            x, y = (member.get(key, list) for key in ("x", "y"))
            if len(x) != len(y):
                raise DataError(f"{member.where}: {len(x)} of x and {len(y)} of y: one each for a sample")
            yield member.where, member.key, x, y


def _scan(files: Sequence[Path], reader: Reader, texts: bool) -> Iterator[Scanned]:
    tables = ((_table(where, user, x, y, texts), where) for where, user, x, y in _users(files) if x)
    return together(reader, tables)


def _table(where: str, user: str, x: list[Any], y: list[Any], texts: bool) -> pa.Table:
    try:
        if texts:
            whole = [before + after for before, after in zip(x, y, strict=True)]
            return pa.table({"client": [user] * len(x), "text": pa.array(whole, pa.large_string())})
        flat = pa.array([np.asarray(row, dtype=np.float32).reshape(-1) for row in x], pa.list_(pa.float32()))
        return pa.table({"client": [user] * len(x), "x": flat, "y": pa.array(y)})
    except (TypeError, ValueError, pa.ArrowException) as error:
        kind = "texts" if texts else "lists of numbers with a label each"
        raise DataError(f"{where}: x and y are not {kind}: {error}") from None
