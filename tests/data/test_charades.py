"""Charades: actions of people, with videos, with frames, and without either."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from media_raw import charades, picture, put, video

from fedscale.data.identity import client_digest
from fedscale.data.importers.charades import Charades
from fedscale.data.notes import Notes
from fedscale.data.store import open_store
from fedscale.errors import DataError

REAL = Path(__file__).parents[3] / "shared" / "data" / "raw" / "charades"

RED, BLUE = (250, 0, 0), (0, 0, 250)
ROWS = [
    ("46GP8", "HR43", "c092 11.90 21.20;c147 0.00 12.60;c092 0.00 1.00"),
    ("N11GT", "0KZ7", ""),
    ("YSKX3", "HR43", "c000 12.10 18.00"),
]


def imported(tmp_path: Path, raw: Path, **options: object) -> Notes:
    notes = Notes()
    Charades(raw=raw, **options).write(tmp_path / "store", notes)  # type: ignore[arg-type]
    return notes


def actions(path: Path) -> list[list[list[int]]]:
    dataset = open_store(path)
    return [
        [row.tolist() for row in dataset.client(client).columns["labels"].rows()]  # type: ignore[union-attr]
        for client in range(len(dataset))
    ]


def by_subject(rows: dict[str, list[list[int]]]) -> list[list[list[int]]]:
    return [rows[name] for name in sorted(rows, key=client_digest)]


@pytest.mark.parametrize("folder", [".", "Charades"])
def test_tables_alone(tmp_path: Path, folder: str) -> None:
    put(tmp_path / "raw" / folder / "Charades_v1_train.csv", charades(ROWS[:2]))
    put(tmp_path / "raw" / folder / "Charades_v1_test.csv", charades(ROWS[2:]))
    notes = imported(tmp_path, tmp_path / "raw")
    # files by name: test, then train
    assert actions(tmp_path / "store") == by_subject({"HR43": [[0], [92, 147]], "0KZ7": [[]]})
    assert (notes.read, notes.skipped, len(notes.told)) == (3, {}, 1)
    assert open_store(tmp_path / "store").card.without == ("x",)
    assert all(b"HR43" not in path.read_bytes() for path in (tmp_path / "store").iterdir())


@pytest.mark.parametrize("kind", ["Charades_v1_480", "Charades_v1", "Charades_v1_rgb"])
def test_videos_and_frames(tmp_path: Path, kind: str) -> None:
    put(tmp_path / "raw" / "Charades" / "Charades_v1_train.csv", charades(ROWS))
    for name, colour in (("46GP8", RED), ("N11GT", BLUE)):
        if kind.endswith("rgb"):
            for number in range(1, 5):
                put(tmp_path / "raw" / kind / name / f"{name}-{number:06d}.jpg", picture(colour))
        else:
            video(tmp_path / "raw" / kind / f"{name}.mp4", [colour] * 4)
    notes = imported(tmp_path, tmp_path / "raw", frames=2, size=16)
    assert actions(tmp_path / "store") == by_subject({"HR43": [[92, 147]], "0KZ7": [[]]})
    assert notes.skipped == {"the video is not there": 1}
    dataset = open_store(tmp_path / "store")
    seen = [dataset.client(client).columns["x"][np.array([0])] for client in range(2)]  # type: ignore[index]
    assert all(x.shape == (1, 2, 3, 16, 16) for x in seen)
    middles = [x.mean((0, 1, 3, 4)).round(-1).tolist() for x in seen]
    expected = {"HR43": RED, "0KZ7": BLUE}
    for middle, name in zip(middles, sorted(expected, key=client_digest), strict=True):
        np.testing.assert_allclose(middle, expected[name], atol=20)


def test_videos_beside_the_table_and_a_table_that_is_there_twice(tmp_path: Path) -> None:
    put(tmp_path / "raw" / "Charades_v1_train.csv", charades(ROWS))
    put(tmp_path / "raw" / "Charades_v1_train (1).csv", charades(ROWS))
    video(tmp_path / "raw" / "46GP8.mp4", [RED] * 4)
    notes = imported(tmp_path, tmp_path / "raw", frames=2, size=16)
    assert actions(tmp_path / "store") == [[[92, 147]]]
    assert notes.skipped == {"told of before": 3, "the video is not there": 2}


def test_damaged_videos_are_counted(tmp_path: Path) -> None:
    put(tmp_path / "raw" / "Charades_v1_train.csv", charades(ROWS))
    video(tmp_path / "raw" / "Charades_v1_480" / "46GP8.mp4", [RED] * 3)
    put(tmp_path / "raw" / "Charades_v1_480" / "N11GT.mp4", b"no video")
    put(tmp_path / "raw" / "Charades_v1_rgb" / "YSKX3" / "YSKX3-000001.jpg", b"no picture")
    notes = imported(tmp_path, tmp_path / "raw", frames=2, size=16)
    assert actions(tmp_path / "store") == [[[92, 147]]]
    assert notes.skipped == {
        "video: not a video that can be read: it is cut off or of no known kind": 1,
        "video: not an image that can be read: it is cut off or of no known kind": 1,
    }


NAMES = "".join(f"c{number:03d} Doing number {number}\n" for number in range(157))


def test_names_of_actions(tmp_path: Path) -> None:
    put(tmp_path / "raw" / "Charades_v1_train.csv", charades(ROWS))
    put(tmp_path / "raw" / "Charades_v1_classes.txt", NAMES)
    imported(tmp_path, tmp_path / "raw")
    names = open_store(tmp_path / "store").card.label_names
    assert names is not None
    assert (names[0], names[156]) == ("Doing number 0", "Doing number 156")


GOOD = charades(ROWS)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "no header: the file is empty"),
        ("\n" + GOOD, "no header"),
        (GOOD.replace("id,", "video,", 1), "no column 'id' in its header"),
        (GOOD.replace("subject", "person", 1), "no column 'subject'"),
        (GOOD.replace("actions", "acts", 1), "no column 'actions' in its header: did you mean 'acts'"),
        (GOOD.replace(",", ";"), "no column 'id'"),
        (GOOD.replace("HR43", "", 1), "row 1, column 'subject': it is empty"),
        (GOOD.replace("N11GT", "", 1), "row 2, column 'id': '' is no name of a video"),
        (GOOD.replace("N11GT", "../N11GT", 1), r"row 2, column 'id': '\.\./N11GT' is no name"),
        (GOOD.replace("c147", "c157"), "row 1, column 'actions': 'c157 0.00 12.60' is not like"),
        (GOOD.replace("c147", "147"), "row 1, column 'actions': '147 0.00 12.60'"),
        (GOOD.replace("c147 0.00 12.60", "c147 0.00"), "row 1, column 'actions': 'c147 0.00'"),
        (GOOD.replace("c147 0.00", "c147 start"), "row 1, column 'actions': 'c147 start 12.60'"),
        (GOOD + "cut,off\n", "Expected 11 columns, got 2"),
        (GOOD.replace(",24.83\n", ",24.83,1\n", 1), "Expected 11 columns, got 12"),
        (GOOD[: GOOD.index('"She') + 20], "Charades_v1_train.csv, after row 0"),
        (GOOD.encode("utf-16"), "no column 'id'"),
        (b"PK\x03\x04" + b"\0" * 60, "no column 'id'"),
    ],
)
def test_malformed_tables(tmp_path: Path, table: str | bytes, message: str) -> None:
    put(tmp_path / "raw" / "Charades_v1_train.csv", table)
    with pytest.raises(DataError, match=message) as error:
        imported(tmp_path, tmp_path / "raw")
    assert "Charades_v1_train.csv" in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (NAMES.replace("c003", "c03"), "line 4: .* is not 'c003' and a name"),
        (NAMES.replace(" Doing number 5\n", "\n"), "line 6"),
        (NAMES[: NAMES.index("c100")], "100 actions, not 157"),
        (NAMES + "c157 More\n", "158 actions, not 157"),
    ],
)
def test_malformed_names(tmp_path: Path, names: str, message: str) -> None:
    put(tmp_path / "raw" / "Charades_v1_train.csv", GOOD)
    put(tmp_path / "raw" / "Charades_v1_classes.txt", names)
    with pytest.raises(DataError, match=message):
        imported(tmp_path, tmp_path / "raw")


def test_nothing_there(tmp_path: Path) -> None:
    put(tmp_path / "raw" / "README.txt", "")
    with pytest.raises(DataError, match=r"nothing of charades found: it should have Charades_v1_train\.csv"):
        imported(tmp_path, tmp_path / "raw")


def test_real_tables(tmp_path: Path) -> None:
    if not REAL.is_dir():
        pytest.skip(f"{REAL} is not there")
    imported(tmp_path, REAL)
    dataset = open_store(tmp_path / "store")
    assert (len(dataset), dataset.counts.sum()) == (92, 250)
    assert [92, 147] in [row for rows in actions(tmp_path / "store") for row in rows]
