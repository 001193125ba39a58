"""``chitchat``: the next word in what people said to each other in a chat; a participant is a client.

W. Myers, T. Etchart, N. Fulda, "Conversational Scaffolding: An Analogy-Based Approach to Response Prioritization in
Open-Domain Dialogs", ICAART 2020. A small Reddit that pip fetches.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from fedscale.data.card import Card, Figures
from fedscale.data.fetch import Wheel, download, opened, read_member
from fedscale.data.importing import Scanned
from fedscale.data.notes import Notes
from fedscale.data.rawfile import found, nothing
from fedscale.data.rawwhole import Member, read_members
from fedscale.data.texts import TEXT, VOCABULARY, NextWord, batches
from fedscale.data.words import RESERVED
from fedscale.errors import DataError
from fedscale.section import Component

WHEEL: Final = Wheel("chitchat_dataset", "0.9.0", "7bf89f36645e2d5ec87d53370c8e851b5a688479c7beb7079cb4c87fc5acea3e")
FILE: Final = "dataset.json"

CARD: Final = Card(
    name="chitchat",
    title="Chit-chat",
    description="the next word in what each participant of open conversations said",
    task="next_token",
    metric="perplexity",
    model=Component(name="word_lstm", embedding=32, hidden=96),
    modality="text",
    classes=VOCABULARY + len(RESERVED),
    client_is="participant (sender)",
    licence="MIT",
    source=f"{WHEEL.file} (Python package index), sha256 {WHEEL.sha256}",
    layout="dataset.json, or its wheel: {conversation: {messages: [[{text, timestamp, sender}, ...], ...]}}",
    preprocessing=(
        "words in lower case and marks of punctuation are tokens; a participant's messages are put end to end and cut "
        "into rows of 64 predictions"
    ),
    sample="tokens: uint16 (2 to 65,), each row beginning with the last token of the one before",
    citation="W. Myers, T. Etchart, N. Fulda: Conversational Scaffolding. ICAART 2020",
    counted=Figures(clients=1315, samples=47_793),
    verification="real",
    verified="sha256 of the package; 7,168 conversations, 258,145 messages, 1,315 participants",
)


@dataclass(frozen=True)
class Chitchat(NextWord):
    """The conversations, fetched by pip, or from the wheel or ``dataset.json`` in directory ``raw``."""

    @property
    def card(self) -> Card:
        """Return the card."""
        return CARD

    def write(self, path: Path, notes: Notes) -> None:
        """Fetch the conversations if they are not there, and write the store."""
        if self.raw is not None:
            super().write(path, notes)
            return
        with tempfile.TemporaryDirectory() as folder:
            raw = download(WHEEL, CARD.name, Path(folder))
            dataclasses.replace(self, raw=raw).write(path, notes)

    def scan(self, raw: Path, notes: Notes) -> Iterator[Scanned]:
        """Yield participants and messages."""
        yield from batches(_messages(raw, notes), {TEXT: pa.large_string()})


def _messages(raw: Path, notes: Notes) -> Iterator[tuple[str, str]]:
    if files := found(raw, FILE, f"*/{FILE}"):
        yield from _said(files[0], notes)
    elif WHEEL.within(raw).is_file():
        with opened(WHEEL, CARD.name, raw) as archive, tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / FILE
            path.write_bytes(read_member(archive, f"chitchat_dataset/{FILE}"))
            yield from _said(path, notes)
    else:
        raise nothing(raw, CARD.name, [WHEEL.file, FILE])


def _said(path: Path, notes: Notes) -> Iterator[tuple[str, str]]:
    for member in read_members(path, notes):
        if member.key == "messages":
            for turn in _listed(member, member.value):
                for message in _listed(member, turn):
                    yield from _message(member, message, notes)


def _message(member: Member, message: Any, notes: Notes) -> Iterator[tuple[str, str]]:
    found = message if isinstance(message, dict) else {}
    sender, text = found.get("sender"), found.get("text")
    if not isinstance(sender, str) or not sender or not isinstance(text, str):
        raise DataError(f"{member.where}: {str(message)[:60]!r} is no message with sender and text")
    notes.read += 1
    if text.strip():
        yield sender, text
    else:
        notes.skip("no text", member.where)


def _listed(member: Member, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise DataError(f"{member.where}: {str(value)[:60]!r} is no list of messages")
    return value
