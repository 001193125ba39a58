"""TensorFlow Federated's databases, and the messages in them."""

from __future__ import annotations

import lzma
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_raw import database, tf_example

from fedscale.data.notes import Notes
from fedscale.data.tfexample import read_example
from fedscale.data.tffdatabase import Example, read_examples
from fedscale.errors import DataError

GOOD = tf_example(label=[7], pixels=[0.5, 1.0], name=b"x")


def test_a_message_by_hand() -> None:
    # Example { features { feature { key: "a" value { int64_list { value: [1, 300] } } } } }
    content = b"\x0a\x0e\x0a\x0c\x0a\x01a\x12\x07\x1a\x05\x0a\x03\x01\xac\x02"
    features = read_example(content)
    assert features["a"].tolist() == [1, 300]  # type: ignore[union-attr]


def test_numbers_written_one_by_one() -> None:
    value = b"\x1a\x04\x08\x05\x08\x06"  # int64_list { value: 5 value: 6 }
    entry = b"\x0a\x01a\x12" + bytes([len(value)]) + value
    feature = b"\x0a" + bytes([len(entry)]) + entry
    assert read_example(b"\x0a" + bytes([len(feature)]) + feature)["a"].tolist() == [5, 6]  # type: ignore[union-attr]


def test_numbers_of_more_than_64_bits_lose_the_others() -> None:
    number = b"\xff" * 9 + b"\x7f"  # ten times seven bits
    value = b"\x1a" + bytes([len(number) + 1]) + b"\x08" + number
    entry = b"\x0a\x01a\x12" + bytes([len(value)]) + value
    feature = b"\x0a" + bytes([len(entry)]) + entry
    assert read_example(b"\x0a" + bytes([len(feature)]) + feature)["a"].tolist() == [-1]  # type: ignore[union-attr]


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1)), st.lists(st.floats(width=32, allow_nan=False)), st.binary(max_size=300)
)
def test_what_is_written_is_read(integers: list[int], floats: list[float], content: bytes) -> None:
    message = tf_example(i=np.array(integers, np.int64), f=np.array(floats, np.float32), b=content)
    features = read_example(message)
    assert features["i"].tolist() == integers  # type: ignore[union-attr]
    assert features["f"].tolist() == floats  # type: ignore[union-attr]
    assert features["b"] == [content]


@given(st.binary(max_size=60), st.integers(0, len(GOOD)))
def test_garbage_is_refused_or_read(content: bytes, cut: int) -> None:
    for message in (content, GOOD[:cut], GOOD[:cut] + content):
        try:
            read_example(message)
        except ValueError:  # which a database's reader turns into a DataError
            continue


def read(path: Path, **options: Any) -> list[Example]:
    return list(read_examples(path, Notes(), **options))


def test_rows_of_chosen_splits(tmp_path: Path) -> None:
    database(tmp_path / "a b.sqlite", [("train", "u1", GOOD), ("test", "u2", GOOD), ("train", 3, GOOD)])
    rows = read(tmp_path / "a b.sqlite", choose=lambda splits: [split for split in splits if split == "train"])
    assert [(row.split, row.client) for row in rows] == [("train", "u1"), ("train", "3")]
    assert rows[1].where == f"{tmp_path / 'a b.sqlite'}, table examples row 3"
    assert rows[0].features["label"].tolist() == [7]  # type: ignore[union-attr]
    assert len(read(tmp_path / "a b.sqlite")) == 3


def raw_database(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def of_rows(*rows: tuple[Any, Any, Any]) -> Callable[[Path], None]:
    return lambda path: database(path, rows)


def changed(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        database(path, [("train", f"u{number}", GOOD * 40) for number in range(200)])
        path.write_bytes(change(path.read_bytes()))

    return make


def without(column: str) -> Callable[[Path], None]:
    columns = [name for name in ("split_name", "client_id", "serialized_example_proto") if name != column]
    return lambda path: raw_database(path, f"CREATE TABLE examples ({', '.join(columns)})")


MALFORMED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no table": (lambda path: raw_database(path, "CREATE TABLE other (a)"), "has no column split_name, client_id"),
    "no split": (without("split_name"), "its table examples has no column split_name$"),
    "no client": (without("client_id"), "its table examples has no column client_id$"),
    "no message": (without("serialized_example_proto"), "has no column serialized_example_proto$"),
    "client missing": (of_rows(("train", None, GOOD)), "row 1: client_id is missing"),
    "message missing": (of_rows(("train", "u", None)), "row 1: .* is no bytes"),
    "message of text": (of_rows(("train", "u", GOOD), ("train", "u", "text")), "row 2: .* is no bytes"),
    "message cut": (of_rows(("train", "u", GOOD[:-3])), "row 1, column serialized_example_proto: no tf.train.Example"),
    "message of noise": (of_rows(("train", "u", b"\xff" * 9)), "no tf.train.Example"),
    "name of noise": (of_rows(("train", "u", b"\x0a\x05\x0a\x03\x0a\x01\xff")), "no tf.train.Example"),
    "floats cut": (
        of_rows(("train", "u", b"\x0a\x0a\x0a\x08\x12\x06\x12\x04\x0a\x02ab")),
        "a list of floats is cut off",
    ),
    "empty": (lambda path: path.write_bytes(b""), "has no column split_name"),
    "noise": (lambda path: path.write_bytes(b"noise" * 99), "not an SQLite database, or damaged"),
    "cut": (changed(lambda content: content[: len(content) // 2]), "not an SQLite database, or damaged"),
    "cut in the header": (changed(lambda content: content[:50]), "not an SQLite database, or damaged"),
    "overwritten": (changed(lambda content: content[:8192] + b"\xa5" * (len(content) - 8192)), "damaged"),
    "an archive": (lambda path: path.write_bytes(lzma.compress(GOOD)), "not an SQLite database"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(tmp_path: Path, case: str) -> None:
    make, message = MALFORMED[case]
    make(tmp_path / "a.sqlite")
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path / "a.sqlite")
    assert str(caught.value).startswith(str(tmp_path / "a.sqlite"))


def test_absent_or_badly_packed(tmp_path: Path) -> None:
    for name in ("none.sqlite", "none.sqlite.lzma"):
        with pytest.raises(DataError, match="no such file"):
            read(tmp_path / name)
    for content in (b"noise", lzma.compress(b"x" * 999)[:30]):
        (tmp_path / "a.sqlite.lzma").write_bytes(content)
        with pytest.raises(DataError, match=r"a\.sqlite\.lzma: cannot be unpacked"):
            read(tmp_path / "a.sqlite.lzma")
