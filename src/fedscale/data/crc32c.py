"""The checksum CRC-32C (Castagnoli; RFC 3720, appendix B.4), by numpy, and its masked form in TFRecord files."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

POLYNOMIAL: Final = 0x82F63B78
"""x³² + x²⁸ + x²⁷ + ..., with the lowest power in the highest bit."""

LANES: Final = 4096
"""Parts of a message that are worked on side by side; a power of two."""

Array = npt.NDArray[Any]


def _table() -> Array:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(POLYNOMIAL), table >> 1)
    return table


_TABLE: Final = _table()
_PLAIN: Final = _TABLE.tolist()


def crc32c(content: bytes | memoryview) -> int:
    """Return the checksum of ``content``.

    The register is linear in what it held and what it reads, so that parts of equal length can start from 0 side by
    side, and be put together after.
    """
    width = len(content) // LANES
    register = 0xFFFFFFFF
    if width:
        parts = np.frombuffer(content, np.uint8, LANES * width).reshape(LANES, width)
        registers = np.zeros(LANES, np.uint32)
        registers[0] = register
        for column in np.ascontiguousarray(parts.T):
            registers = _TABLE[(registers ^ column) & 255] ^ (registers >> 8)
        register = _joined(registers, width)
    for byte in content[LANES * width :]:
        register = _PLAIN[(register ^ byte) & 255] ^ (register >> 8)
    return register ^ 0xFFFFFFFF


def masked(checksum: int) -> int:
    """Return a checksum as TFRecord files have it: rotated right by 15 bits, plus a constant."""
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _joined(registers: Array, width: int) -> int:
    """Put the registers of parts of ``width`` bytes together, neighbours first."""
    shift = _zeros(width)
    while len(registers) > 1:
        registers = _apply(shift, registers[::2]) ^ registers[1::2]
        shift = _apply(shift, shift)
    return int(registers[0])


@lru_cache(maxsize=64)
def _zeros(count: int) -> Array:
    """Return what ``count`` zero bytes make of each bit of a register."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    result, step = bits, _TABLE[bits & 255] ^ (bits >> 8)
    while count:
        if count & 1:
            result = _apply(step, result)
        step = _apply(step, step)
        count >>= 1
    return result


def _apply(matrix: Array, values: Array) -> Array:
    """Return what a linear map, known by what it makes of each bit, makes of ``values``."""
    chosen = (values[:, None] >> np.arange(32, dtype=np.uint32)) & 1
    result: Array = np.bitwise_xor.reduce(chosen * matrix, axis=1)
    return result
