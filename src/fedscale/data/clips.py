"""Videos with labels: what the sets of videos have in common.

Rows have a column ``path`` (`fedscale.data.media.path_column`: a video file, or a folder of its frames) beside their
label or labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from fedscale.data.card import Card
from fedscale.data.columns import from_arrow
from fedscale.data.gather import Gather
from fedscale.data.importing import Importer, Load, Loaded
from fedscale.data.media import any_media, read_media
from fedscale.data.notes import Notes
from fedscale.data.ragged import take
from fedscale.data.rawfile import lacking
from fedscale.data.video import strip_of_folder, strip_of_video
from fedscale.section import Component, Positive

TOGETHER = 32
"""Videos that are read together."""


@dataclass(frozen=True)
class VideoImporter(Importer):
    """Videos, a few frames of each.

    Attributes:
        frames: frames of each video, spread evenly.
        size: pixels of their height and width; a multiple of 16 keeps JPEG's blocks of one frame apart from the next.
    """

    frames: Positive = 8
    size: Positive = 112

    parallel: ClassVar[bool] = True
    together: ClassVar[int | None] = TOGETHER

    def sized(self, card: Card) -> Card:
        """Return a card with as many frames of that size."""
        shape = (self.frames, 3, self.size, self.size)
        decode = Component(name="frames")
        return card.model_copy(update={"sample_shape": shape, "decode": decode, "x_scale": 1 / 255})

    def prepare(self, gather: Gather, notes: Notes) -> tuple[Card, Load]:
        """Return the card and how files are read; labels alone if there is no video."""
        if any_media(gather, self.clients):
            return self.card, self.load
        assert self.raw is not None
        notes.tell(lacking(self.raw, "videos"))
        return self.card.model_copy(update={"without": ("x",)}), labels

    def load(self, rows: pa.Table) -> Loaded:
        """Return strips of frames, and their labels."""
        media = read_media(rows["path"], "video", self.keep)
        told = {name: take(column, media.kept.nonzero()[0]) for name, column in labels(rows).columns.items()}
        return Loaded({"x": media.rows, **told}, media.kept, media.skipped)

    def keep(self, path: Path) -> bytes:
        """Return what a store keeps of the video at ``path``."""
        read = strip_of_folder if path.is_dir() else strip_of_video
        return read(path, self.frames, self.size, self.size)


def labels(rows: pa.Table) -> Loaded:
    """Return the columns with what is known of each video."""
    names = [name for name in ("y", "labels") if name in rows.column_names]
    return Loaded({name: from_arrow(rows.column(name).combine_chunks()) for name in names})
