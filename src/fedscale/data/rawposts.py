"""Reading the posts of a site of Stack Exchange's data dump: ``Posts.xml``, one ``<row .../>`` a line.

The attributes are those of https://meta.stackexchange.com/questions/2677 (schema documentation). A line holds a whole
row, so that memory does not grow with the file, and no document type is ever read: entities beyond XML's own five, with
which a few bytes could become many, do not exist here.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedscale.data.notes import Notes
from fedscale.data.rawjson import read_lines
from fedscale.errors import DataError

FRAME: Final = ("<?xml", "<posts", "</posts", "<!--")
"""How the lines begin that hold no row."""

_ATTRIBUTE: Final = re.compile(r'\s+([A-Za-z_][\w.-]*)\s*=\s*(?:"([^"<]*)"|\'([^\'<]*)\')')
_END: Final = re.compile(r"\s*(?:/>|>\s*</row>)$")
_ENTITY: Final = re.compile(r"&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|(\w+));|(&)")
_NAMED: Final = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
_TAG: Final = re.compile(r"<[^>]*>")
_CODE: Final = re.compile(r"<pre\b.*?</pre>", re.DOTALL)


@dataclass(frozen=True)
class Post:
    """A row: its attributes, and the place it comes from."""

    where: str
    values: Mapping[str, str]


def read_posts(path: Path, notes: Notes) -> Iterator[Post]:
    """Yield the rows of a file, which may be compressed.

    Raises:
        DataError: the file is absent, damaged, cut off, or a line is no row.
    """
    whole, rows = True, 0
    for number, line in read_lines(path, notes):
        where = f"{path} line {number}"
        text = _text(line.removeprefix(b"\xef\xbb\xbf"), where)
        if text.startswith("<row"):
            whole, rows = False, rows + 1
            yield Post(where, attributes(text, where))
        elif not text.startswith(FRAME):
            raise DataError(f"{where}: {text[:40]!r} is no <row .../>: a dump has one post on each line")
        elif text.startswith("</posts"):
            whole = True
    if not whole:
        raise DataError(f"{path}, after line {number}: cut off: no </posts> at its end")


def attributes(text: str, where: str) -> dict[str, str]:
    """Return the attributes of ``<row .../>``.

    Raises:
        DataError: it is no such thing.
    """
    values: dict[str, str] = {}
    place = len("<row")
    while match := _ATTRIBUTE.match(text, place):
        name, place = match[1], match.end()
        if name in values:
            raise DataError(f"{where}, attribute {name}: it is there twice")
        values[name] = _unescaped(match[2] if match[2] is not None else match[3], where, name)
    if not _END.match(text, place):
        raise DataError(f"{where}, after {place} characters: {text[place : place + 40]!r} is no attribute, and no />")
    return values


def prose(body: str) -> str:
    """Return what the HTML of a post says, without blocks of code."""
    return html.unescape(_TAG.sub(" ", _CODE.sub(" ", body)))


def tags_of(text: str) -> list[str]:
    """Return the tags of a question: ``<a><b>``, or ``|a|b|`` since 2024."""
    return [tag for tag in re.split(r"[<>|]+", text) if tag]


def _text(line: bytes, where: str) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8: {error.reason}") from None


def _unescaped(value: str, where: str, name: str) -> str:
    if "&" not in value:
        return value

    def character(match: re.Match[str]) -> str:
        decimal, hexadecimal, word, bare = match.groups()
        if bare or (word and word not in _NAMED):
            raise DataError(f"{where}, attribute {name}: {value[match.start() :][:20]!r} is none of XML's own entities")
        if word:
            return _NAMED[word]
        code = int(decimal) if decimal else int(hexadecimal, 16)
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise DataError(f"{where}, attribute {name}: {match[0]!r} is no character")
        return chr(code)

    return _ENTITY.sub(character, value)
