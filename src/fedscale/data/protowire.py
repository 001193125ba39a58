"""Reading messages of Protocol Buffers by field numbers, without their definitions.

Only what the wire format says (protobuf.dev, "Encoding"): a message is fields, each a key (number × 8 + kind) and a
value: 0 a varint, 1 eight bytes, 2 a length and so many bytes, 5 four bytes. Messages may be large, so values are given
as places in the bytes, and many small messages of one kind are read side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5
VARINT_BYTES: Final = 10

Span = tuple[int, int]
"""Where a value begins and ends."""


def varint(content: bytes, place: int) -> tuple[int, int]:
    """Return the number at ``place``, and where the next thing begins.

    Raises:
        ValueError: it does not end.
    """
    number = 0
    for shift in range(VARINT_BYTES):
        if place >= len(content):
            raise ValueError(f"byte {place}: cut off within a number")
        byte = content[place]
        place += 1
        number |= (byte & 127) << (7 * shift)
        if byte < 128:
            return number, place
    raise ValueError(f"byte {place}: a number of more than {VARINT_BYTES} bytes")


def fields(content: bytes, span: Span | None = None) -> Iterator[tuple[int, int, Span]]:
    """Yield the fields of the message in ``span``: number, kind, and where the value is.

    Raises:
        ValueError: this is no message; the error says at which byte.
    """
    place, stop = span or (0, len(content))
    while place < stop:
        key, value = varint(content, place)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            _, end = varint(content, value)
        elif kind == BYTES:
            length, value = varint(content, value)
            end = value + length
        elif kind in (EIGHT, FOUR):
            end = value + (8 if kind == EIGHT else 4)
        else:
            raise ValueError(f"byte {place}: a field of the unknown kind {kind}")
        if end > stop or number == 0:
            raise ValueError(f"byte {place}: field {number} does not fit into its message")
        yield number, kind, (value, end)
        place = end


def varints(content: bytes) -> npt.NDArray[np.int64]:
    """Return packed numbers; those above 2⁶³ are negative ones.

    Raises:
        ValueError: the last one does not end.
    """
    raw = np.frombuffer(content, np.uint8)
    if len(raw) and raw[-1] > 127:
        raise ValueError("cut off within a number")
    if not (raw > 127).any():
        return raw.astype(np.int64)
    stops = np.flatnonzero(raw < 128) + 1
    starts = np.r_[0, stops[:-1]]
    if (stops - starts).max() > VARINT_BYTES:
        raise ValueError(f"a number of more than {VARINT_BYTES} bytes")
    within = np.arange(len(raw)) - np.repeat(starts, stops - starts)
    shifted = (raw & np.uint8(127)).astype(np.uint64) << (7 * within).astype(np.uint64)
    return np.bitwise_or.reduceat(shifted, starts).astype(np.int64)


def side_by_side(
    content: bytes,
    spans: Sequence[Span],
    wanted: Mapping[int, str],
) -> dict[int, npt.NDArray[np.float64]]:
    """Read many small messages of one kind at once: those whose fields lie at the same places are read as a matrix.

    Args:
        content: in which they are.
        spans: where each is.
        wanted: the fields, and their types: ``<f8``, ``<f4``, or ``u1`` for a truth value.

    Returns:
        for each wanted field, an array as long as ``spans``; 0 where a message lacks it.

    Raises:
        ValueError: one of them is no message, or a field is of another type.
    """
    raw = np.frombuffer(content, np.uint8)
    places = np.array(spans, np.int64).reshape(-1, 2)
    lengths = places[:, 1] - places[:, 0]
    result = {number: np.zeros(len(places)) for number in wanted}
    for length in np.unique(lengths[lengths > 0]).tolist():
        left = np.flatnonzero(lengths == length)
        while len(left):
            first = places[left[0]]
            layout = list(fields(content, (int(first[0]), int(first[1]))))
            matrix = raw[places[left, 0, None] + np.arange(length)]
            keys, short = _keys(layout, int(first[0]))
            alike = (matrix[:, keys] == matrix[0, keys]).all(axis=1) & (matrix[:, short] < 128).all(axis=1)
            for number, _, (start, stop) in layout:
                if number in wanted:
                    values = _column(matrix[alike, start - first[0] : stop - first[0]], wanted[number], number)
                    result[number][left[alike]] = values
            left = left[~alike]
    return result


def _keys(layout: Sequence[tuple[int, int, Span]], begin: int) -> tuple[list[int], list[int]]:
    """Return the places of bytes that say what comes, and of numbers of one byte; all others may be anything."""
    fixed = {place for _, kind, span in layout if kind in (EIGHT, FOUR) for place in range(*span)}
    short = {start for _, kind, (start, stop) in layout if kind == VARINT and stop - start == 1}
    end = layout[-1][2][1]
    keys = [place - begin for place in range(begin, end) if place not in fixed | short]
    return keys, [place - begin for place in sorted(short)]


def _column(matrix: npt.NDArray[np.uint8], kind: str, number: int) -> npt.NDArray[Any]:
    if matrix.shape[1] != np.dtype(kind).itemsize or (kind == "u1" and (matrix > 1).any()):
        raise ValueError(f"field {number} is not of type {kind}")
    values: npt.NDArray[Any] = np.ascontiguousarray(matrix).view(kind)[:, 0]
    return values
