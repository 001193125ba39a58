"""Reading games of Go from SGF files (Smart Game Format, FF[4]), such as they are met: main lines only.

A file is ``(;GM[1]SZ[19]PB[..];B[pd];W[dp] ...)``: nodes begin with a semicolon and have properties, an upper-case name
and values in brackets, in which a backslash takes the meaning from what follows it. ``( ... )`` within the game are
variations, the first of which is what was played: everything up to the first closing bracket is the main line.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import suppress
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
_ANOTHER: Final = re.compile(rb"\)\s*(\(?\s*;\s*(?:GM|FF|CA|SZ|AP|PB|PW|BR|WR|EV|GN|DT|RU|KM|HA|TM|US|SO|RE|PC)\s*\[)")
"""Where another game begins: with what only a first node says; variations begin with a move."""
_CHINESE: Final = re.compile(rb"\bCA\s*\[\s*gb", re.IGNORECASE)
_HALF: Final = re.compile(rb"[\x81-\xfe]\\\]")
_STONES: Final = {b"B": BLACK, b"W": WHITE, b"AB": SET + BLACK, b"AW": SET + WHITE}


@dataclass(frozen=True)
class Game:
    """One game.

    Attributes:
        root: the properties of the first node; of a property that comes twice, the first.
        stones: what was set up or played, in order: (colour, or colour + `SET`; point); none if it is not `usual`.
    """

    root: dict[bytes, bytes]
    stones: list[tuple[int, int]]

    @property
    def usual(self) -> bool:
        """Whether it is Go on a board of 19 × 19."""
        game, size = (self.root.get(name, b"").strip() for name in (b"GM", b"SZ"))
        return game in (b"", b"1") and size in (b"", b"19", b"19:19")


def read_games(content: bytes) -> list[Game]:
    """Return the main lines of the games in a file; the first opening bracket may be missing, as in some files.

    Text in GB 18030 becomes UTF-8 first: in it, what looks like a bracket or a backslash may be half of a character.
    It is that by its word (``CA``), or if it is no UTF-8 and cannot be read, or not without a backslash so explained.

    Raises:
        ValueError: it is not SGF, or cut off, or stones are where none can be; the message says where and what.
    """
    content = content.removeprefix(b"\xef\xbb\xbf")
    if _CHINESE.search(content):
        return _games(content.decode("gb18030", errors="replace").encode())
    guess = _guess(content)
    if guess is not None and _HALF.search(content):
        return _games(guess)
    try:
        return _games(content)
    except ValueError:
        if guess is None:
            raise
        with suppress(ValueError):
            return _games(guess)
        raise


def _guess(content: bytes) -> bytes | None:
    """Return text in GB 18030 as UTF-8, ``None`` if it is UTF-8 already, or neither."""
    try:
        content.decode()
    except UnicodeDecodeError:
        with suppress(UnicodeDecodeError):
            return content.decode("gb18030").encode()
    return None


def _games(content: bytes) -> list[Game]:
    begins = [0, *(match.start(1) for match in _ANOTHER.finditer(content))]
    return [_game(content, begin, end) for begin, end in itertools.pairwise([*begins, len(content)])]


def _game(content: bytes, begin: int, end: int) -> Game:
    game, nodes = Game({}, []), 0
    for place, name, values in _tokens(content, begin, end):
        if name == b";":
            nodes += 1
        elif name not in (b"(", b")"):
            if nodes == 0:
                raise ValueError(f"byte {place}: property {_text(name)} before the first node")
            if nodes == 1:
                game.root.setdefault(name, values[0])
            if name == b"AE":
                raise ValueError(f"byte {place}: stones are taken away (AE), which no game does")
            if name in _STONES and game.usual:
                game.stones.extend(_placed(place, name, values))
    if nodes == 0:
        raise ValueError("no node: a game begins with (;")
    _set_up(game.stones)
    return game


def _set_up(stones: list[tuple[int, int]]) -> None:
    """Let stones that black plays one after another at the beginning be set up.

    The Fox server's application writes a handicap so, without ``AB`` and with ``HA[0]``.
    """
    begin = next((place for place, (kind, _) in enumerate(stones) if kind < SET), len(stones))
    run = list(itertools.takewhile(lambda stone: stone[0] == BLACK and stone[1] != PASS, stones[begin:]))
    if len(run) > 1:
        stones[begin : begin + len(run)] = [(SET + BLACK, point) for _, point in run]


def _tokens(content: bytes, place: int, end: int) -> Iterator[tuple[int, bytes, list[bytes]]]:
    """Yield what is up to the first closing bracket: where, a sign or a property's name, the property's values."""
    while match := _TOKEN.match(content, place, end):
        place = match.end()
        sign, name, values = match.groups()
        yield match.start(), sign or name, _VALUE.findall(values) if name else []
        if sign == b")":
            return
    rest = content[place:end].strip()
    if not rest:
        raise ValueError(f"cut off at byte {end}: no closing bracket")
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


def _text(content: bytes) -> str:
    return content.decode(errors="replace")
