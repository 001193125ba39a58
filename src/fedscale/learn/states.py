"""What clients keep on their devices between tasks: control variates, personal layers, the error of a compression.

The states lie in an append-only file of rows, one row for each state that was ever kept: float32 numbers, then a CRC-32
over them and their client. Memory holds an index of the clients that have one, so nothing grows with the population. A
checkpoint keeps the index and the number of rows; whatever follows them is cut off when a run is resumed. A file that
consists for the most part of states out of date is copied without them, under the name of the next generation.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedscale import limits
from fedscale.errors import CheckpointError, DataError
from fedscale.files import replacing, sync_directory, writing

FloatArray = npt.NDArray[np.float32]

_NAME: Final = re.compile(r"states-(\d{8})\.bin")
_CHUNK: Final = 16 << 20
_NOBODY: Final[npt.NDArray[np.int64]] = np.empty(0, dtype=np.int64)


class Readable(Protocol):
    """What the states of some clients are read from."""

    def read(self, client: int) -> Tensor | None:
        """Return a client's state, a copy in float32, or ``None`` if it has none."""
        ...


@dataclass(frozen=True)
class Places:
    """Where the states of some clients are; it travels to whoever reads them, if these have the same disk.

    Attributes:
        file: of rows.
        length: numbers of a state.
        rows: by client; who has no state is not in it.
    """

    file: str
    length: int
    rows: Mapping[int, int]

    def read(self, client: int) -> Tensor | None:
        """Return a client's state, a copy in float32, or ``None`` if it has none.

        Raises:
            DataError: the file cannot be read, or was altered.
        """
        row, width = self.rows.get(client), _width(self.length)
        if row is None:
            return None
        try:
            with Path(self.file).open("rb", buffering=0) as file:
                content = os.pread(file.fileno(), width, row * width)
        except OSError as error:
            raise DataError(f"{self.file}: cannot be read: {error.strerror or error}") from None
        values = content[:-4]
        if len(content) != width or content[-4:] != _check(client, values):
            raise DataError(f"{self.file} row {row}: the state of client {client} is damaged; begin the run again")
        return torch.frombuffer(bytearray(values), dtype=torch.float32)

    def fetch(self) -> Fetched:
        """Return the states themselves, for those who have another disk; it takes memory for all of them.

        Raises:
            DataError: see `read`.
        """
        values = np.empty((len(self.rows), self.length), dtype=np.float32)
        for place, client in zip(values, self.rows, strict=True):
            place[:] = self.read(client)
        return Fetched(list(self.rows), values)

    def message(self) -> dict[str, Any]:
        """Return plain values for a message."""
        return {"file": self.file, "length": self.length, "rows": list(self.rows.items())}

    @staticmethod
    def from_message(values: Mapping[str, Any]) -> Places:
        """Rebuild what `message` returned."""
        return Places(values["file"], values["length"], dict(values["rows"]))


@dataclass(frozen=True)
class Fetched:
    """The states of some clients.

    Attributes:
        clients: that have one.
        values: float32 (clients, length), a row each; they are not written to.
    """

    clients: Sequence[int]
    values: FloatArray

    def read(self, client: int) -> Tensor | None:
        """Return a client's state, a copy in float32, or ``None`` if it has none."""
        return torch.from_numpy(self.values[self.clients.index(client)].copy()) if client in self.clients else None


class States:
    """The states of a run's clients.

    Args:
        directory: for the files; others take no part in it.
        length: numbers of a state, more than 0.
        saved: what `saved` returned for the checkpoint to go on from; ``None`` to begin without any state.

    Raises:
        CheckpointError: the file does not have what the checkpoint says, or its states have another length.
        WriteError: the system refuses to write.
    """

    def __init__(self, directory: Path, length: int, saved: Mapping[str, Any] | None = None) -> None:
        self._directory = directory
        self._width = _width(length)
        self.length = length
        self._clients, self._rows = _NOBODY, _NOBODY
        self._count = self._generation = 0
        self._referred: deque[int] = deque(maxlen=limits.CHECKPOINTS_KEPT)
        if saved is not None:
            self._take_up(saved)
        with writing(directory):
            directory.mkdir(parents=True, exist_ok=True)
            for generation, path in self._files():
                if saved is None or generation > self._generation:
                    path.unlink()
        self._open()

    def __len__(self) -> int:
        """Return how many clients have a state."""
        return len(self._clients)

    def places(self, clients: Iterable[int]) -> Places:
        """Return where the states of these clients are as long as no other is put."""
        wanted = np.fromiter(clients, dtype=np.int64)
        at, known = self._find(wanted)
        rows = dict(zip(wanted[known].tolist(), self._rows[at[known]].tolist(), strict=True))
        return Places(str(self._path.absolute()), self.length, rows)

    def put(self, clients: Sequence[int], states: Iterable[Tensor]) -> None:
        """Keep a new state for each of these clients, all different, in place of the one that it has.

        Raises:
            WriteError: the system refuses to write.
        """
        for number, (client, state) in enumerate(zip(clients, states, strict=True)):
            values = state.numpy().tobytes()
            self._write(self._count + number, values + _check(client, values))
        self._enter(np.array(clients, dtype=np.int64), self._count + np.arange(len(clients)))
        self._count += len(clients)
        spare = self._count - len(self)
        if spare > len(self) and spare * self._width > limits.STATES_SPARE_BYTES:
            self._compact()

    def saved(self) -> dict[str, Any]:
        """Make all states durable and return what a checkpoint keeps."""
        with writing(self._path):
            os.fsync(self._file.fileno())
        return {
            "generation": self._generation,
            "length": self.length,
            "count": self._count,
            "clients": torch.from_numpy(self._clients),
            "rows": torch.from_numpy(self._rows),
        }

    def forget(self) -> None:
        """Learn that a checkpoint was written; remove the files that no kept checkpoint refers to."""
        self._referred.append(self._generation)
        if len(self._referred) == self._referred.maxlen:
            with writing(self._directory):
                for generation, path in self._files():
                    if generation < min(self._referred):
                        path.unlink()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def _path(self) -> Path:
        return self._directory / f"states-{self._generation:08d}.bin"

    def _files(self) -> list[tuple[int, Path]]:
        found = [(_NAME.fullmatch(path.name), path) for path in self._directory.iterdir()]
        return [(int(name[1]), path) for name, path in found if name]

    def _take_up(self, saved: Mapping[str, Any]) -> None:
        if saved["length"] != self.length:
            raise _another_length(self._directory, saved["length"], self.length)
        self._generation, self._count = saved["generation"], saved["count"]
        self._clients, self._rows = saved["clients"].numpy(), saved["rows"].numpy()
        self._referred.append(self._generation)
        size = self._path.stat().st_size if self._path.exists() else 0
        if size < self._count * self._width:
            raise CheckpointError(
                f"{self._path}: has {size} bytes, but its checkpoint was made after {self._count * self._width}"
            )

    def _open(self) -> None:
        with writing(self._path):
            self._file = self._path.open("r+b" if self._path.exists() else "w+b", buffering=0)
            self._file.truncate(self._count * self._width)
            sync_directory(self._directory)

    def _write(self, row: int, content: bytes) -> None:
        view, offset = memoryview(content), row * self._width
        with writing(self._path):
            while view:
                done = os.pwrite(self._file.fileno(), view, offset)
                view, offset = view[done:], offset + done

    def _find(self, clients: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Return where in the index clients are, or would be, and whether they are."""
        at = np.searchsorted(self._clients, clients)
        known = at < len(self._clients)
        known[known] = self._clients[at[known]] == clients[known]
        return at, known

    def _enter(self, clients: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> None:
        order = np.argsort(clients)
        clients, rows = clients[order], rows[order]
        at, known = self._find(clients)
        self._rows = self._rows.copy()  # a checkpoint may hold the array as it was
        self._rows[at[known]] = rows[known]
        self._clients = np.insert(self._clients, at[~known], clients[~known])
        self._rows = np.insert(self._rows, at[~known], rows[~known])

    def _compact(self) -> None:
        """Copy the states that count, in the order of the index, into the file of the next generation."""
        old = np.memmap(self._file, dtype=np.uint8, mode="r", shape=(self._count, self._width))
        self._generation += 1
        some = max(1, _CHUNK // self._width)
        with writing(self._path), replacing(self._path) as file:
            for begin in range(0, len(self), some):
                file.write(old[self._rows[begin : begin + some]].data)
        self._file.close()
        self._count = len(self)
        self._rows = np.arange(self._count)
        self._open()


def open_states(directory: Path, length: int, checkpoint: Mapping[str, Any] | None) -> States | None:
    """Open the states of a run that begins, or goes on from a checkpoint; ``None`` if clients keep nothing.

    Raises:
        CheckpointError: see `States`; or clients kept nothing when the run began, or do so no more.
        WriteError: the system refuses to write.
    """
    saved = None if checkpoint is None else checkpoint.get("states")
    if checkpoint is not None and (saved is None) != (length == 0):
        kept = 0 if saved is None else saved["length"]
        raise _another_length(directory, kept, length)
    return States(directory, length, saved) if length else None


def _another_length(directory: Path, kept: int, length: int) -> CheckpointError:
    return CheckpointError(
        f"{directory}: each client kept {kept} numbers when the run began, and now state_length says {length}: "
        "give the same class as at the start"
    )


def _width(length: int) -> int:
    return 4 * length + 4


def _check(client: int, values: bytes) -> bytes:
    return struct.pack("<I", zlib.crc32(values, zlib.crc32(struct.pack("<q", client))))
