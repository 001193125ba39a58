"""Whole-file JSON, member by member."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedscale import limits
from fedscale.data import rawwhole
from fedscale.data.notes import Notes
from fedscale.data.rawwhole import Member, read_members
from fedscale.errors import DataError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


def members(path: Path, content: str | bytes) -> list[tuple[str, Any, Any]]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return [(member.field, member.key, member.value) for member in read_members(path, Notes())]


def expected(whole: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    out: list[tuple[str, Any, Any]] = []
    for field, value in whole.items():
        if isinstance(value, list):
            out += [(field, number, element) for number, element in enumerate(value)]
        elif isinstance(value, dict):
            out += [(field, name, element) for name, element in value.items()]
        else:
            out.append((field, None, value))
    return out


@given(whole=st.dictionaries(st.text(max_size=3), VALUES, max_size=4), chunk=st.integers(1, 9), indent=st.booleans())
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, whole: dict[str, Any], chunk: int, indent: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rawwhole, "CHUNK", chunk)
        text = json.dumps(whole, indent=2 if indent else None, ensure_ascii=not indent)
        assert members(tmp_path_factory.mktemp("json") / "a.json", text) == expected(whole)


def test_compressed_with_a_byte_order_mark(tmp_path: Path) -> None:
    content = gzip.compress(b"\xef\xbb\xbf" + b'{"a": [1, {"b": 2}]}\n')
    assert members(tmp_path / "a.json.gz", content) == [("a", 0, 1), ("a", 1, {"b": 2})]


def test_a_member_says_where_it_is() -> None:
    member = Member(Path("a.json"), "images", 7, {"id": 3, "name": "x", "flag": True})
    assert (member.where, member.get("id", int), member.get("name", str)) == ("a.json, images[7]", 3, "x")
    for field, kind in (("id", str), ("flag", int), ("none", str)):
        with pytest.raises(DataError, match=rf"a\.json, images\[7\], field '{field}'"):
            member.get(field, kind)
    with pytest.raises(DataError, match="5 is not an object"):
        Member(Path("a.json"), "images", 0, 5).get("id", int)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file ends where { should"),
        ("[1, 2]", r"'\[' stands where { should"),
        ("nothing", "'n' stands where { should"),
        ('{"a": [1, 2', r", a: the file ends where , or \] should"),
        ('{"a": [1, 2}', r", a: '}' stands where , or \] should"),
        ('{"a": [1 2]}', r", a: '2' stands where"),
        ('{"a": [1, {"b": ]}', r"a\[1\]: not JSON"),
        ('{"a": [1, {"b": 2', r"a\[1\]: not JSON, or cut off"),
        ('{"a": {"b": 1,}}', r", a: '}' stands where"),
        ('{"a": {"b" 1}}', r", a, 'b': '1' stands where : should"),
        ('{"a": {b: 1}}', r", a: 'b' stands where"),
        ('{"a": 1} {"a": 2}', "'{' after the end of its object"),
        ('{"a": [' + "[" * 100_000, r"a\[0\]: not JSON"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'{"a": "\xc3', "not UTF-8"),
        (b"\x00\x01", "stands where { should"),
        (gzip.compress(b'{"a": 1}'), "not UTF-8"),
    ],
)
def test_malformed(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        members(tmp_path / "a.json", text)
    assert str(tmp_path / "a.json") in str(caught.value)


def test_a_member_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RAW_LINE_BYTES", 1000)
    monkeypatch.setattr(rawwhole, "CHUNK", 100)
    with pytest.raises(DataError, match=r"a\[0\]: not JSON"):
        members(tmp_path / "a.json", '{"a": ["' + "x" * 10_000 + '"]}')


def test_damaged_compression(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.json\.gz: cannot be read"):
        members(tmp_path / "a.json.gz", gzip.compress(b'{"a": [1, 2, 3, 4]}')[:25])
