"""Reading raw files of one NumPy array (NEP 1: a magic string, a header in Python's notation, the numbers).

Nothing but plain numbers is read: an array of objects is a pickle, which is a program.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from fedscale import limits
from fedscale.errors import DataError

HEADERS: Final = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
"""How the header of each version is read."""


def read_npy(path: Path) -> npt.NDArray[Any]:
    """Return the array of integers or floating-point numbers in a file.

    Raises:
        DataError: the file is absent, of another kind, cut off, too long or too large; it names what was found.
    """
    try:
        with path.open("rb") as file:
            return _read(file, path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def read_integers(path: Path, columns: int | None = None) -> npt.NDArray[np.int64]:
    """Return whole numbers, (rows,), or (rows, columns) if so many are wanted.

    Raises:
        DataError: as `read_npy` does, or the array is of another shape, or holds other numbers.
    """
    array = read_npy(path)
    if not (array.ndim == 2 and array.shape[1] == (columns or 1)) and not (columns is None and array.ndim == 1):
        expected = f"(rows, {columns})" if columns else "(rows,)"
        raise DataError(f"{path}: an array of shape {array.shape}, not {expected}")
    numbers = array.astype(np.int64) if array.dtype.kind in "iub" else _whole(path, array)
    return numbers if columns else numbers.reshape(-1)


def _whole(path: Path, array: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    wrong = ~(np.isfinite(array) & (array == np.rint(array)) & (np.abs(array) < 1 << 53))
    if wrong.any():
        row = int(np.flatnonzero(wrong.reshape(len(array), -1).any(1))[0])
        raise DataError(f"{path} row {row + 1}: {array[row]} is not of whole numbers")
    return array.astype(np.int64)


def _read(file: IO[bytes], path: Path) -> npt.NDArray[Any]:
    shape, fortran, dtype = _header(file, path)
    if dtype.hasobject or dtype.kind not in "iufb":
        raise DataError(f"{path}: an array of type {dtype}; only numbers are read")
    size = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0:
        raise DataError(f"{path}: shape {shape} cannot be")
    if size > limits.ARRAY_FILE_BYTES:
        raise DataError(f"{path}: shape {shape} is {size} bytes, more than {limits.ARRAY_FILE_BYTES}")
    start = file.tell()
    content = file.read(size + 1)
    if len(content) < size:
        raise DataError(f"{path} offset {start + len(content)}: the file ends, but shape {shape} needs {size} bytes")
    if len(content) > size:
        raise DataError(f"{path} offset {start + size}: bytes after the end of shape {shape}")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


def _header(file: IO[bytes], path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = npy.read_magic(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # files of Python 2 are told of, and read all the same
            return HEADERS[version](file)
    except KeyError:
        raise DataError(f"{path}: version {version} of the format, not 1.0 or 2.0") from None
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise DataError(f"{path}: no array in NumPy's format: {str(error).splitlines()[0]}") from None
