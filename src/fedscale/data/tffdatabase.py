"""The SQLite databases in which TensorFlow Federated publishes its simulation datasets.

Table ``examples`` has a row per sample: ``split_name``, ``client_id`` and ``serialized_example_proto``, a
``tf.train.Example`` (tensorflow_federated/python/simulation/datasets/sql_client_data.py). They are published compressed
(``.sqlite.lzma``); SQLite needs the file itself, so such a one is unpacked into a temporary file first.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from fedscale.data.notes import Notes
from fedscale.data.rawfile import COMPRESSED, opened
from fedscale.data.tfexample import Feature, read_example
from fedscale.errors import DataError

COLUMNS: Final = ("split_name", "client_id", "serialized_example_proto")


@dataclass(frozen=True)
class Example:
    """One sample, and the place it comes from."""

    where: str
    split: str
    client: str
    features: dict[str, Feature]


def read_examples(
    path: Path, notes: Notes, choose: Callable[[Sequence[str]], Sequence[str]] = lambda splits: splits
) -> Iterator[Example]:
    """Yield the samples of a database in the order of its rows.

    Args:
        path: of the database, which may be compressed.
        notes: told how far it has come.
        choose: says of the names of all splits which are wanted.

    Raises:
        DataError: it is no such database, or damaged, or a row has not the values it should.
    """
    with _database(path, notes) as connection:
        names = connection.execute("SELECT DISTINCT split_name FROM examples ORDER BY 1")
        splits = choose([str(name) for (name,) in names])
        query = f"SELECT rowid, {', '.join(COLUMNS)} FROM examples WHERE split_name IN ({', '.join('?' * len(splits))})"
        for number, values in enumerate(connection.execute(query, tuple(splits))):
            notes.progress(f"rows of {path.name}", number + 1)
            yield _example(f"{path}, table examples row {values[0]}", *values[1:])


def _example(where: str, split: Any, client: Any, content: Any) -> Example:
    if not isinstance(content, bytes) or client is None:
        raise DataError(f"{where}: client_id is missing, or serialized_example_proto is no bytes")
    try:
        return Example(where, str(split), str(client), read_example(content))
    except ValueError as error:
        raise DataError(f"{where}, column serialized_example_proto: no tf.train.Example: {error}") from None


@contextmanager
def _database(path: Path, notes: Notes) -> Iterator[sqlite3.Connection]:
    with _unpacked(path, notes) as file:
        try:
            with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro&immutable=1", uri=True)) as connection:
                there = {row[1] for row in connection.execute("PRAGMA table_info(examples)")}
                if lacking := [column for column in COLUMNS if column not in there]:
                    raise DataError(f"{path}: its table examples has no column {', '.join(lacking)}")
                yield connection
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise DataError(f"{path}: not an SQLite database, or damaged: {error}") from None


@contextmanager
def _unpacked(path: Path, notes: Notes) -> Iterator[Path]:
    if path.suffix not in COMPRESSED:
        if not path.is_file():
            raise DataError(f"{path}: no such file")
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="fedscale-") as folder:
        file = Path(folder) / path.stem
        with opened(path, notes) as stream, file.open("wb") as target:
            try:
                shutil.copyfileobj(stream, target, 1 << 20)
            except (OSError, EOFError) as error:
                raise DataError(f"{path}: cannot be unpacked into {folder}: {error}") from None
        yield file
