"""Texts as rows of characters, for what is spoken: transcription and synthesis.

A text is written small, without punctuation, in Unicode's composed form; words are one space apart. Token 0 is padding
(and the blank of a transcription); the others are the characters that occur, in the order of their code points.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from fedscale.data.ragged import Ragged

MOST: Final = 5_000
"""Characters of an alphabet at most: those that the most clients use."""

_WRITTEN: Final = ("L", "M", "N")
"""Unicode's categories that are kept: letters, marks on them, and numbers."""


class _Spoken(dict[int, str]):
    """What each character is written as; found out when it is first met."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        if character in "'’":
            text = "'"
        elif category == "Cf":  # joins letters of a word, or parts them, without being one
            text = ""
        else:
            text = character if category[0] in _WRITTEN else " "
        self[code] = text
        return text


_SPOKEN: Final = _Spoken()


def spoken(text: str) -> str:
    """Return a text as it is spoken: ``"Kırk, sekiz!"`` becomes ``"kırk sekiz"``."""
    composed = unicodedata.normalize("NFC", text.replace("İ", "i").lower())  # else a dot would stay behind
    return " ".join(composed.translate(_SPOKEN).split())


def alphabet(clients: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """Return the vocabulary of the texts of clients, padding first."""
    used: Counter[str] = Counter()
    for texts in clients:
        used.update(set("".join(texts)))
    most = sorted(used, key=lambda character: (-used[character], character))[:MOST]
    return ("", *sorted(most))


def tokens(texts: Sequence[str], vocabulary: Sequence[str]) -> Ragged:
    """Return texts as rows of tokens; characters that are not in the vocabulary are left out."""
    codes = np.array([ord(character) for character in vocabulary[1:]], np.uint32)
    return Ragged.of([_row(text, codes) for text in texts], np.uint16)


def _row(text: str, codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
    found = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    places = np.searchsorted(codes, found).clip(max=len(codes) - 1)
    row: npt.NDArray[np.int64] = places[codes[places] == found] + 1
    return row
