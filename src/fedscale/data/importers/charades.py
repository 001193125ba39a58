"""``charades``: what somebody does at home; a person who filmed themselves is a client.

G. Sigurdsson et al., "Hollywood in Homes: Crowdsourcing Data Collection for Activity Understanding", ECCV 2016
(arXiv:1604.01753).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from fedscale.data.card import Card, Figures, RawFile
from fedscale.data.clips import VideoImporter
from fedscale.data.columns import to_arrow
from fedscale.data.gather import Gather
from fedscale.data.importing import Load, Scanned
from fedscale.data.media import path_column
from fedscale.data.notes import Notes
from fedscale.data.ragged import Ragged
from fedscale.data.rawcsv import Rows, read_csv
from fedscale.data.rawfile import folders, found, home, nothing
from fedscale.data.rawjson import read_lines
from fedscale.errors import DataError
from fedscale.section import Component

ACTIONS: Final = 157

COLUMNS: Final = dict.fromkeys(("id", "subject", "actions"), pa.large_string())

FOLDERS: Final = ("Charades_v1_rgb/{id}", "Charades_v1_480/{id}.mp4", "Charades_v1/{id}.mp4", "{id}.mp4")
"""Where a video may be: its frames at 24 per second, or its file, made smaller or as it was."""

_ACTION: Final = re.compile(r"c(?P<number>\d{3}) (?P<begin>-?\d+(\.\d+)?) (?P<end>-?\d+(\.\d+)?)")
_ID: Final = re.compile(r"\w+")

_OWNER: Final = "https://ai2-public-datasets.s3-us-west-2.amazonaws.com/charades/"

CARD: Final = Card(
    name="charades",
    title="Charades",
    description="which of 157 actions happen in a video of half a minute, filmed at home",
    task="multilabel",
    metric="macro_ap",
    model=Component(name="video_cnn"),
    modality="video",
    classes=ACTIONS,
    label_names=tuple(f"c{number:03d}" for number in range(ACTIONS)),
    sample_shape=(8, 3, 112, 112),
    decode=Component(name="frames"),
    client_is="person who is filmed (subject)",
    licence="Allen Institute for AI's licence for non-commercial use of Charades",
    terms="read the licence at https://prior.allenai.org/projects/charades before you fetch anything",
    source="Allen Institute for AI, https://prior.allenai.org/projects/charades",
    files=(
        RawFile(name="Charades.zip", url=f"{_OWNER}Charades.zip"),
        RawFile(name="Charades_v1_480.zip", url=f"{_OWNER}Charades_v1_480.zip"),
        RawFile(name="Charades_v1_rgb.tar", url=f"{_OWNER}Charades_v1_rgb.tar"),
    ),
    layout=(
        "Charades_v1_{train,test}.csv (id, subject, scene, ..., actions as `c092 11.90 21.20;c147 0.00 12.60`: class, "
        "begin and end in s), Charades_v1_classes.txt (optional, for names), and Charades_v1_rgb/<id>/<id>-000001.jpg, "
        "Charades_v1_480/<id>.mp4 or Charades_v1/<id>.mp4"
    ),
    preprocessing=(
        "the actions of a video, each once, whenever they happen; the frames in the middle of equal parts of it, each "
        "cut to a square, below one another in one JPEG"
    ),
    sample="x: uint8 (8, 3, 112, 112), frames; labels: uint8, numbers of actions, none if nothing happens",
    paper=Figures(clients=266, samples=10_000),
    citation="G. Sigurdsson et al.: Hollywood in Homes: Crowdsourcing Data Collection for Activity Understanding. 2016",
    verification="real",
    verified="200 rows of the training and 50 of the test table; generated videos and frames in the owner's layout",
)


@dataclass(frozen=True)
class Charades(VideoImporter):
    """Videos of everyday actions."""

    @property
    def card(self) -> Card:
        """Return the card."""
        return self.sized(CARD)

    def scan(self, raw: Path, notes: Notes) -> Iterator[Scanned]:
        """Yield person, actions and video of each row."""
        tables = ("Charades_v1_train*.csv", "Charades_v1_test*.csv")
        paths = found(raw, *(above + table for table in tables for above in ("", "*/")))
        if not paths:
            raise nothing(raw, CARD.name, ["Charades_v1_train.csv", "Charades_v1_test.csv"])
        roots = folders(raw)
        known: set[str] = set()
        for path in paths:
            for rows in read_csv(path, COLUMNS, notes):
                notes.read += len(rows.table)
                yield _scanned(rows, roots, known, notes)

    def prepare(self, gather: Gather, notes: Notes) -> tuple[Card, Load]:
        """Return the card, with the actions' names where there is a file of them, and how videos are read."""
        card, load = super().prepare(gather, notes)
        assert self.raw is not None
        paths = found(home(self.raw), "Charades_v1_classes.txt", "*/Charades_v1_classes.txt")
        return card.model_copy(update={"label_names": _names(paths[0], notes)}) if paths else card, load


def _scanned(rows: Rows, roots: Sequence[Path], known: set[str], notes: Notes) -> Scanned:
    """Return the rows of videos that are not ``known`` yet: a table may be there twice."""
    subjects = rows.table["subject"]
    names = rows.table["id"].to_pylist()
    for place, (name, subject) in enumerate(zip(names, subjects.to_pylist(), strict=True)):
        if not subject:
            raise DataError(f"{rows.where(place)}, column 'subject': it is empty")
        if not _ID.fullmatch(name):
            raise DataError(f"{rows.where(place)}, column 'id': {name[:40]!r} is no name of a video")
    actions = [_actions(text, rows.where(place)) for place, text in enumerate(rows.table["actions"].to_pylist())]
    new = []
    for place, name in enumerate(names):
        if name in known:
            notes.skip("told of before", rows.where(place))
        else:
            known.add(name)
            new.append(place)
    paths = path_column([_video(names[place], roots) for place in new])
    labels = to_arrow(Ragged.of([actions[place] for place in new], np.uint8))
    return Scanned(
        subjects.take(pa.array(new, pa.int64())).combine_chunks(), pa.table({"labels": labels, "path": paths})
    )


def _actions(text: str, where: str) -> list[int]:
    """Return the numbers of the actions that happen, sorted, each once."""
    numbers = set()
    for part in filter(None, text.split(";")):
        match = _ACTION.fullmatch(part)
        if match is None or int(match["number"]) >= ACTIONS:
            raise DataError(f"{where}, column 'actions': {part[:40]!r} is not like 'c092 11.90 21.20', c000 to c156")
        numbers.add(int(match["number"]))
    return sorted(numbers)


def _video(name: str, roots: Sequence[Path]) -> Path | None:
    return next((path for root in roots for at in FOLDERS if (path := root / at.format(id=name)).exists()), None)


def _names(path: Path, notes: Notes) -> tuple[str, ...]:
    """Return what the actions are called, from lines ``c000 Holding some clothes``."""
    names: dict[str, str] = {}
    for number, line in read_lines(path, notes):
        code, _, name = line.decode(errors="replace").partition(" ")
        if code != f"c{len(names):03d}" or not name:
            raise DataError(f"{path} line {number}: {line[:40]!r} is not 'c{len(names):03d}' and a name")
        names[code] = name
    if len(names) != ACTIONS:
        raise DataError(f"{path}: {len(names)} actions, not {ACTIONS}")
    return tuple(names.values())
