"""Dividing texts into words, choosing vocabularies, cutting rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedscale import limits
from fedscale.data import words
from fedscale.data.ragged import Ragged
from fedscale.data.words import END, RESERVED, UNKNOWN

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=5)


def divided(text: str) -> list[str]:
    known = (*RESERVED,)
    row = words.divide(pa.array([text], pa.large_string()))
    tokens = words.number(row, known).values
    return [
        known[token] if token > UNKNOWN else word for token, word in zip(tokens.tolist(), row[0].as_py(), strict=True)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" \n\t ", ""),
        ("Don't STOP; it's 5.30!", "don't stop ; it's 5 . 30 !"),
        ("'quoted' O’Neil l'été", "' quoted ' o'neil l'été"),
        ("Ünïcode\u00a0naïve\u200bword", "ünïcode naïve word"),
        ("see https://a.b/c?d=e, www.x.org/y (or ftp://z)", "see <url> <url> ( or <url>"),
        ("mail me.you+x@some-where.co.uk now", "mail <email> now"),
        ("thanks @some_one, /u/an-other and u/third", "thanks <user> , <user> and <user>"),
        ("a@b menu/food 1@2", "a @ b menu / food 1 @ 2"),
        ("x\ue000y \ue001", "x y"),
        ("<url> <end>", "< url > < end >"),
        ("snake_case 100%", "snake _ case 100 %"),
        ("日本 e\u0301te\u0301", "日本 e\u0301te\u0301"),
    ],
)
def test_words_and_marks(text: str, expected: str) -> None:
    assert divided(text) == expected.split()


@settings(max_examples=30)
@given(TEXTS)
def test_texts_are_divided_each_by_itself(texts: list[str]) -> None:
    lists = words.divide(pa.array(texts, pa.large_string())).to_pylist()
    assert lists == [words.divide(pa.array([text], pa.large_string()))[0].as_py() for text in texts]
    for row in lists:
        assert not any(c.isspace() for word in row for c in word)
        assert all(row)


def counted(*clients: list[str]) -> pa.Table:
    """Count the words of clients, each with its texts."""
    texts = [text for own in clients for text in own]
    numbers = np.repeat(np.arange(len(clients)), [len(own) for own in clients])
    return words.count(words.divide(pa.array(texts, pa.large_string())), numbers)


def test_a_word_counts_once_per_client() -> None:
    table = counted(["a b a", "a c"], ["b b"], [""])
    assert dict(zip(*table.to_pydict().values(), strict=True)) == {"a": 1, "b": 2, "c": 1}


def test_words_of_one_client_are_in_no_vocabulary() -> None:
    tables = [counted(["secret secret b a"], ["a b c"]), counted(["c a @me " + "x" * 41], ["a", "x" * 41 + " @you"])]
    assert words.vocabulary(tables, 10) == (*RESERVED, "a", "b", "c")
    assert words.vocabulary(tables, 1) == (*RESERVED, "a")
    assert words.vocabulary([], 5) == RESERVED


@settings(max_examples=30)
@given(st.lists(st.lists(st.text("abcde ", max_size=12), max_size=3), min_size=1, max_size=6), st.integers(1, 5))
def test_the_vocabulary_does_not_depend_on_how_clients_are_grouped(clients: list[list[str]], cut: int) -> None:
    whole = words.vocabulary([counted(*clients)], 10)
    parts = [counted(*clients[start : start + cut]) for start in range(0, len(clients), cut)]
    assert words.vocabulary(parts, 10) == whole
    users = {letter: sum(letter in " ".join(own).split() for own in clients) for letter in "abcde"}
    singles = [word for word in whole[len(RESERVED) :] if len(word) == 1]
    assert set(singles) <= {letter for letter, number in users.items() if number >= 2}


def test_memory_for_counting_is_bounded_and_frequent_words_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "COUNTED_WORDS", 40)
    tables = [counted([f"often w{n} v{n} u{n}"], [f"often x{n} y{n}", "now"]) for n in range(100)]
    assert words.vocabulary(tables, 5)[len(RESERVED) :] == ("often", "now")


def test_numbers_of_words() -> None:
    known = (*RESERVED, "a", "b")
    texts = words.divide(pa.array(["b zz A", "", "@x http://y a@b.c"], pa.large_string()))
    rows = [row.tolist() for row in words.number(texts, known).rows()]
    assert rows == [[8, UNKNOWN, 7], [], [6, 4, 5]]
    assert words.number(texts, known).values.dtype == np.uint16
    assert words.smallest(1 << 16) == np.uint16
    assert words.smallest((1 << 16) + 1) == np.uint32


def test_windows_overlap_by_a_token() -> None:
    texts = Ragged.of([[11, 12], [13], [14, 15, 16, 17, 18], [19]], np.uint16)
    rows, counts = words.windows(texts, np.array([0, 0, 4, 5]), 3)
    assert counts.tolist() == [2, 2, 1]
    assert [row.tolist() for row in rows.rows()] == [
        [11, 12, END, 13],
        [13, END],
        [14, 15, 16, 17],
        [17, 18, END],
        [19, END],
    ]


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), min_size=1, max_size=8), st.integers(1, 6))
def test_every_token_but_the_first_is_predicted_once(texts: list[tuple[int, int]], length: int) -> None:
    texts = sorted(texts)
    clients = np.array([client for client, _ in texts])
    column = Ragged.of([np.full(size, 7 + client) for client, size in texts], np.uint16)
    rows, counts = words.windows(column, clients, length)
    assert len(rows) == counts.sum()
    assert rows.lengths.max() <= length + 1
    assert rows.lengths.min() >= 2
    for client, own in zip(np.unique(clients), np.split(np.arange(len(rows)), np.cumsum(counts)[:-1]), strict=True):
        total = sum(size + 1 for number, size in texts if number == client)
        assert (rows.lengths[own] - 1).sum() == total - 1


def test_bags_are_of_one_length() -> None:
    texts = Ragged.of([[7, 8, 9, 10], [], [7]], np.uint16)
    assert words.bags(texts, 3).tolist() == [[7, 8, 9], [0, 0, 0], [7, 0, 0]]
    assert words.bags(texts.take(slice(1, 3)), 2).tolist() == [[0, 0], [7, 0]]


def test_halves_of_characters_become_question_marks() -> None:
    assert words.strings(["a\ud83d", "b"]).to_pylist() == ["a?", "b"]
