"""Games of Go: files, rules, and what becomes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedscale.data.go import AROUND, Board, IllegalMoveError
from fedscale.data.identity import client_digest
from fedscale.data.importers.foxgo import FoxGo
from fedscale.data.notes import Notes
from fedscale.data.sgf import BLACK, PASS, SET, WHITE, Game, read_games
from fedscale.data.store import open_store
from fedscale.errors import DataError

REAL = Path(__file__).parents[3] / "shared" / "data" / "raw" / "foxgo"
HEAD = b"(;GM[1]FF[4]  SZ[19]  GN[]  PB[\xe8\x83\xe5ann]  PW[bob \\] two]BR[9\xe6]KM[375]HA[0]AP[GNU Go:3.8]RE[W+R]"
GAME = HEAD + b"AP[foxwq]RL[0]  ;B[pd];W[dp]C[not \\] here: ;W[aa\\]]  (;B[pp];W[];B[qd])(;B[cc];W[dd]))"
ANN, BOB = b"\xe8\x83\xe5ann", b"bob \\] two"


def read_game_of(content: bytes) -> Game:
    (game,) = read_games(content)
    return game


def at(letters: str) -> int:
    return (ord(letters[1]) - ord("a")) * 19 + ord(letters[0]) - ord("a")


def board(*moves: str) -> Board:
    """Play moves such as ``Bpd`` one after another."""
    position = Board()
    for move in moves:
        position.put("BW".index(move[0]), at(move[1:]) if move[1:] else PASS)
    return position


def imported(
    tmp_path: Path, games: dict[str, bytes], **options: bool
) -> tuple[dict[bytes, tuple[Any, list[int]]], Notes]:
    for name, content in games.items():
        (tmp_path / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "raw" / name).write_bytes(content)
    notes = Notes()
    FoxGo(raw=tmp_path / "raw", **options).write(tmp_path / "store", notes)
    dataset = open_store(tmp_path / "store")
    columns = [dataset.client(client).columns for client in range(len(dataset))]
    pairs = [(np.asarray(column["x"]), np.asarray(column["y"]).tolist()) for column in columns]
    return dict(zip(sorted([ANN, BOB], key=client_digest), pairs, strict=True)), notes


def test_moves_belong_to_those_who_make_them(tmp_path: Path) -> None:
    samples, notes = imported(tmp_path, {"9k/1.sgf": GAME})
    x, y = samples[ANN]
    assert y == [3 * 19 + 15, 15 * 19 + 15, 3 * 19 + 16]
    assert samples[BOB][1] == [15 * 19 + 3, 361]
    assert not x[0, :7].any()
    assert x[0, 7].all()
    third = x[2]  # black at pd and pp, white at dp, white has just passed
    assert [np.argwhere(third[plane]).tolist() for plane in range(7)] == [
        [[3, 15], [15, 15]],
        [[15, 3]],
        [],
        [],
        [[3, 15], [15, 3], [15, 15]],
        [],
        [],
    ]
    white = samples[BOB][0]
    assert not white[:, 7].any()
    assert [np.argwhere(white[0, plane]).tolist() for plane in (1, 4, 5)] == [[[3, 15]]] * 3
    assert notes.record() == {"read": 2, "skipped": {}, "told": []}


def test_what_is_left_out(tmp_path: Path) -> None:
    games = {
        "1.sgf": GAME,
        "nul.sgf": b"\0" * 500,
        "none.sgf": HEAD + b"AB[dd][pp];C[nothing played])",
        "anonymous.sgf": b"(;PB[]PW[" + BOB + b"];B[aa];W[bb])",
        "illegal.sgf": HEAD + b";B[aa];W[aa])",
    }
    samples, notes = imported(tmp_path, games)
    assert samples[BOB][1] == [15 * 19 + 3, 361, 20] or samples[BOB][1] == [20, 15 * 19 + 3, 361]
    assert notes.read == 10
    assert notes.skipped == {
        "a file of nothing, or of NUL bytes": 2,
        "a game without a move": 2,
        "a game with an illegal move": 2,
        "a player without a name": 1,
    }


def test_no_name_in_the_store(tmp_path: Path) -> None:
    imported(tmp_path, {"1.sgf": GAME})
    for path in (tmp_path / "store").iterdir():
        assert all(name not in path.read_bytes() for name in (ANN, BOB))


def test_handicap_stones_are_no_moves(tmp_path: Path) -> None:
    samples, _ = imported(tmp_path, {"1.sgf": HEAD + b"HA[2]AB[dd][pp];W[dp];B[pd];W[qq])"})
    assert samples[ANN][1] == [at("pd")]
    assert [np.argwhere(samples[BOB][0][0, plane]).tolist() for plane in (1, 5)] == [[[3, 3], [15, 15]], []]


def test_the_opening_bracket_may_be_missing() -> None:
    assert read_game_of(GAME[1:]).stones == read_game_of(GAME).stones


def test_a_handicap_that_is_written_as_moves(tmp_path: Path) -> None:
    samples, _ = imported(tmp_path, {"1.sgf": HEAD + b";B[dd];B[pp];B[pd];W[dp];B[qq];W[cc];B[];B[ab])"})
    assert samples[ANN][1] == [at("qq"), PASS, at("ab")]
    assert samples[BOB][0][0, [1, 5]].sum(axis=(1, 2)).tolist() == [3, 0]
    moves = read_game_of(HEAD + b";B[dd];W[dp];B[qq];B[pp])").stones
    assert [kind for kind, _ in moves] == [BLACK, WHITE, BLACK, BLACK]
    assert read_game_of(HEAD + b"AB[aa];B[dd];B[];W[dp])").stones[1][0] == BLACK


@pytest.mark.parametrize("between", [b"", b"\r\n \n"])
def test_games_of_one_file(tmp_path: Path, between: bytes) -> None:
    second = b"(;GM[1]SZ[19]PB[bob \\] two]PW[\xe8\x83\xe5ann];B[cc](;W[qq];B[dd])(;W[ab]))"
    samples, notes = imported(tmp_path, {"1.sgf": GAME + between + second + between})
    assert samples[ANN][1] == [at("pd"), at("pp"), at("qd"), at("qq")]
    assert samples[BOB][1] == [at("dp"), PASS, at("cc"), at("dd")]
    assert notes.read == 4
    with pytest.raises(ValueError, match=rf"byte {len(GAME) + 22}: B\[zz\] is no point"):
        read_games(GAME + b"(;GM[1]PB[ann]PW[bob]C[];B[zz])".replace(b"C[]", b""))


@pytest.mark.parametrize("says", [b"", b"CA[gb18030]", b"CA[GBK]"])
def test_halves_of_chinese_characters_are_no_brackets(says: bytes) -> None:
    for names in ("誠 二", "乗 誠", "乚 乚", "二 三", "乚 誠"):  # bytes d55c, 815c and 815d: backslashes and a bracket
        black, white = names.split()
        text = f"PB[{black}]PW[{white}];B[pd];W[dp])"
        if not says and names == "二 三":
            continue  # without a word or a sign, a name is its bytes
        game = read_game_of(b"(;GM[1]" + says + text.encode("gb18030"))
        assert (game.root[b"PB"].decode(), game.root[b"PW"].decode()) == (black, white)
        assert game.stones == [(BLACK, at("pd")), (WHITE, at("dp"))]


def test_a_byte_order_mark() -> None:
    assert read_game_of(b"\xef\xbb\xbf" + GAME).stones == read_game_of(GAME).stones


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "a file of nothing, or of NUL bytes"),
        (b"(;GM[2]PB[a]PW[b];B[pd])", "not Go on a board of 19 × 19"),
        (b"(;SZ[13]PB[a]PW[b];B[cc])", "not Go on a board of 19 × 19"),
        (b"(;SZ[25]PB[a]PW[b];B[xx])", "not Go on a board of 19 × 19"),
        (b"(;SZ[many]PB[a]PW[b];B[cc])", "not Go on a board of 19 × 19"),
    ],
)
def test_files_and_games_that_are_left_out(tmp_path: Path, content: bytes, reason: str) -> None:
    _, notes = imported(tmp_path, {"1.sgf": GAME, "2.sgf": content})
    assert notes.skipped == {reason: 2}
    assert notes.first[reason] == str(tmp_path / "raw" / "2.sgf")


def test_captures_in_the_corner() -> None:
    position = board("Baa", "Wba", "B", "Wab")
    assert position.colours[[0, 1, 19]].tolist() == [-1, WHITE, WHITE]
    assert position.liberties[[0, 1, 19]].tolist() == [0, 3, 3]


def test_chains_share_liberties() -> None:
    position = board("Bdd", "W", "Bed", "Wfd")
    assert position.liberties[[at("dd"), at("ed"), at("fd")]].tolist() == [5, 5, 3]
    position.put(BLACK, at("gd"))
    position.put(WHITE, at("ee"))
    assert position.liberties[[at("dd"), at("ed"), at("fd"), at("ee")]].tolist() == [4, 4, 2, 3]


def test_several_chains_are_captured_at_once() -> None:
    # white at ba and ab, each with its last liberty at aa or beyond; black plays aa after surrounding both
    position = board("Bca", "Wba", "Bbb", "Wab", "Bac", "W", "Baa")
    assert position.colours[[0, 1, 19]].tolist() == [BLACK, -1, -1]
    assert position.liberties[0] == 2
    assert position.ko is None


KO = ("Bdc", "Wec", "Bcd", "Wfd", "Bde", "Wee", "B", "Wdd", "Bed")
"""Black has taken one stone at dd by playing ed, which white could take back at once."""


def test_ko() -> None:
    position = board(*KO)
    assert position.colours[at("dd")] == -1
    assert position.ko == at("dd")
    assert np.argwhere(position.planes(WHITE)[6]).tolist() == [[3, 3]]
    with pytest.raises(IllegalMoveError, match="ko"):
        position.put(WHITE, at("dd"))
    position = board(*KO, "Wqq", "Bpp", "Wdd")  # later it may
    assert position.colours[at("ed")] == -1
    assert position.ko == at("ed")


def test_one_stone_for_one_is_no_ko_if_it_has_other_liberties() -> None:
    position = board("Bba", "Waa", "Bab")
    assert position.colours[0] == -1
    assert position.liberties[at("ab")] == 3
    assert position.ko is None


@pytest.mark.parametrize(
    ("moves", "why"),
    [
        (("Baa", "Waa"), "occupied"),
        (("Bba", "W", "Bab", "Waa"), "no liberty"),
        (("Bca", "Wba", "Bbb", "W", "Bab", "Waa"), "no liberty"),  # two stones at once
    ],
)
def test_illegal_moves(moves: tuple[str, ...], why: str) -> None:
    with pytest.raises(IllegalMoveError, match=why):
        board(*moves)


def agree(points: list[int]) -> None:
    """Play points, by both sides in turn, here and by sgfmill; where it refuses, we do."""
    boards = pytest.importorskip("sgfmill.boards")
    theirs, ours = boards.Board(19), Board()
    ko: tuple[int, int] | None = None
    for turn, point in enumerate(points):
        row, column = divmod(point, 19)
        if theirs.get(row, column) is not None or (row, column) == ko:
            with pytest.raises(IllegalMoveError):
                ours.put(turn % 2, point)
            return
        ko = theirs.play(row, column, "bw"[turn % 2])
        if theirs.get(row, column) is None:  # it lets stones take themselves
            with pytest.raises(IllegalMoveError, match="no liberty"):
                ours.put(turn % 2, point)
            return
        ours.put(turn % 2, point)
        assert ours.ko == (None if ko is None else ko[0] * 19 + ko[1])
        expected = [-1 if c is None else "bw".index(c) for r in theirs.board for c in r]
        assert ours.colours.tolist() == expected


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 29), min_size=10, max_size=60))
def test_rules_are_those_of_another_program(places: list[int]) -> None:
    agree([place // 5 * 19 + place % 5 for place in places])  # all in one corner, so that much is captured


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 24), min_size=20, max_size=200), st.randoms(use_true_random=False))
def test_liberties_are_the_empty_points_beside_a_chain(places: list[int], _: object) -> None:
    position = Board()
    for turn, place in enumerate(places):
        point = place // 5 * 19 + place % 5
        if position.colours[point] >= 0 or point == position.ko:
            continue
        try:
            position.put(turn % 2, point)
        except IllegalMoveError:
            return
        assert position.liberties.tolist() == counted(position.colours.tolist())


def counted(colours: list[int]) -> list[int]:
    """Liberties of each point's chain, by looking around from every stone anew."""
    result = [0] * 361
    for start in range(361):
        chain, reach, free = {start}, [start], set()
        while reach and colours[start] >= 0:
            for near in AROUND[reach.pop()]:
                if colours[near] == -1:
                    free.add(near)
                elif colours[near] == colours[start] and near not in chain:
                    chain.add(near)
                    reach.append(near)
        result[start] = len(free)
    return result


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"()", "no node"),
        (b"hello", "byte 0: 'hello' is neither a node nor a property"),
        (b"<html><body>404</body></html>", "byte 0: '<html>"),
        (b"\x1f\x8b\x08\x00rest", "byte 0"),
        (GAME[:40], "cut off at byte 40"),
        (GAME[:-25], "cut off at byte 154"),
        (HEAD + b";B[pd", "is neither a node nor a property"),
        (HEAD + b";B;W[dp])", "'B;W"),
        (HEAD + b";B[pz])", r"B\[pz\] is no point of the board"),
        (HEAD + b";B[p])", r"B\[p\] is no point"),
        (HEAD + b";B[pdd])", r"B\[pdd\] is no point"),
        (HEAD + b";B[pd][dp])", "B has 2 values, but a move is one"),
        (HEAD + b"AB[tt];W[dp])", r"AB\[tt\] is no point"),
        (HEAD + b";AE[pd];W[dp])", r"\(AE\)"),
        (b"(PB[ann];B[pd])", "property PB before the first node"),
    ],
)
def test_malformed(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        imported(tmp_path, {"good.sgf": GAME, "zbad.sgf": content})
    assert str(tmp_path / "raw" / "zbad.sgf") in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]
    _, notes = imported(tmp_path, {}, skip_damaged=True)
    assert notes.skipped == {"a file that cannot be read": 2}


def test_real_games(tmp_path: Path) -> None:
    if not REAL.is_dir():
        pytest.skip(f"{REAL} is not there")
    notes = Notes()
    FoxGo(raw=REAL).write(tmp_path / "store", notes)
    assert notes.record() == {"read": 76, "skipped": {}, "told": []}
    games = [read_game_of(path.read_bytes()) for path in REAL.rglob("*.sgf")]
    names = {game.root[key] for game in games for key in (b"PB", b"PW")}
    counts = open_store(tmp_path / "store").counts
    assert (len(games), len(names)) == (38, len(counts))
    assert counts.sum() == sum(kind < SET for game in games for kind, _ in game.stones)


def test_real_games_are_played_as_by_another_program() -> None:
    if not REAL.is_dir():
        pytest.skip(f"{REAL} is not there")
    boards = pytest.importorskip("sgfmill.boards")
    for path in sorted(REAL.rglob("*.sgf"))[::4]:
        theirs, ours = boards.Board(19), Board()
        for kind, point in read_game_of(path.read_bytes()).stones:
            ours.put(kind, point)
            if point != PASS:
                theirs.play(*divmod(point, 19), "bw"[kind % 2])
        assert ours.colours.tolist() == [-1 if c is None else "bw".index(c) for row in theirs.board for c in row]
