"""The HDF5 files in which TensorFlow Federated published its simulation datasets before 2021.

``examples/<client>/<feature>`` is an array with one element per sample (tensorflow_federated/python/simulation/
datasets/hdf5_client_data.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fedscale.data.notes import Notes
from fedscale.data.tffdatabase import Example
from fedscale.errors import DataError, MissingExtraError


def read_groups(path: Path, notes: Notes, features: Sequence[str]) -> Iterator[Example]:
    """Yield the samples of a file, client after client, with the wanted ``features``.

    Raises:
        DataError: the file is damaged, or a client has not these features, as many of one as of the other.
        MissingExtraError: h5py is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise MissingExtraError(f"reading {path.name}", "h5py", "hdf5") from None
    try:
        with h5py.File(path, "r") as file:
            clients = file.get("examples")
            if not isinstance(clients, h5py.Group):
                raise DataError(f"{path}: no group 'examples' of clients")
            for done, name in enumerate(clients):
                notes.progress(f"clients of {path.name}", done + 1, len(clients))
                yield from _client(f"{path}, examples/{name}", str(name), clients[name], features)
    except (OSError, RuntimeError, KeyError) as error:
        raise DataError(f"{path}: not HDF5, or damaged: {error}") from None


def _client(where: str, name: str, group: Any, features: Sequence[str]) -> Iterator[Example]:
    if lacking := [feature for feature in features if feature not in group]:
        raise DataError(f"{where}: no {', '.join(lacking)}")
    columns = [group[feature][()] for feature in features]
    sizes = {getattr(column, "shape", None) for column in columns}
    if len(sizes) != 1 or any(size is None or len(size) != 1 for size in sizes):
        raise DataError(f"{where}: its {', '.join(features)} are not lists of the same length")
    for row, values in enumerate(zip(*columns, strict=True)):
        yield Example(
            f"{where}, row {row}", "", name, {key: [value] for key, value in zip(features, values, strict=True)}
        )
