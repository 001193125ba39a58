"""Single updates of a round, for aggregation rules that need every one of them (medians, Krum, ...).

New states of clients are kept in the same way until their round is committed. They lie in one mapped file without a
name, a row per task, so that memory does not grow with the round: the system keeps of it what fits.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from fedscale import limits
from fedscale.errors import JobError
from fedscale.files import writing
from fedscale.units import human_bytes


class Updates(Sequence[Tensor]):
    """The admitted updates of a round, in task order; a row each, read from the file when asked for."""

    def __init__(self, rows: np.memmap[tuple[int, int], np.dtype[np.float32]], chosen: Sequence[int]) -> None:
        self._rows = rows
        self._chosen = np.array(chosen, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> Tensor:  # type: ignore[override]
        """Return one update, float32, of the model's length."""
        return torch.from_numpy(np.array(self._rows[self._chosen[index]]))

    def columns(self, width: int = 1 << 16) -> Iterator[Tensor]:
        """Yield all updates piece by piece, (updates, at most ``width``): for rules that look at coordinates."""
        for begin in range(0, self._rows.shape[1], width):
            yield torch.from_numpy(self._rows[self._chosen, begin : begin + width])


class Spool:
    """The file of the updates.

    Args:
        rows: updates that a round can have.
        length: of the model's vector.
        file: to look at one that another process made; by default a new one in the system's place for temporary files.
        reason: why there must be one, for the error.

    Raises:
        JobError: it would be larger than the limit.
        WriteError: there is no room for it.
    """

    def __init__(
        self,
        rows: int,
        length: int,
        file: IO[bytes] | None = None,
        reason: str = "the aggregator needs every update, and those",
    ) -> None:
        self._shape = (rows, length)
        self.file = file or _room(4 * rows * length, reason)
        self._rows = np.memmap(self.file, dtype=np.float32, mode="r+", shape=self._shape)

    def write(self, row: int, delta: Tensor) -> None:
        """Keep one update."""
        self._rows[row] = delta.cpu().numpy()

    def updates(self, chosen: Sequence[int]) -> Updates:
        """Return the updates in these rows."""
        return Updates(self._rows, chosen)

    def close(self) -> None:
        """Let go of the file; the system frees it when nobody looks at it any more."""
        self.file.close()


def _room(size: int, reason: str) -> IO[bytes]:
    if size > limits.SPOOL_BYTES:
        raise JobError(
            f"{reason} of one round take {human_bytes(size)}: at most "
            f"{human_bytes(limits.SPOOL_BYTES)} are kept; lower rounds.participants, or train a smaller model"
        )
    folder = Path(tempfile.gettempdir())
    with writing(folder):
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - its owner closes it
        try:
            os.posix_fallocate(file.fileno(), 0, size)  # a hole in a mapped file that cannot be filled ends the process
        except OSError:
            file.close()
            raise
    return file
