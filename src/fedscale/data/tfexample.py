"""``tf.train.Example`` messages, as in TFRecord files and in the databases of TensorFlow Federated.

The message (tensorflow/core/example/{example,feature}.proto) is a map from names to lists of bytes, of 32-bit floats or
of 64-bit integers, in the wire format of protocol buffers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Feature = list[bytes] | npt.NDArray[Any]
"""A list of bytes, or an array of float32 or int64."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types."""

LONGEST_VARINT: Final = 10


def read_example(content: bytes) -> dict[str, Feature]:
    """Return the features of a serialised example by name.

    Raises:
        ValueError: the bytes are no such message.
    """
    features: dict[str, Feature] = {}
    for field, features_message in _fields(memoryview(content)):
        if field == 1 and isinstance(features_message, memoryview):
            for inner, entry in _fields(features_message):
                if inner == 1 and isinstance(entry, memoryview):
                    name, feature = _entry(entry)
                    features[name] = feature
    return features


def _entry(content: memoryview) -> tuple[str, Feature]:
    """Return a map's entry: field 1 is the name, field 2 the feature."""
    parts = {field: value for field, value in _fields(content) if isinstance(value, memoryview)}
    name = bytes(parts.get(1, b"")).decode()
    for kind, values in _fields(parts.get(2, memoryview(b""))):
        if isinstance(values, memoryview) and kind in _READERS:
            return name, _READERS[kind](values)
    return name, []


def _bytes(content: memoryview) -> Feature:
    return [bytes(value) for field, value in _fields(content) if field == 1 and isinstance(value, memoryview)]


def _floats(content: memoryview) -> Feature:
    pieces = [value if isinstance(value, memoryview) else value.to_bytes(4, "little") for _, value in _fields(content)]
    joined = b"".join(pieces)
    if len(joined) % 4:
        raise ValueError("a list of floats is cut off")
    return np.frombuffer(joined, "<f4")


def _integers(content: memoryview) -> Feature:
    numbers: list[int] = []
    for _, value in _fields(content):
        if isinstance(value, int):
            numbers.append(value)
            continue
        place = 0
        while place < len(value):
            number, place = _varint(value, place)
            numbers.append(number)
    return np.array(numbers, np.uint64).astype(np.int64)


_READERS: Final = {1: _bytes, 2: _floats, 3: _integers}


def _fields(content: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the numbers and values of a message's fields."""
    place = 0
    while place < len(content):
        tag, place = _varint(content, place)
        wire = tag & 7
        if wire == VARINT:
            value, place = _varint(content, place)
            yield tag >> 3, value
            continue
        if wire == BYTES:
            size, place = _varint(content, place)
        elif wire in (FIXED64, FIXED32):
            size = 8 if wire == FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire} is not one of protocol buffers'")
        if size > len(content) - place:
            raise ValueError("the message is cut off")
        part = content[place : place + size]
        yield tag >> 3, part if wire == BYTES else int.from_bytes(part, "little")
        place += size


def _varint(content: memoryview, place: int) -> tuple[int, int]:
    """Return the number at ``place``, and the place behind it."""
    number = 0
    for shift in range(LONGEST_VARINT):
        if place >= len(content):
            raise ValueError("the message is cut off")
        byte = content[place]
        place += 1
        number |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return number & 0xFFFFFFFFFFFFFFFF, place
    raise ValueError("a number of more than 64 bits")
