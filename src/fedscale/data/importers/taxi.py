"""``taxi``: where a taxi in Porto is going, from the first half of its way; a taxi is a client.

L. Moreira-Matias et al., "Predicting Taxi-Passenger Demand Using Streaming Data", IEEE Transactions on Intelligent
Transportation Systems 14 (3), 2013; the data of the ECML/PKDD 2015 challenge (UCI Machine Learning Repository,
"Taxi Service Trajectory"). The inputs are those of the challenge's winner: the first and the last five points of the
part of the way that is known, and the time (A. de Brébisson et al., "Artificial Neural Networks Applied to Taxi
Destination Prediction", 2015).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from fedscale import limits
from fedscale.data.card import Card, Figures, RawFile
from fedscale.data.columns import to_arrow
from fedscale.data.importing import Importer, Scanned
from fedscale.data.notes import Notes
from fedscale.data.rawcsv import Dialect, Rows, divided, read_csv
from fedscale.data.rawfile import found, nothing, opened
from fedscale.errors import DataError
from fedscale.section import Component

POINTS: Final = 5
"""Points taken from either end of what is known of a way."""

CENTRE: Final = (-8.62, 41.16)
"""Longitude and latitude to which inputs are relative, the middle of Porto."""

DEGREES: Final = 0.05
"""Degrees that count as 1 in an input."""

SHORTEST: Final = 4
"""Points that a trip must have: less is no way (a point every 15 s)."""

TRUTHS: Final = ("true", "false")

COLUMNS: Final = {
    "TAXI_ID": pa.large_string(),
    "TIMESTAMP": pa.int64(),
    "MISSING_DATA": pa.large_string(),
    "POLYLINE": pa.large_string(),
}

CARD: Final = Card(
    name="taxi",
    title="Porto taxi trajectories",
    description="where a trip will end, from the first half of its points and the time it began",
    task="regression",
    metric="haversine",
    model=Component(name="coordinates_mlp", center=list(CENTRE[::-1]), scale=DEGREES),
    modality="tensor",
    sample_shape=(4 * POINTS + 4,),
    target_shape=(2,),
    client_is="taxi (TAXI_ID)",
    licence="CC BY 4.0",
    source="UCI Machine Learning Repository, data set 339: Taxi Service Trajectory, ECML PKDD 2015",
    files=(RawFile(name="train.csv"),),
    terms="download train.csv from https://archive.ics.uci.edu/dataset/339",
    layout=(
        "train.csv, every value in quotes: TRIP_ID (not unique), CALL_TYPE, ORIGIN_CALL, ORIGIN_STAND, TAXI_ID, "
        "TIMESTAMP (s, UTC), DAY_TYPE, MISSING_DATA (True or False), POLYLINE ([[longitude, latitude], ...], one point "
        "every 15 s); or FedScale's archive: train/<taxi>.csv, in which the number of the row stands before these"
    ),
    preprocessing=(
        f"trips with missing data or fewer than {SHORTEST} points are left out; the first half of the points is known, "
        f"and its first and last {POINTS} points are the input, in units of {DEGREES} degrees from the city's middle, "
        "with sine and cosine of the hour of day and of the day of the week"
    ),
    sample=f"x: float32 ({4 * POINTS + 4},); y: float32 (2,), latitude and longitude of the last point in degrees",
    paper=Figures(clients=442, samples=1_700_000),
    citation="L. Moreira-Matias et al.: Predicting Taxi-Passenger Demand Using Streaming Data. IEEE T-ITS 14 (3), 2013",
    verification="real",
    verified="the header and two rows as quoted in public documents; more rows made by hand in that layout",
)


@dataclass(frozen=True)
class Taxi(Importer):
    """Trips by taxi, from ``train.csv``."""

    @property
    def card(self) -> Card:
        """Return the card."""
        return CARD

    def scan(self, raw: Path, notes: Notes) -> Iterator[Scanned]:
        """Yield taxis, times and ways of the trips that are complete."""
        paths = found(raw, "train.csv", "*/train.csv") or found(raw, *(f"{above}train/*.csv" for above in ("", "*/")))
        if not paths:
            raise nothing(raw, CARD.name, ["train.csv (the trips of test.csv end before their destination)"])
        for path in paths:
            for block in read_csv(path, COLUMNS, notes, _dialect(path, notes)):
                notes.read += len(block.table)
                block.refuse("TAXI_ID", pc.equal(block.table["TAXI_ID"], ""), "a taxi")
                ways = _ways(block)
                missing = pc.utf8_lower(block.table["MISSING_DATA"])
                block.refuse(
                    "MISSING_DATA", pc.invert(pc.is_in(missing, pa.array(TRUTHS, missing.type))), "True or False"
                )
                whole = np.array(missing) != TRUTHS[0]
                long = ways.counts >= SHORTEST
                _note(notes, "missing data", block, ~whole)
                _note(notes, f"fewer than {SHORTEST} points", block, whole & ~long)
                kept = np.flatnonzero(whole & long)
                times = block.table["TIMESTAMP"].to_numpy()[kept]
                yield Scanned(block.table["TAXI_ID"].take(pa.array(kept)), _samples(ways, kept, times))


def _dialect(path: Path, notes: Notes) -> Dialect:
    """Return how a file is written: FedScale's script put the number of each row before what the header names."""
    with opened(path, notes) as stream:
        try:
            header, first = (len(divided(path, stream.readline(limits.RAW_LINE_BYTES), Dialect())) for _ in range(2))
        except (OSError, DataError):
            return Dialect()  # reading it will say what is wrong
    return Dialect(unnamed=int(first == header + 1))


def _note(notes: Notes, reason: str, block: Rows, rows: npt.NDArray[np.bool_]) -> None:
    if rows.any():
        notes.skip(reason, block.where(int(rows.argmax())), int(rows.sum()))


def _samples(ways: Ways, rows: npt.NDArray[Any], times: npt.NDArray[Any]) -> pa.Table:
    """Return inputs and destinations of chosen trips: the ends of a way's known half, repeated where it is short."""
    begins, counts, places = ways.begins[rows, None], ways.counts[rows, None], np.arange(POINTS)
    known = (counts + 1) // 2
    first, last = np.minimum(places, known - 1), np.maximum(known - POINTS + places, 0)
    ends = (ways.points[begins + np.hstack([first, last])] - CENTRE) / DEGREES
    x = np.hstack([ends.reshape(len(rows), 4 * POINTS).astype(np.float32), _clock(times)])
    y = ways.points[(begins + counts)[:, 0] - 1, ::-1].astype(np.float32)
    return pa.table({"x": to_arrow(x), "y": to_arrow(y)})


@dataclass(frozen=True)
class Ways:
    """Ways one after another: ``points`` (all, 2), longitude and latitude, and how many of them each way has."""

    points: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]

    @property
    def begins(self) -> npt.NDArray[np.int64]:
        """The place of each way's first point."""
        return np.cumsum(self.counts) - self.counts


def _ways(block: Rows) -> Ways:
    texts = block.table["POLYLINE"].combine_chunks()
    if (ways := _all_at_once(texts)) is not None:
        return ways
    each = [_points(way, block.where(row)) for row, way in enumerate(texts.to_pylist())]
    return Ways(np.concatenate([np.empty((0, 2)), *each]), np.array([len(points) for points in each], np.int64))


def _all_at_once(texts: pa.Array) -> Ways | None:
    """Return ways that are written without spaces, as the file has them, or ``None`` if some are not.

    Points become lines of CSV, which Arrow reads. No way makes more of them than were counted, since no line ends
    within a point, so every way makes as many where the sum is right.
    """
    empty = pc.equal(texts, "[]").to_numpy(zero_copy_only=False)
    framed = pc.and_(pc.starts_with(texts, "[["), pc.ends_with(texts, "]]")).to_numpy(zero_copy_only=False)
    broken = pc.any(pc.match_substring_regex(texts, r"[\r\n]")).as_py()
    if not len(texts) or empty.all() or broken or not (empty | framed).all():
        return None
    counts = np.where(empty, 0, pc.count_substring(texts, "],[").to_numpy() + 1)
    pairs = pc.replace_substring(pc.utf8_slice_codeunits(texts.filter(~empty), 2, -2), "],[", "\n")
    end, between = (pa.scalar(text, texts.type) for text in ("\n", ""))
    lines = pc.binary_join_element_wise(pairs, end, between).buffers()[2]
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(lines),
            read_options=pa_csv.ReadOptions(
                use_threads=False, block_size=lines.size + 1, column_names=["longitude", "latitude"]
            ),
            parse_options=pa_csv.ParseOptions(quote_char=False),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(("longitude", "latitude"), pa.float64()), null_values=[]
            ),
        )
    except pa.ArrowInvalid:
        return None
    points = np.stack([column.to_numpy() for column in table.columns], axis=1)
    return Ways(points, counts.astype(np.int64)) if len(points) == counts.sum() and np.isfinite(points).all() else None


def _points(way: str, where: str) -> npt.NDArray[Any]:
    """Return a POLYLINE as (points, 2): longitude, latitude.

    Raises:
        DataError: it is none; the message names the row, which Arrow's reader does not.
    """
    try:
        points = np.array(json.loads(way), np.float64).reshape(-1, 2)
    except (ValueError, TypeError):
        raise DataError(f"{where}, column 'POLYLINE': {way[:40]!r} is no list of pairs of numbers") from None
    if not np.isfinite(points).all():
        raise DataError(f"{where}, column 'POLYLINE': {way[:40]!r} holds a number that is not finite")
    return points


def _clock(times: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return sine and cosine of the hour of day and of the day of the week of times in seconds (UTC)."""
    phases = [2 * np.pi * (times % period) / period for period in (86_400, 7 * 86_400)]
    return np.stack([part(phase) for phase in phases for part in (np.sin, np.cos)], axis=1).astype(np.float32)
