"""``vlog``: in which room a clip of somebody's video diary plays; who uploaded it is the client.

D. Fouhey, W. Kuo, A. Efros and J. Malik, "From Lifestyle Vlogs to Everyday Interactions", CVPR 2018 (arXiv:1712.02310).
The layout is that of the README in the owner's data_v1.1.tgz, and of github.com/dfouhey/VLOGToolkit.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fedscale.data.card import Card, Figures, RawFile
from fedscale.data.clips import VideoImporter
from fedscale.data.columns import to_arrow
from fedscale.data.images import encode_image, open_image
from fedscale.data.importing import Scanned
from fedscale.data.mapping import mapping_files, read_mapping
from fedscale.data.media import BATCH, content_of, path_column
from fedscale.data.notes import Notes
from fedscale.data.npy import read_integers
from fedscale.data.ragged import Ragged
from fedscale.data.rawfile import folders, found
from fedscale.data.rawjson import read_lines
from fedscale.errors import DataError
from fedscale.section import Component

Labels = Literal["scene", "proxemic", "hand_object", "hand_state"]

FILES: Final[dict[Labels, str]] = {
    "scene": "scene_category/scene_category_full.npy",
    "proxemic": "scene_proxemic/scene_proxemic_full.npy",
    "hand_object": "hand_object/hand_object.npy",
    "hand_state": "hand_state/hand_state.txt",
}
"""Where the labels are, beside the manifest."""

# fmt: off
NAMES: Final[dict[Labels, tuple[str, ...]]] = {
    "scene": ("bedroom", "kitchen", "bathroom", "living-room", "dining-room", "none-of-the-above"),
    "proxemic": ("intimate-space", "personal-space", "social-space", "public-space"),
    "hand_object": (
        "bag", "bed", "bedding", "book-or-papers", "bottle-tube", "bowl", "box", "brush", "cabinet", "cell-phone",
        "clothing", "cup", "door", "dresser-drawers", "food", "fork", "knife", "laptop", "microwave", "oven",
        "pen-or-pencil", "pillow", "plate", "refrigerator", "sink", "spoon", "stuffed-animal-or-doll", "table",
        "toothbrush", "towel",
    ),
    "hand_state": (
        "more-than-one-person", "one-person-both-hands-hidden", "inconclusive", "no-people",
        "one-person-one-hand-visible-and-not-touching-anything", "one-person-one-hand-visible-and-touching-something",
        "one-person-both-hands-visible-and-not-touching-anything",
        "one-person-both-hands-visible-and-only-one-touching-something",
        "one-person-both-hands-visible-and-touching-something",
    ),
}
# fmt: on
"""What each label stands for, in the order of the owner's files of names."""

_CLIP: Final = re.compile(r"([^/\s]+/){3}v_[^/\s]+/\d+")
_FRAME: Final = re.compile(
    r"(?P<clip>([^/\s]+/)*(?P<key>v_[^/\s]+/\d+))/(?P<name>frame_?\d+\.jpg)\s+\S+\s+(?P<label>[0-8])"
)

CARD: Final = Card(
    name="vlog",
    title="VLOG",
    description="in which room a clip of a video diary plays",
    task="classification",
    metric="accuracy",
    model=Component(name="video_cnn"),
    modality="video",
    classes=len(NAMES["scene"]),
    label_names=NAMES["scene"],
    sample_shape=(8, 3, 112, 112),
    decode=Component(name="frames"),
    client_is="uploader (a number in uploaderId.txt)",
    licence="the VLOG agreement (research; the videos belong to their uploaders)",
    terms="read the agreement at https://web.eecs.umich.edu/~fouhey/2017/VLOG/; videos are to be had from YouTube",
    source="D. Fouhey, https://web.eecs.umich.edu/~fouhey/2017/VLOG/",
    files=(RawFile(name="data_v1.1.tgz", url="https://cs.nyu.edu/~fouhey/2017/VLOG/data/data_v1.1.tgz"),),
    layout=(
        "manifest.txt (a line X/I/4/v_<id>/016/ for each clip) and, line by line beside it, uploaderId.txt and "
        "scene_category/scene_category_full.npy, scene_proxemic/scene_proxemic_full.npy (-1: not labelled), "
        "hand_object/hand_object.npy (clips, 30; 1 yes, -1 no, 0 inconclusive); hand_state/hand_state.txt (image, "
        "phase, label); clips <line>clip.mp4 or <line>frame000001.jpg, ...; or FedScale's client_data_mapping/*.csv"
    ),
    preprocessing="the frames in the middle of equal parts of a clip, below one another; clips without label left out",
    sample="x: uint8 (8, 3, 112, 112), frames; y: 0 to 5, the room",
    paper=Figures(clients=4_900, samples=9_600),
    citation="D. Fouhey et al.: From Lifestyle Vlogs to Everyday Interactions. CVPR 2018",
    verification="hand-made",
    verified=(
        "files made by hand in the layout of the owner's README; names of labels and forms of lines as in published "
        "copies of the owner's files"
    ),
)

VARIANTS: Final[dict[Labels, Mapping[str, Any]]] = {
    "scene": {},
    "proxemic": {"description": "how far away the nearest surface in a clip is", "sample": "y: 0 to 3, the distance"},
    "hand_object": {
        "description": "which of 30 kinds of objects hands touch in a clip",
        "task": "multilabel",
        "metric": "macro_ap",
        "sample": "x: uint8 (8, 3, 112, 112), frames; labels: uint8, numbers of objects",
    },
    "hand_state": {
        "description": "what hands do in a frame of a clip",
        "modality": "image",
        "model": Component(name="cnn"),
        "sample": "x: uint8 (3, 112, 112), a frame; y: 0 to 8, how many hands touch something",
    },
}
"""What a card says otherwise."""


@dataclass(frozen=True)
class Vlog(VideoImporter):
    """Clips of video diaries.

    Attributes:
        labels: what is asked of a clip: the room, the distance, the objects that hands touch; or, of single frames,
            what hands do.
    """

    labels: Labels = "scene"

    @property
    def card(self) -> Card:
        """Return the card for these labels."""
        names = NAMES[self.labels]
        changed = {**VARIANTS[self.labels], "classes": len(names), "label_names": names}
        card = self.sized(CARD.model_copy(update=changed))
        if self.labels != "hand_state":
            return card
        shape = (3, self.size, self.size)
        return card.model_copy(update={"sample_shape": shape, "decode": Component(name="image")})

    def scan(self, raw: Path, notes: Notes) -> Iterator[Scanned]:
        """Yield uploader, label and clip (or frame) of each that is labelled."""
        if self.labels == "scene" and not _manifests(raw) and mapping_files(raw):
            yield from _mapped(raw, notes)
            return
        owner = _Owner.of(raw, self.labels, notes)
        roots = _roots(raw, owner.clips)
        rows = _frames if self.labels == "hand_state" else _clips
        yield from rows(owner, roots, notes)

    def keep(self, path: Path) -> bytes:
        """Return what a store keeps of a clip, or of a frame."""
        if self.labels != "hand_state":
            return super().keep(path)
        return encode_image(open_image(content_of(path)), 2 * self.size)


@dataclass(frozen=True)
class _Owner:
    """The owner's lists: clips, who uploaded each, and where the labels are."""

    clips: Sequence[str]
    uploaders: Sequence[str]
    kind: Labels
    labels: Path

    @classmethod
    def of(cls, raw: Path, kind: Labels, notes: Notes) -> _Owner:
        manifests = _manifests(raw)
        folder = manifests[0].parent if manifests else raw
        wanted = ("manifest.txt", "uploaderId.txt", FILES[kind])
        if missing := [name for name in wanted if not (folder / name).is_file()]:
            present = sorted(str(path.relative_to(folder)) for path in found(folder, "*", "*/*"))[:5]
            raise DataError(
                f"{folder}: vlog lacks {', '.join(missing)}, which are in the owner's data_v1.1.tgz; "
                f"there is only {', '.join(present) or 'nothing'}"
            )
        clips = _lines(folder / "manifest.txt", _CLIP, "X/I/4/v_<id>/016/", notes)
        uploaders = _lines(folder / "uploaderId.txt", re.compile(r"\d+"), "a whole number", notes)
        _aligned(folder / "uploaderId.txt", len(uploaders), folder / "manifest.txt", len(clips))
        return cls(clips, uploaders, kind, folder / FILES[kind])


def _manifests(raw: Path) -> list[Path]:
    return found(raw, "manifest.txt", "*/manifest.txt", "*/*/manifest.txt")


def _mapped(raw: Path, notes: Notes) -> Iterator[Scanned]:
    """Yield the clips of FedScale's mapping files."""
    for part in read_mapping(raw, notes, ("client", "path", "label")):
        table, where = part.rows.table, part.rows.where
        clips = [name.rstrip("/") for name in table["path"].to_pylist()]
        told = table["label"].to_numpy()
        for row, (clip, label) in enumerate(zip(clips, told.tolist(), strict=True)):
            if not _CLIP.fullmatch(clip) or not -1 <= label < len(NAMES["scene"]):
                raise DataError(f"{where(row)}: {clip[:60]!r}, {label} is no clip X/I/4/v_<id>/016 and -1 to 5")
        notes.skip("a clip without label", where(int((told < 0).argmax())), int((told < 0).sum()))
        rows = np.flatnonzero(told >= 0)
        roots = _roots(raw, clips)
        paths = path_column([_clip(clips[row], roots) for row in rows])
        yield Scanned(part.clients.take(pa.array(rows)), pa.table({"y": pa.array(told[rows]), "path": paths}))


def _lines(path: Path, form: re.Pattern[str], like: str, notes: Notes) -> list[str]:
    lines = []
    for number, line in read_lines(path, notes):
        text = line.decode(errors="replace").rstrip("/")
        if not form.fullmatch(text) or ".." in text.split("/"):
            raise DataError(f"{path} line {number}: {text[:60]!r} is not like {like}")
        lines.append(text)
    return lines


def _aligned(path: Path, rows: int, beside: Path, lines: int) -> None:
    if rows != lines:
        raise DataError(f"{path}: {rows} rows, but {beside.name} has {lines}: they belong together line by line")


def _roots(raw: Path, clips: Sequence[str]) -> list[Path]:
    """Return the folders that clips may be in: those that have a folder with which a clip's path begins."""
    first = {clip.partition("/")[0] for clip in clips}
    near = folders(raw)
    return _beginning(near, first) or _beginning([inner for folder in near[1:] for inner in folders(folder)[1:]], first)


def _beginning(places: Sequence[Path], first: Collection[str]) -> list[Path]:
    return [place for place in places if any((place / name).is_dir() for name in first)]


def _clips(owner: _Owner, roots: Sequence[Path], notes: Notes) -> Iterator[Scanned]:
    many = owner.kind == "hand_object"
    told = read_integers(owner.labels, len(NAMES["hand_object"]) if many else None)
    _aligned(owner.labels, len(told), Path("manifest.txt"), len(owner.clips))
    _within(owner.labels, told, (-1, 1 if many else len(NAMES[owner.kind]) - 1))
    labelled = (told != 0).any(1) if many else told >= 0
    notes.read += len(told)
    if not labelled.all():
        notes.skip("a clip without label", f"{owner.labels} row {int(labelled.argmin()) + 1}", int((~labelled).sum()))
    rows = np.flatnonzero(labelled)
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        paths = path_column([_clip(owner.clips[row], roots) for row in part])
        known = _touched(told[part]) if many else told[part]
        name = "labels" if many else "y"
        yield Scanned(
            _strings([owner.uploaders[row] for row in part]), pa.table({name: to_arrow(known), "path": paths})
        )


def _within(path: Path, values: npt.NDArray[np.int64], bounds: tuple[int, int]) -> None:
    wrong = (values < bounds[0]) | (values > bounds[1])
    if wrong.any():
        row = int(np.flatnonzero(wrong.reshape(len(values), -1).any(1))[0])
        value = values[row][wrong[row]][0] if values.ndim > 1 else values[row]
        raise DataError(f"{path} row {row + 1}: {value} is not from {bounds[0]} to {bounds[1]}")


def _touched(told: npt.NDArray[np.int64]) -> Ragged:
    return Ragged.of([np.flatnonzero(row > 0) for row in told], np.uint8)


def _clip(clip: str, roots: Sequence[Path]) -> Path | None:
    for folder in (root / clip for root in roots):
        if (folder / "clip.mp4").is_file():
            return folder / "clip.mp4"
        if any((folder / name).is_file() for name in ("frame000001.jpg", "frame_000001.jpg")):
            return folder
    return None


def _frames(owner: _Owner, roots: Sequence[Path], notes: Notes) -> Iterator[Scanned]:
    """Yield the frames of hand_state.txt, mapped back to their clips by ``v_<id>/<number>``."""
    uploader = {"/".join(clip.split("/")[-2:]): who for clip, who in zip(owner.clips, owner.uploaders, strict=True)}
    numbered = read_lines(owner.labels, notes)
    while lines := list(itertools.islice(numbered, BATCH)):
        clients, labels, paths = [], [], []
        for number, line in lines:
            frame = _frame(line.decode(errors="replace"), f"{owner.labels} line {number}")
            notes.read += 1
            if frame["key"] not in uploader:
                notes.skip("a frame of no clip in the manifest", f"{owner.labels} line {number}")
                continue
            clients.append(uploader[frame["key"]])
            labels.append(int(frame["label"]))
            places = (root / frame["clip"] / frame["name"] for root in roots)
            paths.append(next((place for place in places if place.is_file()), None))
        yield Scanned(_strings(clients), pa.table({"y": pa.array(labels, pa.int64()), "path": path_column(paths)}))


def _frame(line: str, where: str) -> re.Match[str]:
    frame = _FRAME.fullmatch(line)
    if frame is None or ".." in frame["clip"].split("/"):
        raise DataError(f"{where}: {line[:80]!r} is not an image, a phase and a label from 0 to 8")
    return frame


def _strings(names: Sequence[str]) -> pa.Array:
    return pa.array(names, pa.large_string())
