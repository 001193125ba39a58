"""``tf.train.Example`` messages, as in the databases of TensorFlow Federated.

The message (tensorflow/core/example/{example,feature}.proto) is a map from names to lists of bytes, of 32-bit floats or
of 64-bit integers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fedscale.data.protowire import BYTES, FOUR, VARINT, Span, fields, varint

Feature = list[bytes] | npt.NDArray[Any]
"""A list of bytes, or an array of float32 or int64."""


def read_example(content: bytes) -> dict[str, Feature]:
    """Return the features of a serialised example by name.

    Raises:
        ValueError: the bytes are no such message.
    """
    entries = (entry for features in _inside(content, None, 1) for entry in _inside(content, features, 1))
    return dict(_entry(content, entry) for entry in entries)


def _entry(content: bytes, entry: Span) -> tuple[str, Feature]:
    """Return a map's entry: field 1 is the name, field 2 the feature."""
    names = [content[slice(*span)].decode() for span in _inside(content, entry, 1)]
    for feature in _inside(content, entry, 2):
        for number, kind, values in fields(content, feature):
            if kind == BYTES and number in _READERS:
                return "".join(names[-1:]), _READERS[number](content, values)
    return "".join(names[-1:]), []


def _bytes(content: bytes, values: Span) -> Feature:
    return [content[slice(*span)] for span in _inside(content, values, 1)]


def _floats(content: bytes, values: Span) -> Feature:
    """Return floats, which may be written one by one or all in one piece."""
    pieces = [content[slice(*span)] for _, kind, span in fields(content, values) if kind in (BYTES, FOUR)]
    joined = b"".join(pieces)
    if len(joined) % 4:
        raise ValueError("a list of floats is cut off")
    return np.frombuffer(joined, "<f4")


def _integers(content: bytes, values: Span) -> Feature:
    """Return integers, which may be written one by one or all in one piece."""
    numbers: list[int] = []
    for _, kind, (place, end) in fields(content, values):
        while kind in (BYTES, VARINT) and place < end:
            number, place = varint(content, place)
            numbers.append(number & 0xFFFFFFFFFFFFFFFF)
    return np.array(numbers, np.uint64).astype(np.int64)


_READERS: Final = {1: _bytes, 2: _floats, 3: _integers}


def _inside(content: bytes, span: Span | None, wanted: int) -> Iterator[Span]:
    """Yield where the messages or bytes of one field are."""
    return (value for number, kind, value in fields(content, span) if number == wanted and kind == BYTES)
