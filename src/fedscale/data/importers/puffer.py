"""``puffer``: how fast the next piece of a video will arrive, from the pieces before; a viewer's session is a client.

F. Yan et al., "Learning in situ: a randomized experiment in video streaming", NSDI 2020. The owner publishes for
every day when each piece (2.002 s of video) was sent, and when its arrival was acknowledged; a piece is the same in
both files if session, index, channel and presentation time are. Rows of both files are gathered by session, and pieces
meet their acknowledgements when a group of sessions is loaded: no file is kept in memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fedscale.data.card import Card, Figures, RawFile
from fedscale.data.importing import CLIENT, Importer, Loaded, Scanned
from fedscale.data.mapping import no_raw_files
from fedscale.data.notes import Notes
from fedscale.data.ragged import IntArray
from fedscale.data.rawcsv import Dialect, Rows, Types, first_values, read_csv
from fedscale.data.rawfile import found
from fedscale.errors import DataError
from fedscale.section import Component

PAST: Final = 8
"""Pieces before that a sample knows, as in Fugu (§4.2 of the paper)."""

MEASURED: Final = {"size": 1e3, "cwnd": 1.0, "in_flight": 1.0, "min_rtt": 1e3, "rtt": 1e3, "delivery_rate": 1e3}
"""What is measured when a piece is sent, and what it is divided by: bytes to kB, µs to ms, bytes/s to kB/s."""

FEATURES: Final = ("size", "transmission time", "cwnd", "in_flight", "min_rtt", "rtt", "delivery_rate")

_KEY: Final = {
    "time (ns GMT)": pa.int64(),
    "session_id": pa.large_string(),
    "index": pa.int64(),
    "channel": pa.large_string(),
    "video_ts": pa.int64(),
}
_SENT: Final = {**_KEY, **dict.fromkeys(MEASURED, pa.float64())}
_RENAME: Final = {
    "time": "time (ns GMT)",
    "timestamp": "time (ns GMT)",
    "experiment_id": "expt_id",
    "channel_name": "channel",
    "chunk_presentation_timestamp": "video_ts",
    "chunk_size": "size",
}
_MONTHLY: Final = (
    *("time (ns GMT)", "session_id", "expt_id", "channel", "video_ts", "format"),
    *("size", "ssim_index", "cwnd", "in_flight", "min_rtt", "rtt", "delivery_rate"),
)
"""Columns of the monthly archives of 2019 and 2020, of which the first five are those of ``video_acked``, too."""

CARD: Final = Card(
    name="puffer",
    title="Puffer's video streams",
    description="the throughput at which the next piece of a video stream arrives, from the pieces before it",
    task="regression",
    metric="mae",
    model=Component(name="mlp"),
    modality="tensor",
    sample_shape=(PAST, len(FEATURES)),
    x_scale=0.1,
    client_is="session of a viewer (session_id, drawn anew each day)",
    licence="free for research; the owner asks to be cited, and to download once",
    source="Stanford University, https://puffer.stanford.edu/data-description/",
    files=tuple(
        RawFile(
            name=f"{day}/{kind}_{day}.csv",
            url=f"https://storage.googleapis.com/puffer-data-release/{day}/{kind}_{day}.csv",
        )
        for day in (f"2021-01-{first:02d}T11_2021-01-{first + 1:02d}T11" for first in range(1, 8))
        for kind in ("video_sent", "video_acked")
    ),
    layout=(
        "<day>/video_sent_<day>.csv: time (ns GMT), session_id, index, expt_id, channel, video_ts, format, size "
        "(bytes), ssim_index, cwnd, in_flight (packets), min_rtt, rtt (µs), delivery_rate (bytes/s), since 2021-06-12 "
        "also buffer, cum_rebuf; <day>/video_acked_<day>.csv: the first six, since then also buffer, cum_rebuf; also "
        "without folders; or the monthly puffer-YYYYMM.tar.gz of before: the same without header and index, time in ms"
    ),
    preprocessing=(
        "a piece meets the first acknowledgement after it of the same session, index, channel and video_ts; its "
        "throughput is size / (acknowledged − sent). A stream is a session and an index, in the order of sending; "
        f"every piece but the first is a sample. The up to {PAST} pieces before it, the last at the end, zeros where "
        "there are fewer, are the input: ln(1 + value), sizes in kB, times in ms, rates in kB/s; the transmission time "
        "of a piece that is still on its way when the next is sent is the time so far"
    ),
    sample=f"x: float32 ({PAST}, {len(FEATURES)}), {', '.join(FEATURES)}; y: float32, ln of throughput in Mbit/s",
    paper=Figures(clients=121_551, samples=15_400_000),
    citation="F. Yan et al.: Learning in situ: a randomized experiment in video streaming. NSDI 2020",
    verification="hand-made",
    verified="three generations of files, as the owner's code writes them; rows made by hand, no real ones were seen",
)


@dataclass(frozen=True)
class Puffer(Importer):
    """Pieces of video by session, from ``video_sent`` and ``video_acked``."""

    @property
    def card(self) -> Card:
        """Return the card."""
        return CARD

    def scan(self, raw: Path, notes: Notes) -> Iterator[Scanned]:
        """Yield acknowledgements, then what was sent, day by day."""
        paths = found(raw, "video_sent*.csv", "*/video_sent*.csv", "*/*/video_sent*.csv")
        if not paths:
            raise no_raw_files(raw, CARD.name, ["video_sent_<day>.csv and video_acked_<day>.csv"])
        for path in paths:
            for block in _rows(_acknowledged(path), _KEY, notes):
                yield _scanned(block, sent=False)
            for block in _rows(path, _SENT, notes):
                notes.read += len(block.table)
                yield _scanned(block, sent=True)

    def load(self, rows: pa.Table) -> Loaded:
        """Join what was sent with what arrived, and return a sample for every piece that has one before it."""
        sent = rows["sent"].to_numpy().astype(bool)
        place, acked = _pairs(rows)
        kept = np.zeros(len(rows), np.bool_)
        if len(place) == 0:
            return Loaded(_none(), kept, {"not acknowledged": int(sent.sum())})
        table = rows.take(pa.array(place))
        begun = table["time"].to_numpy()
        order = np.lexsort((begun, table["index"].to_numpy(), table[CLIENT].to_numpy()))
        table, place, begun, acked = table.take(pa.array(order)), place[order], begun[order], acked[order]
        first = _stream_starts(table[CLIENT].to_numpy(), table["index"].to_numpy())
        samples = np.flatnonzero(np.arange(len(place)) > first)
        x = _past(table, begun, acked, first, samples)
        seconds = (acked - begun)[samples] / 1e9
        y = np.log(8e-6 * table["size"].to_numpy()[samples] / seconds).astype(np.float32)
        kept[place[samples]] = True
        skipped = {"not acknowledged": int(sent.sum()) - len(place), "first of its stream": len(place) - len(samples)}
        return Loaded({"x": x, "y": y}, kept, skipped)


def _acknowledged(sent: Path) -> Path:
    """Return the file of acknowledgements that belongs to one of what was sent."""
    stem = sent.name.split(".csv")[0].replace("video_sent", "video_acked", 1)
    paths = found(sent.parent, f"{stem}.csv")
    if not paths:
        raise DataError(f"{sent}: {stem}.csv, which says when its pieces arrived, is not beside it: fetch it too")
    return paths[0]


def _rows(path: Path, columns: Types, notes: Notes) -> Iterator[Rows]:
    """Yield the rows of a file; those of a monthly archive with nanoseconds, and an index that tells channels apart.

    Such files have no index, and a header or none (`dump_data.py` of github.com/StanfordSNR/puffer at 142d5a4a).
    """
    first = first_values(path, notes)
    headless = len(first) in (5, len(_MONTHLY)) and first[0].isdigit()
    dialect = Dialect(quoted=False, rename=_RENAME, header=_MONTHLY[: len(first)] if headless else ())
    if not headless and ("index" in first or "session_id" not in first):
        yield from read_csv(path, columns, notes, dialect)
        return
    for block in read_csv(path, {name: kind for name, kind in columns.items() if name != "index"}, notes, dialect):
        channels = block.table["channel"].combine_chunks().dictionary_encode()
        codes = np.array([zlib.crc32(name.encode()) for name in channels.dictionary.to_pylist()], np.int64)
        index = pa.array(codes[channels.indices.to_numpy()])
        times = pc.multiply(block.table["time (ns GMT)"], 1_000_000)
        table = block.table.append_column("index", index).set_column(0, "time (ns GMT)", times)
        yield Rows(path, block.first, table)


def _scanned(block: Rows, *, sent: bool) -> Scanned:
    table = block.table
    block.refuse("session_id", pc.equal(table["session_id"], ""), "a session")
    block.refuse("time (ns GMT)", pc.less_equal(table["time (ns GMT)"], 0), "a time in nanoseconds")
    zeros = pa.array(np.zeros(len(table), np.float32))
    columns: dict[str, Any] = dict.fromkeys(MEASURED, zeros)
    if sent:
        for name in MEASURED:
            block.refuse(name, pc.invert(pc.is_finite(table[name])), "a finite number")
            columns[name] = table[name].cast(pa.float32())
        block.refuse("size", pc.less_equal(table["size"], 0), "above 0")
    rows = {
        "sent": pa.array(np.full(len(table), sent, np.int8)),
        "time": table["time (ns GMT)"],
        "index": table["index"],
        "channel": table["channel"].cast(pa.string()),
        "video_ts": table["video_ts"],
        **columns,
    }
    return Scanned(table["session_id"].combine_chunks(), pa.table(rows), counted=sent)


def _pairs(rows: pa.Table) -> tuple[IntArray, npt.NDArray[np.int64]]:
    """Return the rows of pieces that arrived, and when they did.

    Rows of one piece stand together if sorted by what names it, and then by time: a piece that was sent, directly
    followed by an acknowledgement, is a pair.
    """
    channel = rows["channel"].combine_chunks().dictionary_encode().indices.to_numpy()
    time, sent = rows["time"].to_numpy(), rows["sent"].to_numpy()
    key = (rows["video_ts"].to_numpy(), channel, rows["index"].to_numpy(), rows[CLIENT].to_numpy())
    order = np.lexsort((sent, time, *key))
    here, after = order[:-1], order[1:]
    same = np.logical_and.reduce([part[here] == part[after] for part in key])
    pair = same & (sent[here] == 1) & (sent[after] == 0) & (time[after] > time[here])
    return here[pair], time[after[pair]]


def _stream_starts(session: IntArray, index: npt.NDArray[np.int64]) -> IntArray:
    """Return for each piece the place of its stream's first one; pieces are sorted by stream."""
    begins = np.r_[True, (session[1:] != session[:-1]) | (index[1:] != index[:-1])]
    return np.maximum.accumulate(np.where(begins, np.arange(len(begins)), 0))


def _past(
    table: pa.Table,
    begun: npt.NDArray[np.int64],
    acked: npt.NDArray[np.int64],
    first: IntArray,
    samples: IntArray,
) -> npt.NDArray[np.float32]:
    """Return the inputs of ``samples``: (n, `PAST`, features)."""
    measured = np.stack([_logs(table[name].to_numpy() / unit) for name, unit in MEASURED.items()], axis=1)
    x = np.zeros((len(samples), PAST, len(FEATURES)), np.float32)
    for back in range(1, PAST + 1):
        known = samples - back >= first[samples]
        now, then = samples[known], samples[known] - back
        spent = np.minimum(acked[then], begun[now]) - begun[then]
        x[known, PAST - back] = np.insert(measured[then], 1, _logs(spent / 1e6), axis=1)
    return x


def _logs(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    logs: npt.NDArray[np.float32] = np.log1p(np.maximum(values, 0)).astype(np.float32)
    return logs


def _none() -> dict[str, npt.NDArray[Any]]:
    return {"x": np.zeros((0, PAST, len(FEATURES)), np.float32), "y": np.zeros(0, np.float32)}
