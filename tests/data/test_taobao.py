"""Taobao's advertisements."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from tabular_raw import TAOBAO, write

from fedscale.data.identity import client_digest
from fedscale.data.importers.taobao import FIELDS, Taobao
from fedscale.data.lookup import Lookup, buckets
from fedscale.data.notes import Notes
from fedscale.data.store import open_store
from fedscale.errors import DataError

REAL = Path(__file__).parents[3] / "shared" / "data" / "raw" / "taobao"


def imported(tmp_path: Path, **changed: str) -> tuple[dict[str, list[dict[str, int]]], list[int], Notes]:
    """Import the files, some ``changed``; return the fields of each user's impressions, all clicks, and the notes."""
    content = TAOBAO | {f"{name}.csv": text for name, text in changed.items()}
    notes = Notes()
    Taobao(raw=write(tmp_path / "raw", content)).write(tmp_path / "store", notes)
    dataset = open_store(tmp_path / "store")
    users = sorted(["900001", "900002", "900003"], key=client_digest)
    columns = [dataset.client(client).columns for client in range(len(dataset))]
    fields = {
        user: [dict(zip(FIELDS, row, strict=True)) for row in np.asarray(column["x"]).tolist()]
        for user, column in zip(users, columns, strict=True)
    }
    return fields, [int(y) for column in columns for y in np.asarray(column["y"])], notes


def test_fields_of_impressions(tmp_path: Path) -> None:
    fields, _, notes = imported(tmp_path)
    first, second = fields["900001"]
    assert {name: first[name] for name in ("pid", "hour", "weekday")} == {"pid": 2, "hour": 15, "weekday": 7}
    assert {name: second[name] for name in ("pid", "hour", "weekday")} == {"pid": 2, "hour": 1, "weekday": 1}
    other = fields["900002"][0]
    assert {name: other[name] for name in ("pid", "hour", "weekday")} == {"pid": 1, "hour": 24, "weekday": 7}
    profile = dict(cms_segid=1, cms_group_id=6, final_gender_code=3, age_level=6, pvalue_level=0)  # noqa: C408
    assert first.items() >= (profile | {"shopping_level": 4, "occupation": 1, "new_user_class_level": 4}).items()
    assert other["cms_segid"] == 97
    assert (other["pvalue_level"], other["new_user_class_level"]) == (4, 0)
    assert first["price"] == 15  # 2 log2 171 = 14.8
    assert (other["price"], other["brand"]) == (1, 0)
    assert all(first[name] > 0 for name in ("adgroup_id", "cate_id", "campaign_id", "customer", "brand"))
    unknown = fields["900003"][0]
    assert unknown["pid"] == 3
    assert [unknown[name] for name in list(FIELDS)[-8:]] == [0] * 8
    assert second["adgroup_id"] > 0
    assert [second[name] for name in ("cate_id", "campaign_id", "customer", "brand", "price")] == [0] * 5
    assert notes.record() == {
        "read": 4,
        "skipped": {},
        "told": [
            "1 impressions with nothing known of the advertisement: its fields are 0",
            "1 impressions with nothing known of the user: its fields are 0",
        ],
    }


def test_clicks_users_and_no_number_of_a_user(tmp_path: Path) -> None:
    fields, clicks, _ = imported(tmp_path)
    each = {"900001": [0, 1], "900002": [1], "900003": [0]}
    assert clicks == [click for user in fields for click in each[user]]
    for path in (tmp_path / "store").iterdir():
        content = path.read_bytes()
        for user in (900001, 900002, 900003):
            assert str(user).encode() not in content
            assert np.int64(user).tobytes() not in content


def test_buckets_are_the_same_everywhere() -> None:
    # SplitMix64's first outputs from the states 0 and 1 (of its reference in C), modulo 9,999
    assert buckets(np.array([0, 1]), 10_000).tolist() == [
        16294208416658607535 % 9999 + 1,
        10451216379200822465 % 9999 + 1,
    ]
    values = buckets(np.arange(100_000), 11)
    assert np.bincount(values).min() == 0
    assert 9_500 < np.bincount(values)[1:].min() <= np.bincount(values).max() < 10_500


@pytest.mark.parametrize("far", [0, 1_000_000])  # by a table, and by bisection
def test_looking_up(far: int) -> None:
    table = Lookup(far + np.array([5, 3, 5]), np.array([[1, 2], [3, 4], [9, 9]]))
    rows, unknown = table.find(far + np.array([3, 4, 5, 6, 0, -2, 99]))
    assert rows.tolist() == [[3, 4], [0, 0], [1, 2], [0, 0], [0, 0], [0, 0], [0, 0]]
    assert unknown == 5


def test_looking_up_in_nothing() -> None:
    rows, unknown = Lookup(np.zeros(0, np.int64), np.zeros((0, 2), np.int32)).find(np.array([1, 0]))
    assert (rows.tolist(), unknown) == ([[0, 0], [0, 0]], 2)


def test_folders_compression_and_missing_files(tmp_path: Path) -> None:
    folder = tmp_path / "Ali_Display_Ad_Click"
    folder.mkdir()
    (folder / "raw_sample.csv.gz").write_bytes(gzip.compress(TAOBAO["raw_sample.csv"].encode()))
    notes = Notes()
    Taobao(raw=tmp_path).write(tmp_path / "store", notes)
    assert sorted(open_store(tmp_path / "store").counts) == [1, 1, 2]
    assert notes.told[0].startswith("4 impressions with nothing known of the advertisement")


GOOD = TAOBAO["raw_sample.csv"]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("raw_sample", "", "raw_sample.csv: no header: the file is empty"),
        ("raw_sample", GOOD.splitlines()[0], "no sample is left of 0 rows"),
        ("raw_sample", GOOD.replace("user,", "userid,"), "no column 'user' in its header: did you mean 'userid'"),
        ("raw_sample", GOOD.replace("900002", "somebody"), "row 2, column 'user': 'somebody' is not a whole number"),
        ("raw_sample", GOOD.replace("1494172799", ""), "row 2, column 'time_stamp': '' is not"),
        ("raw_sample", GOOD.replace("1494172799", "-5"), "row 2, column 'time_stamp': -5 is not a time"),
        ("raw_sample", GOOD.replace("1494172799", "1494172799000000"), "row 2, column 'time_stamp'"),
        ("raw_sample", GOOD.replace(",0,1\n900001", ",1,1\n900001"), "row 2, column 'nonclk': 1 is not 1 without"),
        ("raw_sample", GOOD.replace(",0,1\n900001", ",-1,2\n900001"), "row 2, column 'clk': 2 is not 0 or 1"),
        ("raw_sample", GOOD.replace(",0,1\n900001", ",0\n900001"), "Expected 6 columns, got 5"),
        ("raw_sample", GOOD.replace("1494172799", '"14941'), "raw_sample.csv, after row 0"),
        ("raw_sample", "\x00" * 64, "no column 'user'"),
        ("ad_feature", TAOBAO["ad_feature.csv"].replace("170.0", "-1"), "row 1, column 'price': -1.0 is not a price"),
        ("ad_feature", TAOBAO["ad_feature.csv"].replace("170.0", "inf"), "row 1, column 'price': inf is not a finite"),
        ("ad_feature", TAOBAO["ad_feature.csv"].replace("6406", "shoes"), "row 1, column 'cate_id': 'shoes' is not"),
        ("user_profile", TAOBAO["user_profile.csv"].replace(",96,", ",97,"), "row 2, column 'cms_segid': 97 is not"),
        ("user_profile", TAOBAO["user_profile.csv"].replace("900001", ""), "row 1, column 'userid': '' is not"),
    ],
)
def test_malformed(tmp_path: Path, file: str, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        imported(tmp_path, **{file: text})
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    with pytest.raises(DataError, match=r"nothing of taobao found: it should have raw_sample\.csv; it is empty"):
        Taobao(raw=tmp_path / "raw").write(tmp_path / "store", Notes())


def test_real_rows(tmp_path: Path) -> None:
    if not REAL.is_dir():
        pytest.skip(f"{REAL} is not there")
    Taobao(raw=REAL).write(tmp_path / "store", Notes())
    dataset = open_store(tmp_path / "store")
    assert sorted(dataset.counts) == [1, 1, 1, 2]  # user 914836 has two impressions
    assert sum(np.asarray(dataset.client(client).columns["y"]).sum() for client in range(4)) == 0
