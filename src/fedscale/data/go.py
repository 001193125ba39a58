"""The rules of Go on a board of 19 × 19: chains and their liberties, captures, ko; and planes for a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fedscale.data.sgf import PASS, SET, SIZE

EMPTY: Final = -1

PLANES: Final = (
    "own stones",
    "the other's stones",
    "chains with one liberty",
    "chains with two liberties",
    "chains with three liberties or more",
    "the last move",
    "a point that ko forbids",
    "ones if the player is black",
)


def _neighbours(point: int) -> tuple[int, ...]:
    row, column = divmod(point, SIZE)
    around = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
    return tuple(r * SIZE + c for r, c in around if 0 <= r < SIZE and 0 <= c < SIZE)


AROUND: Final = tuple(_neighbours(point) for point in range(SIZE * SIZE))


class IllegalMoveError(ValueError):
    """A stone where none may be put."""


@dataclass
class Chain:
    """Stones of one colour that hang together, and the empty points beside them."""

    colour: int
    stones: set[int]
    liberties: set[int]


class Board:
    """A position.

    Attributes:
        colours: of each point, 0 black, 1 white, -1 empty; (361,).
        liberties: of the chain on each point, 0 where it is empty; (361,).
        ko: the point that may not be played now, else ``None``.
        last: where the last stone was played, ``None`` after a pass or at the beginning.
    """

    def __init__(self) -> None:
        self.colours = np.full(SIZE * SIZE, EMPTY, np.int8)
        self.liberties = np.zeros(SIZE * SIZE, np.int16)
        self.ko: int | None = None
        self.last: int | None = None
        self._chains: dict[int, Chain] = {}

    def put(self, kind: int, point: int) -> None:
        """Play (or set up) a stone of colour ``kind`` (plus `fedscale.data.sgf.SET`), or pass.

        Raises:
            IllegalMoveError: the point is occupied, forbidden by ko, or the chain would have no liberty.
        """
        ko, self.ko, self.last = self.ko, None, None
        if point == PASS:
            return
        if point in self._chains:
            raise IllegalMoveError("occupied")
        if point == ko and kind < SET:
            raise IllegalMoveError("ko")
        chain, taken = self._join(kind % SET, point)
        if not chain.liberties:
            raise IllegalMoveError("no liberty")
        if kind < SET:
            self.last = point
            if len(taken) == len(chain.stones) == len(chain.liberties) == 1:
                self.ko = taken[0]

    def planes(self, colour: int) -> npt.NDArray[np.uint8]:
        """Return what the player of ``colour`` sees: (planes, 19, 19) of 0 and 1, see `PLANES`."""
        planes = np.zeros((len(PLANES), SIZE * SIZE), np.uint8)
        planes[0] = self.colours == colour
        planes[1] = self.colours == 1 - colour
        planes[2] = self.liberties == 1
        planes[3] = self.liberties == 2
        planes[4] = self.liberties >= 3
        if self.last is not None:
            planes[5, self.last] = 1
        if self.ko is not None:
            planes[6, self.ko] = 1
        planes[7] = colour == 0
        return planes.reshape(-1, SIZE, SIZE)

    def _join(self, colour: int, point: int) -> tuple[Chain, list[int]]:
        """Put a stone and join it to its neighbours; return its chain, and what was captured."""
        beside = {id(chain): chain for near in AROUND[point] if (chain := self._chains.get(near))}
        for chain in beside.values():
            chain.liberties.discard(point)
        mine = Chain(colour, {point}, {near for near in AROUND[point] if near not in self._chains})
        others = [chain for chain in beside.values() if chain.colour != colour]
        for chain in beside.values():
            if chain.colour == colour:
                mine.stones |= chain.stones
                mine.liberties |= chain.liberties
        for stone in mine.stones:
            self._chains[stone] = mine
        self.colours[point] = colour
        taken = [stone for chain in others if not chain.liberties for stone in chain.stones]
        changed = {id(chain): chain for chain in (mine, *others, *self._remove(taken))}
        for chain in changed.values():
            if chain.liberties:
                self.liberties[list(chain.stones)] = len(chain.liberties)
        return mine, taken

    def _remove(self, stones: list[int]) -> list[Chain]:
        """Take stones off the board, and return the chains that have more liberties by it."""
        for stone in stones:
            del self._chains[stone]
        if stones:
            self.colours[stones], self.liberties[stones] = EMPTY, 0
        freed = [(stone, chain) for stone in stones for near in AROUND[stone] if (chain := self._chains.get(near))]
        for stone, chain in freed:
            chain.liberties.add(stone)
        return [chain for _, chain in freed]
