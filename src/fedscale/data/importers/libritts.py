"""``libritts``: how a sentence sounds when it is read aloud; a reader is a client.

H. Zen et al., "LibriTTS: A Corpus Derived from LibriSpeech for Text-to-Speech", Interspeech 2019 (arXiv:1904.02882).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from fedscale import limits
from fedscale.data.card import Card, Figures, RawFile
from fedscale.data.characters import spoken
from fedscale.data.importing import Scanned
from fedscale.data.media import BATCH, path_column, walked
from fedscale.data.notes import Notes
from fedscale.data.rawfile import nothing
from fedscale.data.speech import ENGLISH, SpeechImporter
from fedscale.section import Component

TEXTS: Final = (".normalized.txt", ".original.txt")
"""Endings of files with what is read; numbers and abbreviations are written out in the first."""

_SENTENCE: Final = re.compile(
    r"(?P<name>(?P<reader>\d+)_\d+_\d+_\d+)(?P<ending>\.wav|\.normalized\.txt|\.original\.txt)"
)

_ADDRESS: Final = "https://www.openslr.org/resources/60/"

ARCHIVES: Final = {
    "dev-clean": 1_291_469_655,
    "test-clean": 1_230_670_113,
    "train-clean-100": 7_723_686_890,
    "train-clean-360": 27_504_073_644,
    "train-other-500": 44_565_031_479,
}
"""Bytes of the owner's archives, as far as they are known here."""

CARD: Final = Card(
    name="libritts",
    title="LibriTTS",
    description="how a sentence sounds when it is read aloud, as a mel spectrogram",
    task="synthesis",
    metric="mel_l1",
    model=Component(name="mel_decoder"),
    modality="audio",
    classes=len(ENGLISH),
    vocabulary=ENGLISH,
    sample_shape=(0,),
    decode=Component(name="wave"),
    client_is="reader (the first number of a file's name)",
    licence="CC BY 4.0",
    source="OpenSLR 60, https://www.openslr.org/60/",
    files=tuple(
        RawFile(
            name=f"{name}.tar.gz",
            url=f"{_ADDRESS}{name}.tar.gz",
            bytes=size,
            md5="2c05cecece06364326d57678c8791e82" if name == "train-clean-100" else None,
        )
        for name, size in ARCHIVES.items()
    ),
    layout=(
        "LibriTTS/<part>/<reader>/<chapter>/<reader>_<chapter>_<paragraph>_<sentence>.wav (16 bits, one channel, 24 "
        "kHz), .normalized.txt and .original.txt beside it"
    ),
    preprocessing=(
        "kept as FLAC of 16 bits at 16 kHz; text (normalized, else original) in small letters without punctuation; "
        "recordings longer than the option seconds are left out"
    ),
    sample="x: int16 (16000 × seconds,), zeros behind the end; tokens: uint16, characters, 1 the first of the alphabet",
    paper=Figures(clients=2_456, samples=37_000),
    citation="H. Zen et al.: LibriTTS: A Corpus Derived from LibriSpeech for Text-to-Speech. Interspeech 2019",
    verification="real",
    verified="two recordings with their texts; generated recordings in that layout",
)


@dataclass(frozen=True)
class LibriTTS(SpeechImporter):
    """Sentences of audiobooks."""

    @property
    def card(self) -> Card:
        """Return the card, with an English alphabet."""
        return self.sized(CARD)

    def scan(self, raw: Path, notes: Notes) -> Iterator[Scanned]:
        """Yield reader, text and recording of each sentence."""
        some = False
        for folder, names in walked(raw):
            sentences = _sentences(names)
            some = some or bool(sentences)
            notes.read += len(sentences)
            listed = sorted(sentences)
            for start in range(0, len(listed), BATCH):
                yield _scanned(folder, listed[start : start + BATCH], sentences, notes)
        if not some:
            raise nothing(raw, CARD.name, ["LibriTTS/<part>/<reader>/<chapter>/<sentence>.wav"])


def _sentences(names: Sequence[str]) -> dict[str, set[str]]:
    """Return which files there are of each sentence of a chapter, by their endings."""
    sentences: dict[str, set[str]] = {}
    for name in names:
        if match := _SENTENCE.fullmatch(name):
            sentences.setdefault(match["name"], set()).add(match["ending"])
    return sentences


def _scanned(folder: Path, names: Sequence[str], files: dict[str, set[str]], notes: Notes) -> Scanned:
    texts = [_text(folder, name, files[name]) for name in names]
    kept = [place for place, text in enumerate(texts) if text is not None]
    if len(kept) < len(names):
        first = next(name for name, text in zip(names, texts, strict=True) if text is None)
        notes.skip("no text that can be read", str(folder / first), len(names) - len(kept))
    there = [names[place] for place in kept]
    table = pa.table(
        {
            "name": pa.array(there, pa.large_string()),
            "text": pa.array([texts[place] for place in kept], pa.large_string()),
            "path": path_column([folder / f"{name}.wav" if ".wav" in files[name] else None for name in there]),
        }
    )
    return Scanned(pa.array([name.partition("_")[0] for name in there], pa.large_string()), table)


def _text(folder: Path, name: str, endings: set[str]) -> str | None:
    """Return what is read, as it is spoken; ``None`` if there is no file of it, or one that is no text."""
    ending = next((ending for ending in TEXTS if ending in endings), None)
    if ending is None:
        return None
    try:
        with (folder / f"{name}{ending}").open("rb") as file:
            return spoken(file.read(limits.RAW_LINE_BYTES).decode())
    except (OSError, UnicodeDecodeError):
        return None
