"""Rows as others have them, checked and put into the few forms that a store is made from.

======  =================================================  ==========================================
form    from                                               becomes
======  =================================================  ==========================================
x       numbers, lists of numbers of any one shape         an input: uint8 as it is, others float32
x       bytes, or a struct with ``bytes``                  an encoded image
y       whole numbers, texts, truth values                 a label
y       floating-point numbers                             a number to predict
tokens  lists of whole numbers                             a row of tokens
text    texts                                              characters as tokens
======  =================================================  ==========================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fedscale.data.importing import Scanned
from fedscale.errors import DataError, nearest

ROWS: Final = 10_000
"""Rows of small tables that are read together."""

Where = Callable[[int], str]
"""Names the source's row with this index: file and row, or file and key."""


@dataclass
class Reader:
    """Turns tables of one source into checked rows; all of them must be of the same form.

    Attributes:
        client: the column that names the client.
        x: the column of inputs, or several columns of numbers that make up one.
        y: the column of labels or of numbers to predict.
        tokens: the column of tokens, instead of the two.
        text: the column of texts, instead.
        shape: of an input; found in the first one if it is not given.
    """

    client: str
    x: str | Sequence[str] | None = None
    y: str | None = None
    tokens: str | None = None
    text: str | None = None
    shape: tuple[int, ...] | None = None
    kinds: dict[str, pa.DataType] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = [name for name in ("tokens", "text") if getattr(self, name) is not None]
        if len(given) + (self.x is not None or self.y is not None) != 1 or (self.x is None) != (self.y is None):
            raise DataError("name the columns of x and y, or that of tokens, or that of text: one of the three")

    @property
    def inputs(self) -> list[str]:
        """The columns that make up an input; none if there are tokens or a text."""
        return [self.x] if isinstance(self.x, str) else list(self.x or ())

    @property
    def columns(self) -> list[str]:
        """The columns that are read."""
        return [self.client, *self.inputs, *filter(None, (self.y, self.tokens, self.text))]

    def read(self, table: pa.Table, where: Where) -> Scanned:
        """Return a table's rows.

        Raises:
            DataError: naming the row, the column and the value that is missing or does not fit.
        """
        rows = {}
        if self.x is not None and self.y is not None:
            rows["x"] = self._input(table, where)
            rows["y"] = self._target(_column(table, self.y), _Place(self.y, where))
        elif self.tokens is not None:
            rows["tokens"] = _tokens(_column(table, self.tokens), _Place(self.tokens, where))
        elif self.text is not None:
            rows["text"] = _texts(_column(table, self.text), _Place(self.text, where))
        for name, values in rows.items():
            if self.kinds.setdefault(name, values.type) != values.type:
                raise DataError(f"{where(0)}: {name} is {values.type}, but {self.kinds[name]} in the rows before")
        return Scanned(_clients(_column(table, self.client), _Place(self.client, where)), pa.table(rows))

    def _input(self, table: pa.Table, where: Where) -> pa.Array:
        assert self.x is not None
        if isinstance(self.x, str):
            return self._one_input(_column(table, self.x), _Place(self.x, where))
        parts = [self._numbers(_column(table, name), _Place(name, where)) for name in self.x]
        columns = np.stack([part for part, _ in parts], axis=1)
        return self._listed(columns, _Place(", ".join(self.x), where))

    def _one_input(self, values: pa.Array, place: _Place) -> pa.Array:
        if pa.types.is_struct(values.type) and values.type.get_field_index("bytes") >= 0:
            values = pc.struct_field(values, "bytes")
        if pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type):
            place.refuse(values.is_null(), values, "is missing")
            if self.shape is None:
                raise DataError(f"column {place.name!r} holds images: give their shape, such as shape=(3, 64, 64)")
            return values.cast(pa.large_binary())
        numbers, found = self._numbers(values, place)
        return self._listed(numbers.reshape(len(values), *found), place)

    def _listed(self, numbers: npt.NDArray[Any], place: _Place) -> pa.Array:
        self.shape = self.shape or numbers.shape[1:] or (1,)
        size = int(np.prod(self.shape))
        if numbers.size != len(numbers) * size:
            raise DataError(f"{place.where(0)}: {place.name} is of shape {numbers.shape[1:]}, not {self.shape}")
        wrong = ~np.isfinite(numbers.reshape(len(numbers), -1)).all(axis=1)
        place.refuse(pa.array(wrong), pa.array(wrong), "holds a number that is not finite")
        kind = numbers.dtype if numbers.dtype == np.uint8 else np.dtype(np.float32)
        flat = np.ascontiguousarray(numbers.reshape(-1), dtype=kind)
        return pa.FixedSizeListArray.from_arrays(pa.array(flat), size)

    def _numbers(self, values: pa.Array, place: _Place) -> tuple[npt.NDArray[Any], tuple[int, ...]]:
        """Return all numbers of a column of (nested) lists end to end, and the shape of one row."""
        shape: list[int] = []
        rows = 1  # innermost lists of a row
        while _is_list(values.type):
            if isinstance(values, pa.ExtensionArray):
                values = values.storage
            place.refuse(values.is_null(), values, "has a missing list", rows)
            lengths = np.asarray(pc.list_value_length(values)).astype(np.int64)
            if len(lengths) and (lengths != lengths[0]).any():
                odd = int((lengths != lengths[0]).argmax())
                wanted = f"{lengths[0]}, as before"
                raise DataError(f"{place.where(odd // rows)}: {place.name} has {lengths[odd]} numbers, not {wanted}")
            shape.append(int(lengths[0]) if len(lengths) else 0)
            values, rows = values.flatten(), rows * max(shape[-1], 1)
        if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or values.type == pa.bool_()):
            raise DataError(f"{place.where(0)}: {place.name} is {values.type}, which is no number: convert it first")
        place.refuse(values.is_null(), values, "has a missing number", rows)
        numbers = values.cast(pa.uint8()) if values.type == pa.bool_() else values
        return np.asarray(numbers.to_numpy(zero_copy_only=False)), tuple(shape)

    def _target(self, values: pa.Array, place: _Place) -> pa.Array:
        place.refuse(values.is_null(), values, "is missing")
        kind = values.type
        if pa.types.is_integer(kind):
            place.refuse(pc.less(values, 0), values, "is negative: number labels from 0, or give them names")
            return values.cast(pa.int64())
        if pa.types.is_floating(kind):
            place.refuse(pc.invert(pc.is_finite(values)), values, "is not finite")
            return values.cast(pa.float64())
        if pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.bool_():
            return values.cast(pa.large_string())
        raise DataError(f"{place.where(0)}: {place.name} is {kind}; a label is a text or a whole number")


def together(reader: Reader, tables: Iterator[tuple[pa.Table, str]]) -> Iterator[Scanned]:
    """Read small tables, each with what its rows are called, thousands of rows at a time.

    Raises:
        DataError: as `Reader.read` does, or a table's columns differ in type from those before.
    """
    pending: list[tuple[pa.Table, str]] = []
    rows = 0
    for table, where in tables:
        if pending and table.schema != pending[0][0].schema:
            kinds = ", ".join(f"{column.name} {column.type}" for column in table.schema)
            raise DataError(f"{where}: it has {kinds}, unlike {pending[0][1]}")
        pending.append((table, where))
        rows += len(table)
        if rows >= ROWS:
            yield _read_together(reader, pending)
            pending, rows = [(table.slice(0, 0), where)], 0  # so that what comes is compared with it
    if rows:
        yield _read_together(reader, pending)


def _read_together(reader: Reader, tables: Sequence[tuple[pa.Table, str]]) -> Scanned:
    ends = np.cumsum([len(table) for table, _ in tables])

    def where(row: int) -> str:
        place = int(np.searchsorted(ends, row, side="right"))
        return f"{tables[place][1]}, sample {row - int(ends[place]) + len(tables[place][0])}"

    return reader.read(pa.concat_tables([table for table, _ in tables]), where)


@dataclass(frozen=True)
class _Place:
    """A column, and how its rows are called in errors."""

    name: str
    where: Where

    def refuse(self, wrong: pa.Array, values: pa.Array, why: str, each: int = 1) -> None:
        """Raise an error for the first row that is wrong; ``each`` values belong to one row."""
        found = np.asarray(wrong.to_numpy(zero_copy_only=False), dtype=bool)
        if found.any():
            first = int(found.argmax())
            value = values[first].as_py()
            shown = "" if value is None or isinstance(value, bool | list | bytes) else f" {value!r}"
            raise DataError(f"{self.where(first // each)}: {self.name}{shown} {why}")


def _column(table: pa.Table, name: str) -> pa.Array:
    if name not in table.column_names:
        raise DataError(f"there is no column {name!r}: {nearest(name, table.column_names)}")
    values = table.column(name).combine_chunks()
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _clients(values: pa.Array, place: _Place) -> pa.Array:
    place.refuse(values.is_null(), values, "is missing: every sample is some client's")
    if pa.types.is_floating(values.type):
        raise DataError(f"{place.where(0)}: {place.name} is {values.type}; a client is a text or a whole number")
    names = values if pa.types.is_large_binary(values.type) else values.cast(pa.large_string())
    place.refuse(pc.equal(pc.binary_length(names), 0), values, "is empty: every sample is some client's")
    return names


def _tokens(values: pa.Array, place: _Place) -> pa.Array:
    if not _is_list(values.type) or not pa.types.is_integer(values.type.value_type):
        raise DataError(f"{place.where(0)}: {place.name} is {values.type}; tokens are lists of whole numbers")
    place.refuse(values.is_null(), values, "is missing")
    rows = values.cast(pa.large_list(pa.int64()))
    owners = np.repeat(np.arange(len(rows)), np.asarray(pc.list_value_length(rows)))
    flat = rows.flatten()
    for wrong, why in ((flat.is_null(), "has a missing token"), (pc.less(flat, 0), "has a negative token")):
        found = np.asarray(pc.fill_null(wrong, False).to_numpy(zero_copy_only=False), dtype=bool)
        if found.any():
            raise DataError(f"{place.where(int(owners[found.argmax()]))}: {place.name} {why}")
    return rows


def _texts(values: pa.Array, place: _Place) -> pa.Array:
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        raise DataError(f"{place.where(0)}: {place.name} is {values.type}, not text")
    place.refuse(values.is_null(), values, "is missing")
    return values.cast(pa.large_string())


def _is_list(kind: pa.DataType) -> bool:
    plain = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return plain or isinstance(kind, pa.FixedShapeTensorType)
