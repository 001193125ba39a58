"""A column of images or recordings that stay encoded until rows of it are asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fedscale import limits
from fedscale.data.card import Card
from fedscale.data.decoders import DECODERS
from fedscale.data.ragged import Column, IntArray, Ragged, Rows, take
from fedscale.errors import DataError


class Decoder(Protocol):
    """Turns one sample's bytes into numbers.

    Attributes:
        dtype: of the numbers.
    """

    dtype: np.dtype[Any]

    def __call__(self, content: bytes) -> npt.NDArray[Any]:
        """Return the numbers, of the card's ``sample_shape``.

        Raises:
            ValueError: the bytes are not what they should be.
        """
        ...


@dataclass(frozen=True)
class Encoded:
    """Rows of bytes, and what decodes them: ``column[rows]`` is an array (rows, *sample_shape).

    ``where`` names the place for errors.
    """

    rows: Ragged
    decoder: Decoder
    sample_shape: tuple[int, ...]
    where: str = ""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all rows, decoded."""
        return (len(self), *self.sample_shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers, decoded."""
        return self.decoder.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of all rows, decoded."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def take(self, rows: Rows) -> Encoded:
        """Return some rows, still encoded."""
        return Encoded(self.rows.take(rows), self.decoder, self.sample_shape, self.where)

    def __getitem__(self, rows: Rows) -> npt.NDArray[Any]:
        """Return some rows, decoded.

        Raises:
            DataError: one of them cannot be decoded.
        """
        places: IntArray = np.arange(len(self))[rows]
        out = np.empty((len(places), *self.sample_shape), self.dtype)
        for target, place in zip(out, places, strict=True):
            try:
                target[...] = self.decoder(self.rows.row(int(place)).tobytes())
            except ValueError as error:
                raise DataError(f"{self.where}, sample {place}: {error}") from None
        return out


Samples = Column | Encoded
"""What a client has in a column."""


def take_samples(column: Samples, rows: Rows) -> Samples:
    """Return ``rows`` of a column; encoded ones stay so."""
    return column.take(rows) if isinstance(column, Encoded) else take(column, rows)


def stored(column: Samples) -> Column:
    """Return a column as it lies in the store."""
    return column.rows if isinstance(column, Encoded) else column


def keeps_decoded(card: Card, counts: IntArray) -> bool:
    """Say whether a dataset has encoded samples, and few enough that a process keeps them decoded."""
    if card.decode is None or "x" not in card.columns:
        return False
    return int(counts.sum()) * math.prod(card.sample_shape or ()) <= limits.DECODED_BYTES


def wrapper(card: Card) -> Callable[[Ragged, str], Encoded] | None:
    """Return what makes a column of encoded rows out of their bytes and a place; ``None`` if the set has none."""
    if card.decode is None or "x" not in card.columns:
        return None
    shape = card.sample_shape or ()
    decoder = DECODERS.build(card.decode.name, card.decode.options, sample_shape=shape)
    return lambda rows, where: Encoded(rows, decoder, shape, where)
