"""Reading games of Go from SGF files (Smart Game Format, FF[4]), such as they are met: main lines only.

A file is ``(;GM[1]SZ[19]PB[..];B[pd];W[dp] ...)``: nodes begin with a semicolon and have properties, an upper-case name
and values in brackets, in which a backslash takes the meaning from what follows it. ``( ... )`` within the game are
variations, the first of which is what was played: everything up to the first closing bracket is the main line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

SIZE: Final = 19
PASS: Final = SIZE * SIZE
"""A pass, among points; point ``row * 19 + column`` counts rows from the top."""

BLACK, WHITE = 0, 1
SET: Final = 2
"""Added to a colour: a stone that is set up, not played."""

_TOKEN: Final = re.compile(rb"\s*(?:([();])|([A-Za-z]+)\s*((?:\[(?:[^\]\\]|\\.)*\]\s*)+))", re.DOTALL)
_VALUE: Final = re.compile(rb"\[((?:[^\]\\]|\\.)*)\]", re.DOTALL)
_STONES: Final = {b"B": BLACK, b"W": WHITE, b"AB": SET + BLACK, b"AW": SET + WHITE}


@dataclass(frozen=True)
class Game:
    """One game.

    Attributes:
        root: the properties of the first node; of a property that comes twice, the first.
        stones: what was set up or played, in order: (colour, or colour + `SET`; point).
    """

    root: dict[bytes, bytes]
    stones: list[tuple[int, int]]


def read_game(content: bytes) -> Game:
    """Return the main line of the first game in a file; the opening bracket may be missing, as in some files.

    Raises:
        ValueError: it is not SGF, cut off, or no game of Go on a board of 19 × 19; the message says where and what.
    """
    root: dict[bytes, bytes] = {}
    stones: list[tuple[int, int]] = []
    nodes = 0
    for place, name, values in _tokens(content):
        if name == b";":
            nodes += 1
        elif name not in (b"(", b")"):
            if nodes == 0:
                raise ValueError(f"byte {place}: property {_text(name)} before the first node")
            if nodes == 1:
                root.setdefault(name, values[0])
            if name == b"AE":
                raise ValueError(f"byte {place}: stones are taken away (AE), which no game does")
            if name in _STONES:
                stones += _placed(place, name, values)
    if nodes == 0:
        raise ValueError("no node: a game begins with (;")
    _check_board(root)
    return Game(root, stones)


def _tokens(content: bytes) -> Iterator[tuple[int, bytes, list[bytes]]]:
    """Yield what is up to the first closing bracket: where, a sign or a property's name, the property's values."""
    place = 0
    while match := _TOKEN.match(content, place):
        place = match.end()
        sign, name, values = match.groups()
        yield match.start(), sign or name, _VALUE.findall(values) if name else []
        if sign == b")":
            return
    rest = content[place:].strip()
    if not rest:
        raise ValueError(f"cut off at byte {len(content)}: no closing bracket")
    raise ValueError(f"byte {place}: {_text(rest[:20])!r} is neither a node nor a property")


def _placed(place: int, name: bytes, values: list[bytes]) -> Iterator[tuple[int, int]]:
    kind = _STONES[name]
    if kind < SET and len(values) != 1:
        raise ValueError(f"byte {place}: {_text(name)} has {len(values)} values, but a move is one")
    for value in values:
        point = _point(value.strip())
        if point is None or (kind >= SET and point == PASS):
            raise ValueError(f"byte {place}: {_text(name)}[{_text(value[:20])}] is no point of the board")
        yield kind, point


def _point(value: bytes) -> int | None:
    """Return the point of two letters, column first; nothing, and ``tt``, is a pass."""
    if value in (b"", b"tt"):
        return PASS
    column, row = (letter - ord("a") for letter in value) if len(value) == len("pd") else (-1, -1)
    return row * SIZE + column if 0 <= column < SIZE and 0 <= row < SIZE else None


def _check_board(root: dict[bytes, bytes]) -> None:
    if (game := root.get(b"GM", b"1").strip()) not in (b"1", b""):
        raise ValueError(f"GM[{_text(game[:20])}] is another game than Go, GM[1]")
    if (size := root.get(b"SZ", b"19").strip()) not in (b"19", b"19:19", b""):
        raise ValueError(f"SZ[{_text(size[:20])}]: a board of 19 × 19, SZ[19], is wanted")


def _text(content: bytes) -> str:
    return content.decode(errors="replace")
