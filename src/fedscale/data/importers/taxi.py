"""``taxi``: where a taxi in Porto is going, from the first half of its way; a taxi is a client.

L. Moreira-Matias et al., "Predicting Taxi-Passenger Demand Using Streaming Data", IEEE Transactions on Intelligent
Transportation Systems 14 (3), 2013; the data of the ECML/PKDD 2015 challenge (UCI Machine Learning Repository,
"Taxi Service Trajectory"). The inputs are those of the challenge's winner: the first and the last five points of the
part of the way that is known, and the time (A. de Brébisson et al., "Artificial Neural Networks Applied to Taxi
Destination Prediction", 2015).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fedscale.data.card import Card, Figures, RawFile
from fedscale.data.columns import to_arrow
from fedscale.data.importing import Importer, Scanned
from fedscale.data.notes import Notes
from fedscale.data.rawcsv import Rows, read_csv
from fedscale.data.rawfile import found, nothing
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
        "every 15 s)"
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
        paths = found(raw, "train.csv", "test.csv")
        if not paths:
            raise nothing(raw, CARD.name, ["train.csv"])
        for path in paths:
            for block in read_csv(path, COLUMNS, notes):
                notes.read += len(block.table)
                ways = [_points(way, block.where(row)) for row, way in enumerate(block.table["POLYLINE"].to_pylist())]
                whole = np.array(block.table["MISSING_DATA"]) != "True"
                long = np.array([len(way) >= SHORTEST for way in ways])
                _note(notes, "missing data", block, ~whole)
                _note(notes, f"fewer than {SHORTEST} points", block, whole & ~long)
                kept = np.flatnonzero(whole & long)
                times = block.table["TIMESTAMP"].to_numpy()[kept]
                yield Scanned(block.table["TAXI_ID"].take(pa.array(kept)), _samples([ways[row] for row in kept], times))


def _note(notes: Notes, reason: str, block: Rows, rows: npt.NDArray[np.bool_]) -> None:
    if rows.any():
        notes.skip(reason, block.where(int(rows.argmax())), int(rows.sum()))


def _samples(ways: Sequence[npt.NDArray[Any]], times: npt.NDArray[Any]) -> pa.Table:
    """Return inputs and destinations of trips."""
    x = np.array([_ends(way) for way in ways], np.float32).reshape(len(ways), 4 * POINTS)
    y = np.array([way[-1][::-1] for way in ways], np.float32).reshape(len(ways), 2)
    return pa.table({"x": to_arrow(np.hstack([x, _clock(times)])), "y": to_arrow(y)})


def _points(way: str, where: str) -> npt.NDArray[Any]:
    """Return a POLYLINE as (points, 2): longitude, latitude."""
    try:
        points = np.array(json.loads(way), np.float64).reshape(-1, 2)
    except (ValueError, TypeError):
        raise DataError(f"{where}, column 'POLYLINE': {way[:40]!r} is no list of pairs of numbers") from None
    if not np.isfinite(points).all():
        raise DataError(f"{where}, column 'POLYLINE': {way[:40]!r} holds a number that is not finite")
    return points


def _ends(way: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the first and the last points of a way's known half, the end repeated where it is short."""
    known = (way[: -(-len(way) // 2)] - CENTRE) / DEGREES
    places = np.arange(POINTS)
    first = known[np.minimum(places, len(known) - 1)]
    last = known[np.maximum(len(known) - POINTS + places, 0)]
    return np.concatenate([first, last]).reshape(-1)


def _clock(times: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return sine and cosine of the hour of day and of the day of the week of times in seconds (UTC)."""
    phases = [2 * np.pi * (times % period) / period for period in (86_400, 7 * 86_400)]
    return np.stack([part(phase) for phase in phases for part in (np.sin, np.cos)], axis=1).astype(np.float32)
