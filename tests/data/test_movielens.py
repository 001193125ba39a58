"""MovieLens' ratings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tabular_raw import write

from fedscale.data.identity import client_digest
from fedscale.data.importers.movielens import GENRES, MovieLens
from fedscale.data.notes import Notes
from fedscale.data.store import open_store
from fedscale.errors import DataError, FetchError

INTER = (
    "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "77001\t1\t5\t881250949\n77002\t3\t1\t891717742\n77001\t2\t3\t878887116\n"
)
ITEM = (
    "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    "1\tToy Story\t1995\tAnimation Children's Comedy\n2\tGood \"Morning\tunkonwn\tunknown\n"
)
TWO = {"ml-100k.inter": INTER, "ml-100k.item": ITEM}


def imported(tmp_path: Path, content: dict[str, str | bytes]) -> tuple[dict[str, tuple[Any, Any]], Notes]:
    notes = Notes()
    MovieLens(raw=write(tmp_path / "raw", content)).write(tmp_path / "store", notes)
    dataset = open_store(tmp_path / "store")
    columns = [dataset.client(client).columns for client in range(len(dataset))]
    pairs = [(np.asarray(column["x"]).tolist(), np.asarray(column["y"]).tolist()) for column in columns]
    return dict(zip(sorted(["77001", "77002"], key=client_digest), pairs, strict=True)), notes


def own(item: str, date: str = "01-Jan-1995", genre: str = "Animation") -> str:
    """Write a line of u.item."""
    return f"{item}|Caf\u00e9|{date}||http://x|" + "|".join(str(int(name == genre)) for name in GENRES) + "\n"


@pytest.mark.parametrize(
    "content",
    [
        TWO,
        {f"ml-100k/{name}": text for name, text in TWO.items()},
        {
            "u.data": INTER.split("\n", 1)[1],
            "u.item": own("1") + own("2").replace("01-Jan-1995", "").replace("|1", "|0"),
        },
    ],
)
def test_ratings(tmp_path: Path, content: dict[str, str | bytes]) -> None:
    samples, notes = imported(tmp_path, content)
    second = 0 if any("u.data" in name for name in content) else 1
    assert samples == {"77001": ([[1, 75, 4], [2, 0, second]], [5, 3]), "77002": ([[3, 0, 0]], [1])}
    assert notes.record() == {"read": 3, "skipped": {}, "told": []}


def test_without_films(tmp_path: Path) -> None:
    samples, notes = imported(tmp_path, {"ml-100k.inter": INTER})
    assert samples["77001"][0] == [[1, 0, 0], [2, 0, 0]]
    assert notes.told == ["no ml-100k.item or u.item: years and genres of films are 0"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ml-100k.inter": INTER.replace("\t3\t1", "\t1683\t1")}, "row 2, column 'film': 1683 is not a number from 1"),
        ({"ml-100k.inter": INTER.replace("\t3\t1", "\t3\t6")}, r"row 2, column 'rating': 6\.0 is not from 1 to 5"),
        ({"ml-100k.inter": INTER.replace("\t3\t1", "\t3\tnan")}, "row 2, column 'rating': nan is not"),
        ({"ml-100k.inter": INTER.replace("rating:float", "stars")}, "no column 'rating'"),
        ({"ml-100k.item": ITEM.split("\n")[0]}, "ml-100k.item: no film in it"),
    ],
)
def test_malformed(tmp_path: Path, changed: dict[str, str | bytes], message: str) -> None:
    with pytest.raises(DataError, match=message):
        imported(tmp_path, TWO | changed)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_nothing_there_and_another_wheel(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    with pytest.raises(DataError, match="nothing of movielens found"):
        MovieLens(raw=tmp_path / "raw").write(tmp_path / "store", Notes())
    (tmp_path / "raw" / "recbole-1.2.1-py3-none-any.whl").write_bytes(b"PK")
    with pytest.raises(FetchError, match="not the known file"):
        MovieLens(raw=tmp_path / "raw").write(tmp_path / "store", Notes())
