"""``common_voice``: what is read aloud in a recording; a contributor is a client.

R. Ardila et al., "Common Voice: A Massively-Multilingual Speech Corpus", LREC 2020 (arXiv:1912.06670). Tables of all
versions so far are read: 1 to 4, 5 to 8, 9 to 12, 13 to 16 and later ones differ in columns that are not needed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Literal

import pyarrow as pa

from fedscale.data.card import Card, Figures
from fedscale.data.characters import spoken
from fedscale.data.importing import Scanned
from fedscale.data.manifests import manifests, scan_manifests
from fedscale.data.media import path_column
from fedscale.data.notes import Notes
from fedscale.data.rawcsv import Dialect, Rows, read_csv
from fedscale.data.rawfile import found, nothing
from fedscale.data.speech import ENGLISH, SpeechImporter
from fedscale.errors import DataError
from fedscale.section import Component

TABS: Final = Dialect(delimiter="\t", quoted=False)
"""Quotes in the tables are parts of sentences, and not always in pairs."""

COLUMNS: Final = dict.fromkeys(("client_id", "path", "sentence"), pa.large_string())

Table = Literal["validated", "train", "dev", "test", "other", "invalidated"]

CARD: Final = Card(
    name="common_voice",
    title="Mozilla Common Voice",
    description="what is read aloud in a recording, character by character",
    task="transcription",
    metric="wer",
    model=Component(name="ctc_gru"),
    modality="audio",
    classes=len(ENGLISH),
    vocabulary=ENGLISH,
    sample_shape=(0,),
    decode=Component(name="wave"),
    client_is="contributor (client_id)",
    licence="CC0 1.0",
    terms=(
        "choose a language and a version, give an address for mail and agree not to find out who the speakers are, at "
        "https://commonvoice.mozilla.org/datasets (later versions: https://datacollective.mozillafoundation.org), and "
        "unpack the archive"
    ),
    source="Mozilla Foundation, https://commonvoice.mozilla.org/datasets",
    layout=(
        "<version>/<language>/{validated,train,dev,test,other,invalidated}.tsv (client_id, path, sentence, ...; no "
        "quoting) and clips/*.mp3 beside them or one folder higher; reported.tsv names no contributor and is not read; "
        "or FedScale's archive: {train,test}.csv, or client_data_mapping/*.csv: the path of a recording, that of its "
        "transcript, and the client's number"
    ),
    preprocessing=(
        "every clip once, of the tables validated, train, dev and test (the last three are parts of the first); text "
        "in small letters without punctuation; MP3 stays as it is but for its tags, and is decoded to one channel at "
        "16 kHz; clips longer than the option seconds are left out"
    ),
    sample="x: int16 (16000 × seconds,), zeros behind the end; tokens: uint16, characters, 1 the first of the alphabet",
    paper=Figures(clients=12_976, samples=1_100_000),
    citation="R. Ardila et al.: Common Voice: A Massively-Multilingual Speech Corpus. LREC 2020",
    verification="real",
    verified=(
        "tables of versions 1-4 (Turkish), 6.1 (Abkhaz), 9-12 (Vietnamese) and 13-16 (Tamil, Persian), up to 60 rows "
        "each, and three clips; generated recordings in that layout; FedScale's archive made by hand, as the code that "
        "read it says (github.com/SymbioticLab/FedScale), which was never seen"
    ),
)


@dataclass(frozen=True)
class CommonVoice(SpeechImporter):
    """Sentences that contributors read aloud, in one language or several.

    Attributes:
        tables: which are read. ``other`` has not been listened to yet, ``invalidated`` was found wrong.
    """

    tables: tuple[Table, ...] = ("validated", "train", "dev", "test")

    @property
    def card(self) -> Card:
        """Return the card, with an English alphabet."""
        return self.sized(CARD)

    def scan(self, raw: Path, notes: Notes) -> Iterator[Scanned]:
        """Yield contributor, sentence and clip of each row."""
        paths = found(raw, *(f"{above}{table}.tsv" for table in self.tables for above in ("", "*/", "*/*/")))
        if not paths and (lists := manifests(raw)):
            yield from scan_manifests(lists, notes)
        elif not paths:
            others = sorted(path.name for path in found(raw, *(f"{above}*.tsv" for above in ("", "*/", "*/*/"))))
            hint = [f"another of {', '.join(others[:5])} by the option tables"] if others else []
            wanted = [", ".join(f"{table}.tsv" for table in self.tables), "FedScale's train.csv"]
            raise nothing(raw, CARD.name, [*wanted, *hint])
        for path in paths:
            for rows in read_csv(path, COLUMNS, notes, TABS):
                notes.read += len(rows.table)
                yield _scanned(rows)


def _scanned(rows: Rows) -> Scanned:
    names = rows.table["path"].to_pylist()
    for place, name in enumerate(names):
        if not name or ".." in PurePosixPath(name).parts or name.startswith("/"):
            raise DataError(f"{rows.where(place)}, column 'path': {name[:80]!r} is no name of a clip")
    clients = rows.table["client_id"]
    if "" in (known := clients.to_pylist()):
        raise DataError(f"{rows.where(known.index(''))}, column 'client_id': it is empty")
    table = pa.table(
        {
            "name": rows.table["path"],
            "text": pa.array(map(spoken, rows.table["sentence"].to_pylist()), pa.large_string()),
            "path": path_column(_clips(rows.path.parent, names)),
        }
    )
    return Scanned(clients.combine_chunks(), table)


def _clips(folder: Path, names: Sequence[str]) -> list[Path | None]:
    """Return where clips are; names in tables of the first version have no ending."""
    places = [place for place in (folder / "clips", folder.parent / "clips") if place.is_dir()]
    endings = [name if PurePosixPath(name).suffix else f"{name}.mp3" for name in names]
    return [next((place / name for place in places if (place / name).is_file()), None) for name in endings]
