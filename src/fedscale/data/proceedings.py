"""Reading Europarl's tagged source files, and the same proceedings as OPUS distributes them.

A line of a source file holds a mark or text: ``<CHAPTER ID=1>``, ``<SPEAKER ID=3 LANGUAGE="FR" NAME="...">``, ``<P>``.
In OPUS's files (``raw``) paragraphs are ``<P id="1">...</P>`` of sentences ``<s id="1">...</s>``. Numbers restart in
every file and are the same in all languages: they are what is aligned by.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fedscale.data.notes import Notes
from fedscale.data.rawfile import content_of
from fedscale.errors import DataError

_MARK: Final = re.compile(r"<\s*(/?)\s*(CHAPTER|SPEAKER|P|BRK)\b([^>\n]*)(>?)", re.IGNORECASE)
_OTHER: Final = re.compile(
    r"<SpeakerType>[^\n]*|<(?:/?s\b[^>]*|/?w\b[^>]*|/?document\b[^>]*|\?xml[^>]*|/?HEAD[^>]*|/?BODY[^>]*)>"
)
_ID: Final = re.compile(r'\bID\s*=\s*"?([\w.-]+)"?', re.IGNORECASE)
_NAME: Final = re.compile(r'\bNAME\s*=\s*"(.*)"', re.IGNORECASE)
_LAST: Final = re.compile(r'"?\s+(?:ID|LANGUAGE|AFFILIATION)\s*=.*$', re.IGNORECASE)
_BETWEEN: Final = re.compile(r"(?<!\b[A-Z])(?<!\bM[rs])(?<!\bMme)([.!?]+[\"')\]»]*)\s+(?=[\"'(\[«]*[^\W\d_a-zà-öø-ÿ])")

DAMAGE: Final = 20
"""Of so many characters beyond ASCII, one may be broken, as in the Polish ep-09-10-22-009.txt of release 7."""

CHAIR: Final = re.compile(
    r"(?:(?:the|le|la|der|die|el|il|o|a|de|ο|η) )?"
    r"(?:president|präsident(?:in)?|president[ea]|présidente?|voorzitter|formanden|puhemies|talmannen|πρόεδρος|předseda|"
    r"předsedající|przewodniczący|elnök|председател|juhataja|priekšsēdētājs|pirmininkas|predsednik|predsednica|"
    r"predsedajúci|preşedintele)"
)
"""What stands for the name of whoever is in the chair, which is not one person."""


@dataclass
class Speech:
    """What one speaker said at one time: paragraphs, as lists of lines.

    Attributes:
        key: the numbers of chapter and speaker, by which languages are aligned; the latter empty where nobody speaks.
        name: the speaker's, if there is one.
    """

    key: tuple[str, str]
    name: str | None
    paragraphs: list[list[str]] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        """The paragraphs that hold something."""
        joined = (" ".join(" ".join(lines).split()) for lines in self.paragraphs)
        return [text for text in joined if text]


def read_speeches(path: Path, notes: Notes) -> list[Speech]:
    """Return the speeches of a file in their order; what stands before the first speaker of a chapter is one, too.

    Raises:
        DataError: it is absent, no UTF-8, or has marks that are incomplete or where they cannot stand.
    """
    text = _content(path, notes)
    speeches: list[Speech] = []
    chapter, place = "", 0
    for mark in _MARK.finditer(text):
        _say(speeches, text[place : mark.start()])
        place = mark.end()
        closing, kind, inside = mark[1], mark[2].upper(), mark[3]
        where = f"{path} line {text.count(chr(10), 0, mark.start()) + 1}"
        if not mark[4]:
            raise DataError(f"{where}: {mark[0][:40]!r} has no >: damaged, or cut off")
        if kind == "P" and speeches:
            speeches[-1].paragraphs.append([])
        elif kind == "CHAPTER" and not closing:
            chapter = _number(inside, kind, where)
            speeches.append(Speech((chapter, ""), None, [[]]))
        elif kind == "SPEAKER" and closing:
            speeches.append(Speech((chapter, ""), None, [[]]))
        elif kind == "SPEAKER":
            if not speeches:
                raise DataError(f"{where}: a SPEAKER before the first CHAPTER")
            speeches.append(Speech((chapter, _number(inside, kind, where)), _name(inside), [[]]))
    _say(speeches, text[place:])
    if text.strip() and not speeches:
        raise DataError(f"{path}: no CHAPTER in it: it begins with {text.strip()[:30]!r}; files with marks are needed")
    return speeches


def is_chair(name: str) -> bool:
    """Say whether a name stands for whoever is in the chair."""
    return CHAIR.fullmatch(name.lower().strip(" .:-")) is not None


def sentences(text: str) -> list[str]:
    """Return the sentences of a paragraph, divided where a mark at an end precedes a capital."""
    return [part for part in _BETWEEN.sub(r"\1\n", text).split("\n") if part]


def pairs(source: str, target: str) -> list[tuple[str, str]]:
    """Return the sentences of a paragraph in two languages where there are as many, else the paragraph as one."""
    parts = sentences(source), sentences(target)
    return list(zip(*parts, strict=True)) if len(parts[0]) == len(parts[1]) else [(source, target)]


def _content(path: Path, notes: Notes) -> str:
    content = content_of(path, notes)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        text = content.decode("utf-8-sig", errors="replace")
        broken = text.count("\ufffd")
        if broken * DAMAGE > sum(character > "\x7f" for character in text):
            raise DataError(f"{path} line {line}: not UTF-8: {error.reason}") from None
        notes.tell(f"{path.name}: {broken} characters from line {line} on are no UTF-8 and became \ufffd")
        return text


def _say(speeches: list[Speech], text: str) -> None:
    if speeches and text.strip():
        speeches[-1].paragraphs[-1].append(html.unescape(_OTHER.sub(" ", text)).strip())


def _number(inside: str, kind: str, where: str) -> str:
    found = _ID.search(inside)
    if not found:
        raise DataError(f"{where}: a {kind} without a number: <{kind}{inside}>")
    return found[1].lstrip("0") or "0"


def _name(inside: str) -> str | None:
    """Return a speaker's name, in which there may be quotation marks."""
    found = _NAME.search(inside)
    if not found:
        return None
    return " ".join(_LAST.sub("", found[1] + '"').removesuffix('"').split()) or None


def by_key(speeches: list[Speech]) -> Iterator[tuple[tuple[str, str, int], Speech]]:
    """Yield speeches with their key, and how often it occurred before."""
    seen: dict[tuple[str, str], int] = {}
    for speech in speeches:
        times = seen.get(speech.key, 0)
        seen[speech.key] = times + 1
        yield (*speech.key, times), speech
