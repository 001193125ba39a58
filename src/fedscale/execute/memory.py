"""Vectors shared between the server's process and its workers, as mapped files that vanish with the pool."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def shared_directory() -> Path:
    """Make a directory for shared files, in memory where the system has such a place (/dev/shm on Linux)."""
    memory = Path("/dev/shm")  # a mapped file on a disk works too; this one is never written back
    return Path(tempfile.mkdtemp(prefix="fedscale-", dir=memory if memory.is_dir() else None))


def remove_directory(directory: Path) -> None:
    """Remove a shared directory; processes that still map its files keep them until they end."""
    shutil.rmtree(directory, ignore_errors=True)


def create_vector(path: Path, length: int) -> Tensor:
    """Create a shared float32 vector of zeros."""
    return torch.from_numpy(np.memmap(path, dtype=np.float32, mode="w+", shape=(length,)))


def open_vector(path: Path) -> Tensor:
    """Map a shared float32 vector that exists."""
    return torch.from_numpy(np.memmap(path, dtype=np.float32, mode="r+"))


def create_counter(path: Path) -> npt.NDArray[np.int64]:
    """Create a shared integer; it holds -1 until its worker is at work on something."""
    counter = np.memmap(path, dtype=np.int64, mode="w+", shape=(1,))
    counter[0] = -1
    return counter


def open_counter(path: Path) -> npt.NDArray[np.int64]:
    """Map a shared integer that exists."""
    return np.memmap(path, dtype=np.int64, mode="r+")
