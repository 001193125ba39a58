"""Puffer's video streams."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from tabular_raw import ANNA, BERT, DAY, PUFFER, acked, puffer, sent, write

from fedscale.data.identity import client_digest
from fedscale.data.importers.puffer import Puffer
from fedscale.data.notes import Notes
from fedscale.data.store import open_store
from fedscale.errors import DataError


def imported(tmp_path: Path, content: dict[str, str]) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], Notes]:  # type: ignore[type-arg]
    notes = Notes()
    Puffer(raw=write(tmp_path / "raw", content)).write(tmp_path / "store", notes)
    dataset = open_store(tmp_path / "store")
    columns = [dataset.client(client).columns for client in range(len(dataset))]
    sessions = sorted([ANNA, BERT], key=client_digest)[-len(columns) :]
    pairs = [(np.asarray(column["x"]), np.asarray(column["y"])) for column in columns]
    return dict(zip(sessions, pairs, strict=True)), notes


def test_inputs_and_throughputs(tmp_path: Path) -> None:
    samples, notes = imported(tmp_path, PUFFER)
    x, y = samples[ANNA]
    np.testing.assert_allclose(y, np.log([2 / 2.5, 8 / 2]), rtol=1e-6)  # 2 Mbit in 2.5 s, 8 Mbit in 2 s
    first = [501, 501, 11, 5, 21, 31, 1]  # 500 kB in 500 ms, 10 and 4 packets, 20 and 30 ms; each one more
    second = [251, 2001, 11, 5, 21, 31, 126]  # of its 2,500 ms 2,000 were over when the third piece was sent
    np.testing.assert_allclose(np.exp(x[0, 7]), first, rtol=1e-5)
    np.testing.assert_allclose(np.exp(x[1, 6:]), [first, second], rtol=1e-5)
    assert not x[0, :7].any()
    assert not x[1, :6].any()
    x, y = samples[BERT]
    assert y.tolist() == [0.0]  # 1 Mbit in a second
    np.testing.assert_allclose(np.exp(x[0, 7, :2]), [101, 126], rtol=1e-5)
    assert notes.read == 7
    assert notes.skipped == {"not acknowledged": 1, "first of its stream": 3}


def test_the_newer_header_and_files_without_folders(tmp_path: Path) -> None:
    rows = [sent(ANNA, 0, 2 * piece, piece, 1000, more=",9.5,0.0") for piece in range(1, 12)]
    back = [acked(ANNA, 0, 2 * piece + 1, piece, ",9.5,0.0") for piece in range(1, 12)]
    samples, _ = imported(tmp_path, puffer("".join(rows[::-1]), "".join(back), ",buffer,cum_rebuf", folder=""))
    x, y = samples[ANNA] if ANNA in samples else samples[BERT]
    np.testing.assert_allclose(y, np.log(np.full(10, 0.008)), rtol=1e-6)
    assert [int(row.any(axis=1).sum()) for row in x] == [1, 2, 3, 4, 5, 6, 7, 8, 8, 8]


def monthly(rows: str, header: str = "") -> str:
    """Return rows as the monthly archives have them: milliseconds, no index."""
    lines = []
    for line in rows.splitlines()[1:]:
        time, session, _, *rest = line.split(",")
        lines.append(",".join([str(int(time) // 1_000_000), session, *rest]))
    return header + "".join(line + "\n" for line in lines)


@pytest.mark.parametrize("header", [False, True])
def test_the_monthly_archives(tmp_path: Path, header: bool) -> None:
    first = "timestamp,session_id,experiment_id,channel_name,chunk_presentation_timestamp"
    more = ",resolution,chunk_size,ssim_index,cwnd,in_flight,min_rtt,rtt,delivery_rate"
    day = {name: text.replace(f"{ANNA},1,7,nbc", f"{ANNA},1,7,abc") for name, text in PUFFER.items()}
    old = {
        f"puffer-201901/{kind}_2019-01-26T11.csv": monthly(rows, f"{head}\n" if header else "")
        for (kind, head), rows in zip([("video_sent", first + more), ("video_acked", first)], day.values(), strict=True)
    }
    expected, _ = imported(tmp_path / "new", day)
    samples, notes = imported(tmp_path / "old", old)
    assert notes.skipped == {"not acknowledged": 1, "first of its stream": 3}
    for session, (x, y) in expected.items():
        np.testing.assert_allclose(samples[session][0], x, rtol=1e-6)
        np.testing.assert_allclose(samples[session][1], y, rtol=1e-6)


def test_a_day_without_rows(tmp_path: Path) -> None:
    empty = {name.replace("01-0", "02-0"): text.splitlines()[0] + "\n" for name, text in PUFFER.items()}
    assert imported(tmp_path, PUFFER | empty)[1].read == 7


def test_a_time_that_comes_again_is_another_piece(tmp_path: Path) -> None:
    rows = sent(ANNA, 0, 0, 1, 1000) + sent(ANNA, 0, 100, 1, 1000)
    samples, _ = imported(tmp_path, puffer(rows, acked(ANNA, 0, 102, 1) + acked(ANNA, 0, 1, 1)))
    ((_, y),) = samples.values()
    np.testing.assert_allclose(y, [math.log(0.004)], rtol=1e-6)


def test_fewer_rows_have_all_their_acknowledgements(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw", PUFFER)
    Puffer(raw=raw, limit=3).write(tmp_path / "store", Notes())
    assert open_store(tmp_path / "store").counts.tolist() == [1]


def test_no_session_in_the_store(tmp_path: Path) -> None:
    imported(tmp_path, PUFFER)
    for path in (tmp_path / "store").iterdir():
        assert ANNA.encode() not in path.read_bytes()
        assert BERT.encode() not in path.read_bytes()


SENT, ACKED = PUFFER.values()


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("sent", SENT.replace("session_id", "session"), "no column 'session_id'"),
        ("sent", SENT.replace(",500000,", ",many,", 1), "row 1, column 'size': 'many' is not"),
        ("sent", SENT.replace(",500000,", ",0,", 1), r"row 1, column 'size': 0\.0 is not above 0"),
        ("sent", SENT.replace(",500000,", ",nan,", 1), "row 1, column 'size': nan is not a finite"),
        ("sent", SENT.replace(BERT, "", 1), "row 2, column 'session_id': '' is not a session"),
        ("sent", SENT.replace(",125000\n", ",inf\n", 1), "row 3, column 'delivery_rate': inf is not a finite"),
        ("acked", ACKED.replace(ACKED.splitlines()[2].split(",")[0], "-1"), r"row 2, column 'time \(ns GMT\)': -1"),
        ("acked", ACKED.replace(",7,nbc,180180", ",7,nbc"), "Expected 6 columns, got 5"),
        ("acked", ACKED.splitlines()[0] + "\n" + acked(BERT, 9, 1, 1), "no sample is left of 7 rows: 7 not acknow"),
    ],
)
def test_malformed(tmp_path: Path, file: str, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        imported(tmp_path, PUFFER | {f"{DAY}/video_{file}_{DAY}.csv": text})
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_without_acknowledgements(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"video_acked_{DAY}\.csv, which says when its pieces arrived, is not beside"):
        imported(tmp_path, {f"video_sent_{DAY}.csv": SENT})
