"""``foxgo``: where a player of Go plays next; a player is a client, so every game belongs to two.

Games from the Fox server as SGF files, one game a file. Positions are those of the main line; a position from which
the player moves is a sample of that player's. The planes are the simplest of those in C. Maddison et al., "Move
Evaluation in Go Using Deep Convolutional Neural Networks", ICLR 2015.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fedscale.data.card import Card, Figures
from fedscale.data.go import PLANES, Board, IllegalMoveError
from fedscale.data.importing import Importer, Loaded, Scanned
from fedscale.data.notes import Notes
from fedscale.data.rawfile import content_of, found, nothing
from fedscale.data.sgf import BLACK, PASS, SET, SIZE, WHITE, Game, read_games
from fedscale.errors import DataError
from fedscale.section import Component

BATCH: Final = 2_000
"""Games that are scanned together."""

CARD: Final = Card(
    name="foxgo",
    title="Fox Go games",
    description="the move that a player of Go makes in a position",
    task="classification",
    model=Component(name="go_cnn"),
    modality="tensor",
    classes=PASS + 1,
    sample_shape=(len(PLANES), SIZE, SIZE),
    client_is="player (PB or PW, by the bytes of the name): a game's moves belong to the one who makes them",
    licence="GPL-3.0 (the collection featurecat/go-dataset); the games are those of foxwq.com's players",
    terms="unpack the collection's .7z archives with a tool of your own: https://github.com/featurecat/go-dataset",
    source="featurecat/go-dataset on GitHub: games of the Fox server (foxwq.com), 18 kyu to 9 dan and professionals",
    layout=(
        "*.sgf at any depth, one game each or more: (;GM[1]SZ[19]PB[..]PW[..]KM[..]HA[..]AP[..] .. ;B[pd];W[dp] ..), "
        "AB for handicap stones, broken UTF-8 or GB 18030, AP twice, in professional games variations and comments"
    ),
    preprocessing=(
        "the main line is everything up to the first closing bracket; a stone that is set up, or several of black's "
        "at the beginning, are no move; passes are moves. Games by the rules: captures, no suicide, no immediate "
        "retaking of a ko. Left out: files of nothing or of NUL bytes, other boards, games without a move, games with "
        "an illegal one, players without a name"
    ),
    sample=(
        f"x: uint8 ({len(PLANES)}, {SIZE}, {SIZE}), 0 or 1: {', '.join(PLANES)}; y: int16, row × 19 + column of the "
        f"move, rows from the top, {PASS} for a pass"
    ),
    paper=Figures(clients=150_333, samples=4_900_000),
    citation="F. Lai et al.: FedScale. ICML 2022, Table 5; games: featurecat/go-dataset",
    verification="real",
    verified="38 real games of amateurs and professionals; captures, ko and liberties against sgfmill and by hand",
)


@dataclass(frozen=True)
class FoxGo(Importer):
    """Positions and moves by player, from SGF files.

    Attributes:
        skip_damaged: leave out files that cannot be read, and count them, instead of stopping at the first.
    """

    skip_damaged: bool = False

    parallel: ClassVar[bool] = True
    together: ClassVar[int | None] = 100

    @property
    def card(self) -> Card:
        """Return the card."""
        return CARD

    def scan(self, raw: Path, notes: Notes) -> Iterator[Scanned]:
        """Yield the two players of each game, with its moves."""
        paths = found(raw, "**/*.sgf", "**/*.SGF")
        if not paths:
            raise nothing(raw, CARD.name, ["*.sgf, in folders or not"])
        for start in range(0, len(paths), BATCH):
            played = [player for path in paths[start : start + BATCH] for player in self._players(path, notes)]
            names, colours, games = zip(*played, strict=True) if played else ((), (), ())
            rows = {"colour": pa.array(colours, pa.int8()), "game": pa.array(games, pa.large_binary())}
            notes.progress("games", min(start + BATCH, len(paths)), len(paths))
            yield Scanned(pa.array(names, pa.binary()), pa.table(rows))

    def load(self, rows: pa.Table) -> Loaded:
        """Play the games, and return the positions and moves of the players whose rows these are."""
        kept = np.zeros(len(rows), np.int64)
        planes: list[npt.NDArray[np.uint8]] = []
        moves: list[int] = []
        illegal = 0
        for row, (colour, game) in enumerate(zip(rows["colour"].to_pylist(), rows["game"].to_pylist(), strict=True)):
            try:
                seen, played = _samples(colour, np.frombuffer(game, np.int16))
            except IllegalMoveError:
                illegal += 1
                continue
            kept[row] = len(played)
            planes += seen
            moves += played
        x = np.stack(planes) if planes else np.zeros((0, len(PLANES), SIZE, SIZE), np.uint8)
        return Loaded({"x": x, "y": np.array(moves, np.int16)}, kept, {"a game with an illegal move": illegal})

    def _players(self, path: Path, notes: Notes) -> Iterator[tuple[bytes, int, bytes]]:
        """Yield name, colour and game of the two who played each game, as far as they can be used."""
        for game in self._games(path, notes):
            packed = np.array(game.stones, np.int16).tobytes()
            for colour, key in ((BLACK, b"PB"), (WHITE, b"PW")):
                notes.read += 1
                if name := game.root.get(key, b"").strip():
                    yield name, colour, packed
                else:
                    notes.skip("a player without a name", f"{path}, {key.decode()}")

    def _games(self, path: Path, notes: Notes) -> Iterator[Game]:
        """Yield the games in a file that can be used."""
        content = content_of(path, Notes())
        if not content.strip(b"\0"):
            _skip("a file of nothing, or of NUL bytes", path, notes)
            return
        try:
            games = read_games(content)
        except ValueError as error:
            if not self.skip_damaged:
                raise DataError(f"{path}: {error}; to leave such files out, --set skip_damaged=true") from None
            _skip("a file that cannot be read", path, notes)
            return
        for game in games:
            if not game.usual:
                _skip("not Go on a board of 19 × 19", path, notes)
            elif all(kind >= SET for kind, _ in game.stones):
                _skip("a game without a move", path, notes)
            else:
                yield game


def _skip(reason: str, path: Path, notes: Notes) -> None:
    """Leave out a game, which is a row of each of its two players."""
    notes.read += 2
    notes.skip(reason, str(path), rows=2)


def _samples(colour: int, stones: npt.NDArray[np.int16]) -> tuple[list[npt.NDArray[np.uint8]], list[int]]:
    """Return what the player of ``colour`` saw before each move, and the moves."""
    board = Board()
    seen: list[npt.NDArray[np.uint8]] = []
    moves: list[int] = []
    for kind, point in stones.reshape(-1, 2).tolist():
        if kind == colour:
            seen.append(board.planes(colour))
            moves.append(point)
        board.put(kind, point)
    return seen, moves
