"""Own CSV and Parquet files, read piece by piece: the same as a table in memory, and errors that name the row."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedscale import limits
from fedscale.data import own, rawcsv
from fedscale.data.federated import FederatedDataset
from fedscale.data.own import streams
from fedscale.errors import DataError

WALKS = """user,ax,ay,activity
ann,0.5,1,sit
ann,2.25,-3,walk
bob,6,0,run
ann,1e2,0.125,walk
"""
FEATURES = ["ax", "ay"]


def put(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def content(dataset: FederatedDataset) -> list[dict[str, Any]]:
    return [{name: np.asarray(column).tolist() for name, column in client.items()} for client in dataset]


def walks(files: Any, store: Path, **changes: Any) -> FederatedDataset:
    return own.from_csv(files, store, **{"client": "user", "x": FEATURES, "y": "activity", **changes})


def test_a_file_is_what_its_table_is(tmp_path: Path) -> None:
    file = put(tmp_path / "walks.csv", WALKS)
    table = own.from_table(pd.read_csv(file), tmp_path / "table", client="user", x=FEATURES, y="activity")
    streamed = walks(file, tmp_path / "streamed", title="Walks")
    assert streamed.card.label_names == ("run", "sit", "walk")
    assert (streamed.card.title, streamed.card.sample_shape) == ("Walks", (2,))
    assert content(streamed) == content(table)
    assert sorted(client["x"] for client in content(streamed)) == [[[0.5, 1], [2.25, -3], [100, 0.125]], [[6, 0]]]


def test_pieces_files_and_compression_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header, *rows = WALKS.splitlines(keepends=True)
    rows *= 50
    whole = content(walks(put(tmp_path / "whole.csv", "".join([header, *rows])), tmp_path / "whole"))
    monkeypatch.setattr(rawcsv, "BLOCK_BYTES", 100)
    monkeypatch.setattr(limits, "GROUP_BYTES", 200)
    first = put(tmp_path / "first.csv", "\ufeff" + "".join([header, *rows[:77]]))
    second = tmp_path / "second.csv.gz"
    second.write_bytes(gzip.compress("".join([header, *rows[77:]]).encode()))
    assert content(walks([first, second], tmp_path / "pieces")) == whole
    other = put(tmp_path / "other.csv", "".join([header, *rows]).replace(",", ";"))
    assert content(walks(str(other), tmp_path / "other", delimiter=";")) == whole


@pytest.mark.parametrize(
    ("last", "task", "labels"),
    [("2", "classification", [0, 1, 2]), ("2.5", "regression", [0, 1, 2.5]), ("b", "classification", [0, 1, 2])],
)
def test_the_last_row_has_a_say_in_what_labels_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str, task: str, labels: list[float]
) -> None:
    monkeypatch.setattr(rawcsv, "BLOCK_BYTES", 8)
    file = put(tmp_path / "f.csv", f"who,x,y\n7,1,0\n7,2,1\n7,3,{last}\n")
    dataset = own.from_csv(file, tmp_path / "store", client="who", x="x", y="y")
    assert (dataset.card.task, dataset[0]["y"].tolist()) == (task, labels)  # type: ignore[union-attr]
    assert dataset.card.label_names == (("0", "1", "b") if last == "b" else None)


def test_texts_of_a_file(tmp_path: Path) -> None:
    file = put(tmp_path / "chats.csv", 'who,said\nann,"hi,\nyou"\nbob,oh\n')
    dataset = own.from_csv(file, tmp_path / "chats", client="who", text="said")
    assert dataset.card.vocabulary == ("", *"\n,hiouy")
    assert sorted(len(tokens) for client in dataset for tokens in client["tokens"]) == [2, 7]


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        ("ann,1,2,sit\nann,,2,sit\n", {}, "f.csv row 2, column 'ax': '' is not a number"),
        ("ann,1,2,sit\nann,one,2,sit\n", {}, "f.csv row 2, column 'ax': 'one' is not a number"),
        ("ann,1,2,sit\nann,1,2,\n", {}, "f.csv row 2, column 'activity': '' is not a label"),
        ("ann,1,2,0\nann,1,2,-1\n", {}, "f.csv row 2: activity -1 is negative: number labels from 0"),
        ("ann,1,2,sit\n,1,2,sit\n", {}, "f.csv row 2: user '' is empty: every sample is some client's"),
        ("ann,1,2,sit\nann,1,nan,sit\n", {}, "f.csv row 2: ax, ay holds a number that is not finite"),
        ("ann,1,2,sit\nann,1\n", {}, "f.csv, after row 0: .*Expected 4 columns, got 2"),
        ("ann,1,2,sit\n", {"x": "az"}, "f.csv: no column 'az' in its header: did you mean 'ay', 'ax'"),
        ("ann,1,2,sit\n", {"y": "action"}, "f.csv: no column 'action' in its header"),
        ("ann,1,2,sit\n", {"y": None}, "name the columns of x and y"),
        ("", {}, "store: there are no samples to write"),
    ],
)
def test_what_does_not_fit_in_a_file_is_named(tmp_path: Path, rows: str, changes: dict[str, Any], message: str) -> None:
    file = put(tmp_path / "f.csv", "user,ax,ay,activity\n" + rows)
    with pytest.raises(DataError, match=message):
        walks(file, tmp_path / "store", **changes)
    assert [path.name for path in tmp_path.iterdir()] == ["f.csv"]
    with pytest.raises(DataError, match=r"none\.csv: no such file"):
        walks(tmp_path / "none.csv", tmp_path / "store")


def test_parquet_is_what_its_table_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table(
        {"who": ["a", "b", "a"], "x": [[[0, 1], [2, 3]]] * 3, "y": [0, 1, 2], "ids": [[1, 2], [3], [4, 5, 6]]}
    )
    file = tmp_path / "f.parquet"
    pq.write_table(table, file)
    expected = own.from_table(table, tmp_path / "table", client="who", x="x", y="y")
    monkeypatch.setattr(streams, "ROWS", 2)
    found = own.from_parquet(file, tmp_path / "found", client="who", x="x", y="y")
    assert (found.card.sample_shape, content(found)) == ((2, 2), content(expected))
    tokens = own.from_parquet([file, file], tmp_path / "tokens", client="who", tokens="ids")
    assert sorted(tokens.counts.tolist()) == [2, 4]


def test_what_does_not_fit_in_parquet_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "ROWS", 2)
    pq.write_table(pa.table({"who": ["a", "b", "a"], "x": [0.5, 1, 2], "y": [0, 1, -2]}), tmp_path / "f.parquet")
    for columns, message in (
        ({"x": "x", "y": "y"}, "f.parquet row 3: y -2 is negative"),
        ({"x": "z", "y": "y"}, "f.parquet: there is no column 'z'"),
    ):
        with pytest.raises(DataError, match=message):
            own.from_parquet(tmp_path / "f.parquet", tmp_path / "store", client="who", **columns)
    put(tmp_path / "g.parquet", "who,x,y\n")
    for name in ("g", "h"):
        with pytest.raises(DataError, match=rf"{name}\.parquet: not a Parquet file that can be read"):
            own.from_parquet(tmp_path / f"{name}.parquet", tmp_path / "store", client="who", x="x", y="y")
    assert not (tmp_path / "store").exists()
