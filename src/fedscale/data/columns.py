"""Between columns in memory and their Arrow form, without copies.

===================  =============================================
in memory            in Arrow
===================  =============================================
array (n,)           the primitive type
array (n, a, b...)   ``fixed_shape_tensor`` of shape (a, b...)
`Ragged`             ``large_list`` of the primitive type
===================  =============================================

Encoded media (an image's or a recording's bytes) are ``large_list<uint8>``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fedscale.data.ragged import Column, Ragged
from fedscale.errors import DataError


def arrow_type(column: Column) -> pa.DataType:
    """Return the Arrow type that stores ``column``.

    Raises:
        DataError: its elements are not numbers.
    """
    dtype = column.values.dtype if isinstance(column, Ragged) else column.dtype
    if dtype.kind not in "iuf":
        raise DataError(f"a column holds numbers, not {dtype}")
    element = pa.from_numpy_dtype(dtype)
    if isinstance(column, Ragged):
        return pa.large_list(element)
    return pa.fixed_shape_tensor(element, column.shape[1:]) if column.ndim > 1 else element


def to_arrow(column: Column) -> pa.Array:
    """Return ``column`` as an Arrow array over the same memory."""
    if isinstance(column, Ragged):
        return pa.LargeListArray.from_arrays(pa.array(column.offsets), pa.array(column.values))
    if column.ndim == 1:
        return pa.array(column)
    flat = pa.array(np.ascontiguousarray(column).reshape(-1))
    storage = pa.FixedSizeListArray.from_arrays(flat, int(np.prod(column.shape[1:])))
    return pa.ExtensionArray.from_storage(arrow_type(column), storage)


def from_arrow(array: pa.Array) -> Column:
    """Return an Arrow array as a column over the same memory (not writable).

    Raises:
        DataError: it has missing values, or a type that no column has.
    """
    if array.null_count:
        raise DataError(f"{array.null_count} missing values")
    if isinstance(array.type, pa.FixedShapeTensorType):
        return shared(array.storage.flatten()).reshape(len(array), *array.type.shape)
    if pa.types.is_large_list(array.type):
        return Ragged(shared(array.values), shared(array.offsets))
    return shared(array)


def shared(array: pa.Array) -> npt.NDArray[Any]:
    """Return the numbers of an Arrow array over the same memory (not writable).

    Its own ``to_numpy`` would import pandas if there is one, which takes longer than to open a store.

    Raises:
        DataError: it has missing values, or something else than numbers.
    """
    if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        raise DataError(f"columns of type {array.type} are not known")
    if array.null_count:
        raise DataError(f"{array.null_count} missing values")
    values = np.frombuffer(array.buffers()[1] or b"", array.type.to_pandas_dtype())
    return values[array.offset : array.offset + len(array)]


def parts(column: Column) -> Iterator[npt.NDArray[Any]]:
    """Yield the arrays that a column's content consists of, for sizes and digests."""
    if isinstance(column, Ragged):
        yield column.values[column.offsets[0] : column.offsets[-1]]
        yield column.lengths
    else:
        yield column
