"""``speech_commands``: which of 35 words is said in a second of sound; a speaker is a client.

P. Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition", 2018 (arXiv:1804.03209); version
0.02. The picture that a model sees is the paper's: loudness in 32 mel bands and 32 frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Literal

import pyarrow as pa

from fedscale.data.card import Card, Figures, RawFile
from fedscale.data.gather import Gather
from fedscale.data.importing import Importer, Load, Loaded, Scanned
from fedscale.data.mapping import read_mapping
from fedscale.data.media import BATCH, TOGETHER, any_media, content_of, path_column, read_media, walked
from fedscale.data.notes import Notes
from fedscale.data.rawcsv import read_csv
from fedscale.data.rawfile import found, lacking, nothing
from fedscale.data.rawjson import read_lines
from fedscale.data.sound import keep_sound
from fedscale.errors import DataError
from fedscale.section import Component

# fmt: off
WORDS: Final = (
    "backward", "bed", "bird", "cat", "dog", "down", "eight", "five", "follow", "forward", "four", "go", "happy",
    "house", "learn", "left", "marvin", "nine", "no", "off", "on", "one", "right", "seven", "sheila", "six", "stop",
    "three", "tree", "two", "up", "visual", "wow", "yes", "zero",
)
# fmt: on

NOISE: Final = ("_background_noise_", "_silence_")
"""Folders of recordings in which nobody speaks."""

RATE: Final = 16_000

_IN_FOLDER: Final = re.compile(r"(?P<speaker>.+)_nohash_\d+\.wav")
_FLAT: Final = re.compile(r"(?P<word>[a-z]+)_(?P<speaker>.+)_nohash_\d+\.wav")

LISTS: Final = {"validation": "validation_list.txt", "test": "testing_list.txt"}

CARD: Final = Card(
    name="speech_commands",
    title="Google Speech Commands 0.02",
    description="which of 35 words a recording of a second holds",
    task="classification",
    metric="accuracy",
    model=Component(name="resnet34"),
    modality="audio",
    classes=len(WORDS),
    label_names=WORDS,
    sample_shape=(1, 32, 32),
    decode=Component(name="log_mel", rate=RATE),
    client_is="speaker (the hash in the file's name)",
    licence="CC BY 4.0",
    source="Google, http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
    files=(
        RawFile(
            name="speech_commands_v0.02.tar.gz",
            url="http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
            bytes=2_428_923_189,
            sha256="af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
            md5="6b74f3901214cb2c2934e98196829835",
        ),
    ),
    layout=(
        "<word>/<speaker's hash>_nohash_<number>.wav (16 bits, one channel, 16 kHz, mostly 1 s), "
        "_background_noise_/*.wav, validation_list.txt, testing_list.txt; or FedScale's {train,test}/<word>_<hash>_"
        "nohash_<number>.wav with client_data_mapping/*.csv; or its map of files to clients, clientDataMap, alone"
    ),
    preprocessing=(
        "kept as FLAC without loss; decoded to decibels below the loudest place in 32 mel bands (0 to 8 kHz) and 32 "
        "frames (window 2048, hop 512), from -80 dB at -1 to 0 dB at 1; nothing is augmented"
    ),
    split_rule="by client (the owner's lists, by the same hash, with the option part)",
    sample="x: float32 (1, 32, 32), decibels scaled to -1 to 1; y: 0 to 34, the word",
    paper=Figures(clients=2_618, samples=105_000),
    citation="P. Warden: Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition. arXiv:1804.03209, 2018",
    verification="real",
    verified=(
        "nine recordings of the archive in its layout, its two lists cut short, and FedScale's map of 103,171 files to "
        "2,187 speakers; trained on 3,000 real spoken digits rebuilt in the layout"
    ),
)


@dataclass(frozen=True)
class SpeechCommands(Importer):
    """Recordings of single words.

    Attributes:
        part: the owner's division by speaker, of which the lists of files tell; by default all.
    """

    part: Literal["all", "train", "validation", "test"] = "all"

    parallel: ClassVar[bool] = True
    together: ClassVar[int | None] = TOGETHER

    @property
    def card(self) -> Card:
        """Return the card."""
        return CARD

    def scan(self, raw: Path, notes: Notes) -> Iterator[Scanned]:
        """Yield speaker, word and file of each recording, or of each that a map names if there are none."""
        wanted = self._wanted(raw, notes)
        some = False
        for names, paths in _listed(raw, notes):
            some = some or bool(names)
            yield _scanned(names, paths, wanted, notes)
        if not some:
            raise nothing(raw, CARD.name, ["<word>/<hash>_nohash_<number>.wav", "a CSV file of `fedscale convert-map`"])

    def prepare(self, gather: Gather, notes: Notes) -> tuple[Card, Load]:
        """Return the card and how files are read; labels alone if there is no recording."""
        if any_media(gather, self.clients):
            return CARD, self.load
        assert self.raw is not None
        notes.tell(lacking(self.raw, "recordings"))
        return CARD.model_copy(update={"without": ("x",)}), labels

    def load(self, rows: pa.Table) -> Loaded:
        """Return recordings as FLAC, and their words."""
        media = read_media(rows["path"], "recording", _keep)
        return Loaded({"x": media.rows, "y": rows["y"].to_numpy()[media.kept]}, media.kept, media.skipped)

    def _wanted(self, raw: Path, notes: Notes) -> _Part:
        if self.part == "all":
            return _Part(set(), all_others=True)
        names = {key: found(raw, name, f"*/{name}", f"*/*/{name}") for key, name in LISTS.items()}
        if missing := [LISTS[key] for key, paths in names.items() if not paths]:
            raise DataError(f"{raw}: part is {self.part!r}, but there is no {' and no '.join(missing)}")
        lists = {key: _files_in(paths[0], notes) for key, paths in names.items()}
        if self.part == "train":
            return _Part(lists["validation"] | lists["test"], all_others=True)
        return _Part(lists[self.part], all_others=False)


@dataclass(frozen=True)
class _Part:
    """Which files are wanted: those ``listed``, or all others."""

    listed: set[tuple[str, str]]
    all_others: bool

    def has(self, word: str, name: str) -> bool:
        return ((word, name) in self.listed) != self.all_others


def labels(rows: pa.Table) -> Loaded:
    """Return words alone."""
    return Loaded({"y": rows["y"].to_numpy()})


def _keep(path: Path) -> bytes:
    return keep_sound(content_of(path), RATE)


def _files_in(path: Path, notes: Notes) -> set[tuple[str, str]]:
    """Return word and name of the files in one of the owner's lists."""
    files = set()
    for number, line in read_lines(path, notes):
        word, slash, name = line.decode(errors="replace").partition("/")
        if not slash or not _IN_FOLDER.fullmatch(name):
            raise DataError(f"{path} line {number}: {line[:60]!r} is not <word>/<hash>_nohash_<number>.wav")
        files.add((word, name))
    return files


Listed = tuple[Sequence[tuple[str, str]], Sequence[Path | None]]
"""Folder and name of some files, and where they are, if they are there."""


def _listed(raw: Path, notes: Notes) -> Iterator[Listed]:
    """Yield the recordings under ``raw``, then those that FedScale's maps name and that are not there."""
    there: set[str] = set()
    for folder, names in walked(raw):
        if folder.name in NOISE:
            continue
        recordings = [name for name in names if name.endswith(".wav")]
        there.update(recordings)
        notes.read += len(recordings)
        for start in range(0, len(recordings), BATCH):
            part = recordings[start : start + BATCH]
            yield [(folder.name, name) for name in part], [folder / name for name in part]
    for mapped in _mapped(raw, notes):
        absent = [("", name) for name in mapped if name not in there]
        yield absent, [None] * len(absent)


def _mapped(raw: Path, notes: Notes) -> Iterator[list[str]]:
    """Yield the names of files in FedScale's maps."""
    for mapping in read_mapping(raw, notes, ("path",)):
        yield [Path(name).name for name in mapping.rows.table["path"].to_pylist()]
    for path in found(raw, "*clientDataMap*.csv", "*/*clientDataMap*.csv"):
        for rows in read_csv(path, {"file": pa.large_string()}, notes):
            notes.read += len(rows.table)
            yield [Path(name).name for name in rows.table["file"].to_pylist()]


def _scanned(names: Sequence[tuple[str, str]], paths: Sequence[Path | None], part: _Part, notes: Notes) -> Scanned:
    speakers, words, kept = [], [], []
    for (folder, name), path in zip(names, paths, strict=True):
        match = _FLAT.fullmatch(name)
        if match is not None and match["word"] in WORDS:
            word, rest = match["word"], name.removeprefix(match["word"] + "_")
        else:
            match, word, rest = _IN_FOLDER.fullmatch(name), folder, name
        where = str(path or name)
        if match is None:
            notes.skip("not named <word>/<hash>_nohash_<number>.wav", where)
        elif word not in WORDS:
            notes.skip("a word that is not among the 35", where)
        elif part.has(word, rest):
            speakers.append(match["speaker"])
            words.append(WORDS.index(word))
            kept.append(path)
    table = pa.table({"y": pa.array(words, pa.int64()), "path": path_column(kept)})
    return Scanned(pa.array(speakers, pa.large_string()), table)
