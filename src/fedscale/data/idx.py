"""The IDX format of MNIST and QMNIST: a big-endian array behind a short header, plain or gzipped.

Header: two zero bytes, a type code, the number of dimensions, then each dimension as a 32-bit integer. (The format is
specified on the MNIST page, Y. LeCun, C. Cortes and C. Burges, "The MNIST database of handwritten digits".)
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import IO, Any, Final, cast

import numpy as np
import numpy.typing as npt

from fedscale import limits
from fedscale.errors import DataError

TYPES: Final = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""NumPy type of each type code."""


def find_idx(directory: Path, name: str) -> Path | None:
    """Return the file ``name`` or ``name.gz`` in ``directory``, or up to two folders further down, if there is one."""
    patterns = (above + name + end for above in ("", "*/", "*/*/") for end in ("", ".gz"))
    places = (path for pattern in patterns for path in sorted(directory.glob(pattern)))
    return next((path for path in places if path.is_file()), None)


def read_idx(path: Path, code: int, dimensions: int) -> npt.NDArray[Any]:
    """Read an array of the given type code and number of dimensions.

    Raises:
        DataError: another type, cut off, too long or too large; it names the file, the byte offset and the value.
    """
    try:
        with path.open("rb") as raw:
            file = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if path.suffix == ".gz" else raw
            return _read(file, path, code, dimensions)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def _read(file: IO[bytes], path: Path, code: int, dimensions: int) -> npt.NDArray[Any]:
    magic, expected = file.read(4), bytes((0, 0, code, dimensions))
    if magic != expected:
        raise DataError(f"{path} offset 0: magic number 0x{magic.hex()}, not 0x{expected.hex()}")
    header = file.read(4 * dimensions)
    if len(header) != 4 * dimensions:
        raise DataError(
            f"{path} offset 4: {len(header)} bytes of dimensions, not {4 * dimensions}: the file is cut off"
        )
    shape = tuple(int(size) for size in np.frombuffer(header, dtype=">u4"))
    dtype = np.dtype(TYPES[code])
    size, start = math.prod(shape) * dtype.itemsize, 4 + len(header)
    if size > limits.ARCHIVE_MEMBER_BYTES:
        raise DataError(f"{path} offset 4: shape {shape} is {size} bytes, more than {limits.ARCHIVE_MEMBER_BYTES}")
    content = file.read(size + 1)
    if len(content) < size:
        end = start + len(content)
        raise DataError(f"{path} offset {end}: the file ends, but shape {shape} needs {start + size} bytes")
    if len(content) > size:
        raise DataError(f"{path} offset {start + size}: bytes after the end of shape {shape}")
    return np.frombuffer(content, dtype=dtype).reshape(shape)
