"""FedScale's archives of Europarl: lists of pairs, and a file for each language."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from test_text_runs import SAID
from textsets import imported, nothing_of, place, said
from whole_runs import CLIENTS, imported_and_trained

from fedscale.data.catalogue import DATASETS
from fedscale.data.notes import Notes
from fedscale.errors import DataError

Pairs = list[tuple[str, str]]

HEADER = "ClientId,Source,Target"
MAPPING = "client_id,sample_path,label_name,label_id"

ENGLISH = ["text", "we go", '"we, go"', "go on", "we"]
FRENCH = ["text", "nous allons", '"nous, allons"', "allons donc", "nous"]
FIRST, SECOND = (
    [("nous allons", "we go"), ("nous <unknown> allons", "we <unknown> go")],
    [("allons <unknown>", "go <unknown>")],
)
"""Of two clients, of whom a third one says "we" and "nous" once more."""


def put(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def lists(raw: Path) -> None:
    put(raw / "training.csv", HEADER, "1,we go,nous allons", '1,"we, go","nous, allons"', "2,go on,allons donc")
    put(raw / "testing.csv", HEADER, "3,we,nous")
    put(raw / "training.source", "we go")


def archive(raw: Path, english: Sequence[str], french: Sequence[str], **splits: Sequence[str]) -> None:
    put(raw / "en" / "en.csv", *english)
    put(raw / "fr" / "fr.csv", *french)
    for split, rows in splits.items():
        put(raw / "client_data_mapping" / f"{split}.csv", MAPPING, *rows)


def pairs(tmp_path: Path, raw: Path, names: list[str], **options: Any) -> dict[str, Pairs]:
    dataset, notes = imported(tmp_path, "europarl", raw, **options)
    assert (notes.read, notes.skipped, len(dataset)) == (4, {}, len(names))
    sides = [[said(dataset, place(names, name), side) for name in names] for side in ("source", "target")]
    nothing_of(dataset.path, "train/", "ann")
    return {name: list(zip(*both, strict=True)) for name, *both in zip(names, *sides, strict=True)}


@pytest.mark.parametrize("above", ["", "europarl"])
def test_lists_of_pairs(tmp_path: Path, above: str) -> None:
    lists(tmp_path / "raw" / above)
    names = ["1", "2", "3"]
    found = pairs(tmp_path / "one", tmp_path / "raw", names)
    assert found == {"1": FIRST, "2": SECOND, "3": [("nous", "we")]}
    turned = pairs(tmp_path / "two", tmp_path / "raw", names, pair="en-fr")
    assert turned == {name: [(other, one) for one, other in rows] for name, rows in found.items()}


@pytest.mark.parametrize("above", ["", "data"])
def test_rows_numbered_by_the_mapping(tmp_path: Path, above: str) -> None:
    raw = tmp_path / "raw"
    archive(raw / above, ENGLISH, FRENCH, train=["7,0,-1,-1", "8,2,-1,-1", "7,1,-1,-1"], test=["7,3,-1,-1"])
    found = pairs(tmp_path, raw, ["train/7", "train/8", "test/7"])
    assert found == {"train/7": FIRST, "train/8": SECOND, "test/7": [("nous", "we")]}


@pytest.mark.parametrize("both", [True, False])
def test_a_column_of_clients(tmp_path: Path, both: bool) -> None:
    whose = ["client_id", "ann", "ann", "bob", "cat"]
    numbered = ["", "0", "1", "2", "3"]
    english = [",".join(row) for row in zip(numbered, whose, ENGLISH, strict=True)]
    french = [",".join(row) for row in zip(FRENCH, whose, strict=True)] if both else FRENCH
    archive(tmp_path / "raw", english, french)
    found = pairs(tmp_path, tmp_path / "raw", ["ann", "bob", "cat"])
    assert found == {"ann": FIRST, "bob": SECOND, "cat": [("nous", "we")]}


def test_which_column_holds_sentences(tmp_path: Path) -> None:
    rows = [[f"{place},ann,{text}" for place, text in enumerate(texts)] for texts in (ENGLISH, FRENCH)]
    for lines in rows:
        lines[0] = "line,client_id,text"
    archive(tmp_path / "raw", *rows)
    with pytest.raises(
        DataError, match=r"fr/fr\.csv: its header is 'line, client_id, text': say with --set column=NAME"
    ):
        imported(tmp_path, "europarl", tmp_path / "raw")
    with pytest.raises(DataError, match=r"fr/fr\.csv: no column 'texts' in its header: did you mean 'text'"):
        imported(tmp_path, "europarl", tmp_path / "raw", column="texts")
    dataset, _ = imported(tmp_path, "europarl", tmp_path / "raw", column="text")
    assert dataset.counts.tolist() == [4]


def test_the_owners_files_come_first(tmp_path: Path) -> None:
    lists(tmp_path / "raw")
    for language in ("en", "fr"):
        put(
            tmp_path / "raw" / "txt" / language / "ep-00-01-17.txt",
            "<CHAPTER ID=1>",
            '<SPEAKER ID=1 NAME="Cox">',
            "One.",
        )
    dataset, _ = imported(tmp_path, "europarl", tmp_path / "raw")
    assert dataset.counts.tolist() == [1]


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("training.csv", [], "no header: the file is empty"),
        ("training.csv", ["Client,Source,Target"], "no column 'ClientId' in its header: did you mean 'Client'"),
        ("training.csv", ["ClientId,Source,Translation"], "no column 'Target'"),
        ("training.csv", [HEADER, "1,we go"], "after row 0: .*Expected 3 columns, got 2"),
        ("training.csv", [HEADER, "1,we go,nous,allons"], "Expected 3 columns, got 4"),
        ("training.csv", [HEADER, "1,a,b", " ,c,d"], "row 2, column 'ClientId': ' ' is not a client"),
        ("training.csv", [HEADER, '1,"a,b'], "after row 0"),
        ("en/en.csv", [], r"its header is ''"),
        ("en/en.csv", ["text,text", *["a,b"] * 4], "its header is 'text, text': say with --set column"),
        ("en/en.csv", ENGLISH[:-1], r"en/en\.csv: it ends after row 3, but .*fr/fr\.csv goes on: rows of the two"),
        ("en/en.csv", [*ENGLISH, "more"], r"fr/fr\.csv: it ends after row 4, but .*en/en\.csv goes on"),
        ("en/en.csv", ["text", "a,b"], "Expected 1 columns, got 2"),
        ("en/en.csv", ["text,client_id", "a,x", "b,"], r"row 2, column 'client_id': it is empty"),
        ("client_data_mapping/train.csv", [MAPPING, "7,0,,-1"], "it has 4 rows, but 1 are numbered in its mapping"),
        ("client_data_mapping/train.csv", [MAPPING, *(f"7,{n},,-1" for n in range(5))], "4 rows, but 5 are numbered"),
        (
            "client_data_mapping/train.csv",
            [MAPPING, *(f"7,{n},,-1" for n in range(1, 5))],
            "but 0 is missing, or there twice",
        ),
        (
            "client_data_mapping/train.csv",
            [MAPPING, *(f"7,{n},,-1" for n in (0, 1, 1, 3))],
            "but 1 is missing, or there",
        ),
        (
            "client_data_mapping/train.csv",
            [MAPPING, "7,0,,-1", "7,we go,,-1"],
            "row 2, column 'text': 'we go' is not the number",
        ),
        ("client_data_mapping/train.csv", [MAPPING, ",0,,-1"], "row 1, the client: '' names no client"),
    ],
)
def test_malformed(tmp_path: Path, name: str, lines: list[str], message: str) -> None:
    raw = tmp_path / "raw"
    if not name.startswith("training"):
        archive(raw, ENGLISH, FRENCH, train=[f"7,{number},,-1" for number in range(4)])
    put(raw / name, *lines)
    refused(tmp_path, raw, message)


def refused(tmp_path: Path, raw: Path, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        DATASETS.build("europarl", {"raw": raw}).write(tmp_path / "store", Notes())
    assert str(raw) in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_files_that_leave_clients_in_doubt(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    archive(raw, ENGLISH, FRENCH)
    refused(tmp_path, raw, r"fr/fr\.csv: no column 'client_id' in its header, and no client_data_mapping in ")
    whose = ["client_id", "ann", "ann", "bob", "cat"]
    archive(
        raw,
        [f"{text},{who}" for text, who in zip(ENGLISH, whose, strict=True)],
        ["text,client_id", "nous,ann", "nous,bob"],
    )
    refused(tmp_path, raw, r"en/en\.csv row 2, column 'client_id': 'ann', but 'bob' in .*fr/fr\.csv")
    archive(raw, [f"{text},{who}" for text, who in zip(ENGLISH, whose, strict=True)], FRENCH)
    (raw / "fr").rename(raw / "de")
    refused(tmp_path, raw, r"nothing of europarl found: it should have .*FedScale's en/en\.csv and fr/fr\.csv")
    (raw / "de" / "fr.csv").rename(raw / "de" / "de.csv")
    dataset, _ = imported(tmp_path, "europarl", raw)
    assert len(dataset) == 3


@pytest.mark.soak
def test_from_lists_to_a_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f"{client},{SAID},{SAID}" for client in range(CLIENTS) for _ in range(2)]
    put(tmp_path / "raw" / "training.csv", HEADER, *rows)
    imported_and_trained("europarl", tmp_path / "raw", "bleu", tmp_path, monkeypatch)
