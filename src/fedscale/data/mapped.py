"""Files mapped into memory, parts of which can be asked for before they are used."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt
import pyarrow as pa

_PAGE: Final = mmap.PAGESIZE


class Mapped:
    """A file mapped into memory; ``buffer`` is its content, none of which is read before it is used or asked for.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is empty.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.buffer: pa.Buffer = pa.py_buffer(self._memory)

    @property
    def is_large(self) -> bool:
        """Whether it takes more than half of the machine's memory, so that what was read once may be gone again."""
        return len(self._memory) > _PAGE * os.sysconf("SC_PHYS_PAGES") // 2

    def will_need(self, part: npt.NDArray[Any]) -> None:
        """Have the system read a part of ``buffer`` from disk, and do not wait for it."""
        address: int = part.__array_interface__["data"][0]
        begin = address - self.buffer.address
        aligned = begin - begin % _PAGE
        if part.nbytes:
            self._memory.madvise(mmap.MADV_WILLNEED, aligned, begin - aligned + part.nbytes)
