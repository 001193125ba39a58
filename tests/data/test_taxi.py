"""Porto's taxis."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedscale.data.identity import client_digest
from fedscale.data.importers.taxi import CENTRE, DEGREES, Taxi, _all_at_once, _points, _ways
from fedscale.data.notes import Notes
from fedscale.data.rawcsv import Rows
from fedscale.data.store import open_store
from fedscale.errors import DataError

REAL = Path(__file__).parents[3] / "shared" / "data" / "raw" / "taxi"
NAMES = "TRIP_ID CALL_TYPE ORIGIN_CALL ORIGIN_STAND TAXI_ID TIMESTAMP DAY_TYPE MISSING_DATA POLYLINE"
HEADER = ",".join(f'"{name}"' for name in NAMES.split()) + "\n"


def row(taxi: str, points: object, missing: str = "False", time: object = 0) -> str:
    way = points if isinstance(points, str) else json.dumps(points)
    return f'"T1","C","","","{taxi}","{time}","A","{missing}","{way}"\n'


def written(tmp_path: Path, *rows: str) -> Notes:
    (tmp_path / "raw").mkdir(parents=True)
    (tmp_path / "raw" / "train.csv").write_text(HEADER + "".join(rows))
    notes = Notes()
    Taxi(raw=tmp_path / "raw").write(tmp_path / "store", notes)
    return notes


def test_inputs_and_destinations(tmp_path: Path) -> None:
    way = [[CENTRE[0] + step * DEGREES, CENTRE[1] - step * DEGREES] for step in range(6)]
    notes = written(tmp_path, row("7", way, time=6 * 3600), row("7", way[:3]), row("8", way, "True"), row("9", []))
    dataset = open_store(tmp_path / "store")
    assert dataset.counts.tolist() == [1]
    columns = dataset.client(0).columns
    known = [0, 0, 1, -1, 2, -2]  # half of six points
    expected = [*known, 2, -2, 2, -2, *known[:2], *known[:2], *known, 1, 0, np.sin(np.pi / 14), np.cos(np.pi / 14)]
    np.testing.assert_allclose(columns["x"][0], expected, atol=1e-4)  # type: ignore[index]
    np.testing.assert_allclose(columns["y"][0], [CENTRE[1] - 5 * DEGREES, CENTRE[0] + 5 * DEGREES], rtol=1e-6)  # type: ignore[index]
    assert notes.skipped == {"fewer than 4 points": 2, "missing data": 1}
    assert notes.first["missing data"].endswith("train.csv row 3")


@pytest.mark.parametrize("above", ["", "taxi_traj"])
@pytest.mark.parametrize("numbers", [True, False])
def test_fedscales_files_of_taxis(tmp_path: Path, numbers: bool, above: str) -> None:
    """Rows as its script writes them: the header of Kaggle's table, and before each row its number."""
    way = [[CENTRE[0], CENTRE[1] + step * DEGREES] for step in range(4)]
    folder = tmp_path / "raw" / above
    for name, ways in (("train/20000001", [way, way[::-1], []]), ("train/20000002", [way]), ("test/20000001", [way])):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(NAMES.split())
            for place, points in enumerate(ways):
                row = [1372636858620000589, "C", "nan", "nan", name.split("/")[1], 0, "A", False, json.dumps(points)]
                writer.writerow([place, *row] if numbers else row)
    notes = Notes()
    Taxi(raw=tmp_path / "raw").write(tmp_path / "store", notes)
    dataset = open_store(tmp_path / "store")
    order = sorted(["20000001", "20000002"], key=client_digest)
    north = {"20000001": [CENTRE[1] + 3 * DEGREES, CENTRE[1]], "20000002": [CENTRE[1] + 3 * DEGREES]}
    for client, name in enumerate(order):
        np.testing.assert_allclose(dataset.client(client).columns["y"][:][:, 0], north[name], rtol=1e-6)  # type: ignore[index,call-overload]
    assert (notes.read, notes.skipped) == (4, {"fewer than 4 points": 1})


def test_rows_of_other_lengths(tmp_path: Path) -> None:
    path = tmp_path / "raw" / "train" / "7.csv"
    path.parent.mkdir(parents=True)
    for rows, message in (
        ([row("7", []), f"1,{row('7', [])}"], r"train/7\.csv, after row 0: .*Expected 9 columns, got 10"),
        ([f"1,{row('7', [])}", row("7", [])], r"train/7\.csv, after row 0: .*Expected 10 columns, got 9"),
        ([f"1,2,{row('7', [])}"], r"train/7\.csv, after row 0: .*Expected 9 columns, got 11"),
        ([f"1,{row('seven', 'x')}"], r"train/7\.csv row 1, column 'POLYLINE': 'x' is no list"),
    ):
        path.write_text(HEADER + "".join(rows))
        with pytest.raises(DataError, match=message):
            Taxi(raw=tmp_path / "raw").write(tmp_path / "store", Notes())
        assert [folder.name for folder in tmp_path.iterdir()] == ["raw"]


@pytest.mark.parametrize(
    "way",
    [
        "[[1,2],[3]]",
        "[[1,2",
        "nowhere",
        '{\\"a\\": 1}',
        "[[1,NaN],[1,2]]",
        "[[1,nan]]",
        "[[1,]]",
        "[[,]]",
        "[[1,2],[]]",
        "[[1,2]],[[3,4]]",
        '[[\\"a\\",2]]',
    ],
)
def test_a_way_that_is_none(tmp_path: Path, way: str) -> None:
    with pytest.raises(DataError, match=r"train\.csv row 1, column 'POLYLINE'"):
        written(tmp_path, row("7", way.replace('\\"', '""')))


ODD = (
    "[]",
    " [ [1.5, 2] ,\t[3,4] ] ",
    "[[1e-3,-2.5E1]]",
    "[1,2,3,4]",
    "[[1,2],\n[3,4]]",
    "[[1,2,3,4]]",
    "[[1,2],[ 3,4]]",
)
WAYS = st.lists(st.lists(st.tuples(*[st.floats(-180, 180)] * 2)), max_size=4)


@pytest.mark.parametrize("odd", ODD)
@given(ways=WAYS, place=st.integers(0, 4))
def test_ways_read_at_once_are_those_read_one_by_one(
    odd: str, ways: list[list[tuple[float, float]]], place: int
) -> None:
    texts = [json.dumps(way, separators=(",", ":")) for way in ways]
    texts.insert(place, odd)
    block = Rows(Path("train.csv"), 1, pa.table({"POLYLINE": pa.array(texts, pa.large_string())}))
    found, expected = _ways(block), [_points(text, "") for text in texts]
    assert found.counts.tolist() == [len(points) for points in expected]
    assert np.array_equal(found.points, np.concatenate(expected))


@pytest.mark.parametrize("line", ["\n", "\r", "\r\n"])
def test_a_point_too_many_does_not_make_up_for_one_too_few(tmp_path: Path, line: str) -> None:
    with pytest.raises(DataError, match=r"train\.csv row 1, column 'POLYLINE'"):
        written(tmp_path, row("7", f"[[1,2{line}3,4]]"), row("8", "[[]]"))


def test_ways_as_they_are_written_are_read_at_once() -> None:
    texts = pa.array(["[[-8.618643,41.141412],[-8.618499,41.141376]]", "[]", "[[1,2]]"], pa.large_string())
    ways = _all_at_once(texts)
    assert ways is not None
    assert ways.points.tolist() == [[-8.618643, 41.141412], [-8.618499, 41.141376], [1.0, 2.0]]
    assert (ways.counts.tolist(), ways.begins.tolist()) == ([2, 0, 1], [0, 2, 2])


def test_the_middle_of_an_odd_number_of_points_is_known(tmp_path: Path) -> None:
    """Of 13 points, 7: the first five of them, and the last five."""
    written(tmp_path, row("7", [[CENTRE[0] + step * DEGREES, CENTRE[1]] for step in range(13)]))
    x = np.array(open_store(tmp_path / "store").client(0).columns["x"]).reshape(-1)
    np.testing.assert_allclose(x[:20:2], [0, 1, 2, 3, 4, 2, 3, 4, 5, 6], atol=1e-4)


def test_real_rows(tmp_path: Path) -> None:
    if not REAL.is_dir():
        pytest.skip(f"{REAL} is not there")
    Taxi(raw=REAL).write(tmp_path / "store", Notes())
    assert open_store(tmp_path / "store").counts.tolist() == [1, 1]


def test_what_says_whether_data_are_missing_is_true_or_false(tmp_path: Path) -> None:
    way = [[1.0, 2.0]] * 4
    notes = written(tmp_path, row("7", way, "true"), row("7", way, "false"))
    assert notes.skipped == {"missing data": 1}
    with pytest.raises(DataError, match=r"row 2, column 'MISSING_DATA': '1' is not True or False"):
        written(tmp_path / "other", row("7", way), row("7", way, "1"))


def test_a_taxi_without_a_number(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 1, column 'TAXI_ID': '' is not a taxi"):
        written(tmp_path, row("", [[1.0, 2.0]] * 4))


def test_trips_that_are_cut_off_are_no_trips(tmp_path: Path) -> None:
    written(tmp_path, row("7", [[1.0, 2.0]] * 4))
    (tmp_path / "raw" / "train.csv").rename(tmp_path / "raw" / "test.csv")
    with pytest.raises(DataError, match=r"the trips of test\.csv end before their destination"):
        Taxi(raw=tmp_path / "raw").write(tmp_path / "again", Notes())
