"""``europarl``: what members of the European Parliament said, in another language; a speaker is a client.

P. Koehn, "Europarl: A Parallel Corpus for Statistical Machine Translation", MT Summit 2005. The aligned files of its
releases name no speaker, so the tagged source files of both languages are aligned here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import pyarrow as pa
from pydantic import Field

from fedscale.data import words
from fedscale.data.bilingual import Bilingual, bilingual
from fedscale.data.card import Card, Figures, RawFile
from fedscale.data.gather import Gather
from fedscale.data.importing import Load, Loaded, Scanned
from fedscale.data.notes import Notes
from fedscale.data.proceedings import Speech, by_key, is_chair, pairs, read_speeches
from fedscale.data.rawfile import found, nothing
from fedscale.data.texts import TextImporter, batches, changed, count_words, numbered, vocabulary_of
from fedscale.errors import DataError
from fedscale.section import Component, Positive

COLUMNS: Final = ("source", "target")
ROWS: Final = dict.fromkeys(COLUMNS, pa.large_string())

VOCABULARY: Final = 20_000
"""Words of both languages together."""

FILE: Final = re.compile(r"ep-\d\d-\d\d-\d\d(?:-\w+)*\.(?:txt|xml)(?:\.gz)?")
FOLDERS: Final = ("", "txt/", "*/", "*/txt/", "*/raw/", "raw/")

Pair = Annotated[str, Field(pattern=r"^[a-z]{2}-[a-z]{2}$")]

CARD: Final = Card(
    name="europarl",
    title="Europarl",
    description="translating what speakers of the European Parliament said",
    task="translation",
    metric="bleu",
    model=Component(name="transformer"),
    modality="text",
    classes=VOCABULARY + len(words.RESERVED),
    client_is="speaker (NAME, whoever is in the chair left out)",
    licence="no copyright restrictions are known, its owner says",
    source="P. Koehn: https://www.statmt.org/europarl",
    files=(RawFile(name="europarl.tgz", url="https://www.statmt.org/europarl/v7/europarl.tgz"),),
    layout=(
        'txt/<language>/ep-YY-MM-DD(-NNN).txt with <CHAPTER ID=1>, <SPEAKER ID=3 LANGUAGE="FR" NAME="..."> and <P> '
        "between paragraphs; or OPUS's raw/<language>/ep-*.xml; the aligned files europarl-v7.fr-en.* name no speaker; "
        "or lists of FedScale's authors, {training,testing}.csv: ClientId, Source, Target; or FedScale's archive, "
        "en/en.csv and fr/fr.csv with a column client_id or with client_data_mapping/*.csv; its columns were never "
        "published"
    ),
    preprocessing=(
        "speeches are aligned by file, chapter and speaker's number, then paragraphs where there are as many in both "
        "languages, then sentences where there are as many, else the paragraph is one; other speeches, those of the "
        "chair, and samples of more than 128 words are left out; words in lower case and marks of punctuation of both "
        "languages have one vocabulary"
    ),
    sample="source, target: uint16 (1 to 128,), the words of a sentence or paragraph in either language",
    paper=Figures(clients=27_835, samples=1_200_000),
    citation="P. Koehn: Europarl: A Parallel Corpus for Statistical Machine Translation. MT Summit 2005",
    verification="real",
    verified=(
        "two real English source files (41 speakers beside the chair) and a stub of OPUS's files; pairs of languages "
        "made by hand; lists made by hand as the script that wrote such says (github.com/SymbioticLab/Oort); "
        "FedScale's archive made by hand: only the names of its files are known"
    ),
)


@dataclass(frozen=True)
class Europarl(TextImporter):
    """Speeches in two languages, or in one.

    Attributes:
        pair: the languages, from and to; French to English, or whatever two languages there are, into English.
        words: of a sample at most, where there are two languages.
        column: which one holds sentences in FedScale's ``en/en.csv`` and ``fr/fr.csv``, if that is in doubt.
    """

    vocabulary: Positive = VOCABULARY
    pair: Pair | None = None
    words: Positive = 128
    column: str | None = None

    @property
    def card(self) -> Card:
        """Return the card."""
        return CARD

    def scan(self, raw: Path, notes: Notes) -> Iterator[Scanned]:
        """Yield speakers and what they said, with nothing as the target where there is one language only."""
        if (archive := _archive(raw)) is not None:
            pair = self._known_pair(raw, archive.languages)
            yield from batches(archive.rows(*pair, self.column, notes), ROWS)
            return
        source, target = self._languages(raw)
        documents = not any(b"<SPEAKER" in _head(path) for path in source)
        if documents:
            notes.tell("no file names a speaker: a document is a client")
        if target is None:
            notes.tell("one language only: speakers and their words; statistics can be had, training cannot")
        rows = (row for path in source for row in _file(path, target, documents, notes))
        yield from batches(rows, ROWS)

    def prepare(self, gather: Gather, notes: Notes) -> tuple[Card, Load]:
        """Return the card with the vocabulary, and what makes rows of tokens."""
        assert self.raw is not None
        whole = _archive(self.raw) is not None or self._languages(self.raw)[1] is not None
        columns = COLUMNS if whole else COLUMNS[:1]
        count = functools.partial(count_words, columns=columns)
        known = vocabulary_of(gather.groups(self.clients, self.together), count, self.vocabulary, notes)
        card = changed(self.finished(known), without=() if whole else ("target",))
        return card, functools.partial(_rows, known, columns, self.words)

    def _languages(self, raw: Path) -> tuple[list[Path], dict[str, Path] | None]:
        """Return the files of the source, and those of the target by name, if there are any."""
        languages = _files(raw)
        if not languages:
            aligned = found(raw, "europarl-v*.??-??.*")
            why = f" ({aligned[0].name} and the like name no speaker)" if aligned else ""
            files = [f"txt/<language>/ep-YY-MM-DD.txt{why}", "OPUS's raw/<language>/ep-*.xml"]
            raise nothing(raw, CARD.name, [*files, "FedScale's en/en.csv and fr/fr.csv"])
        source, target = self._pair(sorted(languages))
        if source not in languages:
            source, target = target, source
        if source not in languages:
            raise DataError(f"{raw}: no files of {target} or {source}; it has {', '.join(sorted(languages))}: set pair")
        others = {path.name.split(".")[0]: path for path in languages.get(target, ())}
        return languages[source], others or None

    def _known_pair(self, raw: Path, there: Sequence[str]) -> tuple[str, str]:
        """Return two of the languages that are ``there``."""
        pair = self._pair(there)
        if missing := {*pair} - {*there}:
            raise DataError(f"{raw}: nothing of {' and '.join(sorted(missing))}; it has {', '.join(there)}: set pair")
        return pair

    def _pair(self, there: Sequence[str]) -> tuple[str, str]:
        if self.pair is not None:
            source, target = self.pair.split("-")
        elif {"fr", "en"} <= set(there) or len(there) > 2:
            source, target = "fr", "en"
        elif len(there) == 2:
            source, target = there if there[0] != "en" else reversed(there)
        else:
            source, target = there[0], "fr" if there[0] == "en" else "en"
        return source, target


def _archive(raw: Path) -> Bilingual | None:
    """Return FedScale's files, where there are none of the owner's."""
    return None if _files(raw) else bilingual(raw)


def _files(raw: Path) -> dict[str, list[Path]]:
    """Return the files of each language, from the first place where there are some; ``raw`` may be one of them."""
    if raw.is_file():
        return {raw.parent.name: [raw]} if FILE.fullmatch(raw.name) else {}
    for top in FOLDERS:
        languages: dict[str, list[Path]] = {}
        for path in sorted(raw.glob(f"{top}[a-z][a-z]/ep-*")):
            if FILE.fullmatch(path.name):
                languages.setdefault(path.parent.name, []).append(path)
        if languages:
            return languages
    here = [path for path in sorted(raw.glob("ep-*")) if FILE.fullmatch(path.name)]
    return {raw.name: here} if here else {}


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1 << 16) if path.suffix != ".gz" else b"<SPEAKER"


def _file(path: Path, others: dict[str, Path] | None, documents: bool, notes: Notes) -> Iterator[tuple[str, str, str]]:
    stem = path.name.split(".")[0]
    if others is not None and stem not in others:
        notes.skip("no such file in the other language", str(path))
        return
    speeches = read_speeches(path, notes)
    aligned = None if others is None else dict(by_key(read_speeches(others[stem], notes)))
    for key, speech in by_key(speeches):
        client = speech.name if speech.key[1] else stem if documents else None
        where = f"{path}, chapter {key[0]}, speaker {key[1] or 'none'}"
        notes.read += len(speech.texts)
        other = None if aligned is None else aligned.get(key)
        reason = _unusable(speech, client, other, paired=aligned is not None)
        if reason:
            notes.skip(reason, where, len(speech.texts))
        else:
            assert client is not None
            yield from ((client, *pair) for pair in _paired(speech, other))


def _paired(speech: Speech, other: Speech | None) -> Iterator[tuple[str, str]]:
    if other is None:
        return ((text, "") for text in speech.texts)
    return (pair for texts in zip(speech.texts, other.texts, strict=True) for pair in pairs(*texts))


def _unusable(speech: Speech, client: str | None, other: Speech | None, *, paired: bool) -> str | None:
    if client is None:
        return "said by nobody, or without a name"
    if is_chair(client) or (other is not None and other.name is not None and is_chair(other.name)):
        return "said from the chair"
    if paired and other is None:
        return "not in the other language"
    if other is not None and len(other.texts) != len(speech.texts):
        return "other paragraphs in the other language"
    return None


def _rows(known: Sequence[str], columns: Sequence[str], most: int, rows: pa.Table) -> Loaded:
    texts = {name: numbered(known, rows, name) for name in columns}
    some = np.logical_and.reduce([column.lengths > 0 for column in texts.values()])
    short = np.logical_and.reduce([column.lengths <= most for column in texts.values()]) | (len(columns) == 1)
    kept = some & short
    chosen = np.flatnonzero(kept)
    skipped = {"no word in it": int((~some).sum()), f"more than {most} words": int((some & ~short).sum())}
    return Loaded({name: column.take(chosen) for name, column in texts.items()}, kept, skipped)
