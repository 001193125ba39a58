"""Reading TFRecord files: records of bytes, each with its length and two checksums.

A record is its length (8 bytes, little-endian), the masked CRC-32C of these 8 bytes (4 bytes), the content, and the
masked CRC-32C of the content (TensorFlow's documentation, "TFRecord and tf.train.Example").
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from fedscale import limits
from fedscale.data.crc32c import crc32c, masked
from fedscale.data.notes import Notes
from fedscale.data.rawfile import opened
from fedscale.errors import DataError

HEAD: Final = 12
TAIL: Final = 4


@dataclass(frozen=True)
class Place:
    """Where a record is: file, number from 1, the byte at which its content begins, and how many bytes it has."""

    path: Path
    number: int
    offset: int
    length: int

    def __str__(self) -> str:
        return f"{self.path} record {self.number}"


def read_records(path: Path, notes: Notes) -> Iterator[tuple[Place, bytes]]:
    """Yield the records of a file: where, and what is in them. Contents are checked by `read_record` only.

    Raises:
        DataError: the file is absent, cut off, damaged or no TFRecord file.
    """
    number, offset = 1, HEAD
    with opened(path, notes) as file:
        while head := _read(file, HEAD, f"{path} record {number}", whole=False):
            place = Place(path, number, offset, _length(head, f"{path} record {number}"))
            yield place, _read(file, place.length + TAIL, str(place))[:-TAIL]
            number, offset = number + 1, offset + place.length + TAIL + HEAD


def read_record(place: Place) -> bytes:
    """Return the content of one record, checked.

    Raises:
        DataError: it is damaged, or the file has changed.
    """
    try:
        with place.path.open("rb") as file:
            file.seek(place.offset)
            content = _read(file, place.length + TAIL, str(place))
    except OSError as error:
        raise DataError(f"{place}: cannot be read: {error}") from None
    (told,) = struct.unpack("<I", content[-TAIL:])
    if masked(crc32c(memoryview(content)[:-TAIL])) != told:
        raise DataError(f"{place}: its content does not fit its checksum: the file is damaged, fetch it again")
    return content[:-TAIL]


def _length(head: bytes, where: str) -> int:
    length, told = struct.unpack("<QI", head)
    if masked(crc32c(head[:8])) != told:
        raise DataError(f"{where}: its length does not fit its checksum: damaged, or no TFRecord file, or compressed")
    if length > limits.RECORD_BYTES:
        raise DataError(f"{where}: {length} bytes, more than the {limits.RECORD_BYTES} that are read")
    return int(length)


def _read(file: IO[bytes], count: int, where: str, *, whole: bool = True) -> bytes:
    """Return ``count`` bytes, or none at the end of the file unless the ``whole`` must be there."""
    try:
        content = file.read(count)
    except OSError as error:
        raise DataError(f"{where}: cannot be read: {error}") from None
    if len(content) < count and (content or whole):
        raise DataError(f"{where}: cut off: {len(content)} of {count} bytes are there; fetch the file again")
    return content
