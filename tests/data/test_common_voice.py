"""Common Voice: tables of all versions, clips where they are, each once, and characters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from media_raw import common_voice, encoded, put, tone

from fedscale.data.characters import alphabet, spoken, tokens
from fedscale.data.identity import client_digest
from fedscale.data.importers.common_voice import CommonVoice
from fedscale.data.notes import Notes
from fedscale.data.store import open_store
from fedscale.errors import DataError

REAL = Path(__file__).parents[3] / "shared" / "data" / "raw" / "common_voice"

ANN, BOB = "a" * 128, "b" * 128
ROWS = [(ANN, "one.mp3", "Hi, Bo!"), (BOB, "two.mp3", '"Oh" he said'), (ANN, "three.mp3", "It’s  me…")]


def imported(tmp_path: Path, raw: Path, **options: object) -> Notes:
    notes = Notes()
    CommonVoice(raw=raw, **options).write(tmp_path / "store", notes)  # type: ignore[arg-type]
    return notes


def texts(path: Path) -> list[list[str]]:
    """What each client of a store says; clients in the store's order."""
    dataset = open_store(path)
    vocabulary = dataset.card.vocabulary
    assert vocabulary is not None
    return [
        ["".join(vocabulary[token] for token in row) for row in dataset.client(client).columns["tokens"].rows()]  # type: ignore[union-attr]
        for client in range(len(dataset))
    ]


def by_client(rows: dict[str, list[str]]) -> list[list[str]]:
    return [rows[name] for name in sorted(rows, key=client_digest)]


@pytest.mark.parametrize("place", ["clips", "../clips"])
@pytest.mark.parametrize("version", [1, 5, 9, 13, 17])
def test_tables_and_clips(tmp_path: Path, version: int, place: str) -> None:
    folder = tmp_path / "raw" / "cv-corpus" / "en"
    names = [(client, path.removesuffix(".mp3") if version == 1 else path, text) for client, path, text in ROWS]
    put(folder / "validated.tsv", common_voice(names, version))
    for name, seconds in (("one", 0.5), ("two", 1.0), ("three", 0.3)):
        put(folder / place / f"{name}.mp3", encoded(tone(seconds, 32_000), 32_000, "MP3"))
    imported(tmp_path, tmp_path / "raw", seconds=1.5)
    assert texts(tmp_path / "store") == by_client({ANN: ["hi bo", "it's me"], BOB: ["oh he said"]})
    dataset = open_store(tmp_path / "store")
    assert (dataset.card.sample_shape, dataset.card.x_scale) == ((24_000,), 1 / 32_768)
    assert dataset.card.vocabulary == ("", " ", "'", *"abdehimost")
    ann = by_client({ANN: [1], BOB: [0]}).index([1])
    x = dataset.client(ann).columns["x"][np.array([0, 1])]  # type: ignore[index]
    assert (x.shape, x.dtype) == ((2, 24_000), np.int16)
    assert [10_000 < abs(row[:4000]).max() < 20_000 for row in x] == [True, True]
    assert [int(np.flatnonzero(row)[-1]) // 1600 for row in x] in ([5, 3], [4, 3], [5, 2], [4, 2])  # tenths of a second
    for path in (tmp_path / "store").iterdir():
        assert ANN.encode() not in path.read_bytes()
        assert b"three.mp3" not in path.read_bytes()


def test_parts_in_which_nobody_is(tmp_path: Path) -> None:
    put(tmp_path / "raw" / "test.tsv", common_voice([]))
    put(tmp_path / "raw" / "dev.tsv", common_voice(ROWS))
    put(tmp_path / "raw" / "clips" / "one.mp3", encoded(tone(0.5, 32_000), 32_000, "MP3"))
    put(tmp_path / "raw" / "clips" / "two.mp3", b"")  # there are such
    notes = imported(tmp_path, tmp_path / "raw", seconds=1.5)
    assert sum(map(len, texts(tmp_path / "store"))) == 1
    assert notes.skipped == {
        "recording: not a recording that can be read: it is cut off or of no known kind": 1,
        "the recording is not there": 1,
    }
    other = tmp_path / "other" / "other.tsv"
    put(other, common_voice(ROWS))
    with pytest.raises(DataError, match=r"another of other\.tsv by the option tables"):
        imported(tmp_path, other.parent)


def test_every_clip_once(tmp_path: Path) -> None:
    for table, rows in {
        "validated": ROWS,
        "train": ROWS[:1],
        "dev": ROWS[1:2],
        "test": [(BOB, "x.mp3", "new")],
    }.items():
        put(tmp_path / "raw" / f"{table}.tsv", common_voice(rows))
    put(tmp_path / "raw" / "other.tsv", common_voice([(BOB, "y.mp3", "not yet heard")]))
    put(tmp_path / "raw" / "reported.tsv", "sentence\tsentence_id\tlocale\treason\nbad\t1\ten\tother\n")
    notes = imported(tmp_path, tmp_path / "raw")
    both = texts(tmp_path / "store")
    assert sorted(sorted(said) for said in both) == [["hi bo", "it's me"], ["new", "oh he said"]]
    assert notes.skipped == {"told of before": 2}
    assert notes.read == 6
    assert notes.told[0].startswith("no recordings under")
    imported(tmp_path / "other", tmp_path / "raw", tables=("other",))
    assert texts(tmp_path / "other" / "store") == [["not yet heard"]]


def test_what_cannot_be_used_is_counted(tmp_path: Path) -> None:
    rows = [
        *ROWS,
        (BOB, "four.mp3", "…"),
        (BOB, "five.mp3", "gone"),
        (BOB, "six.mp3", "bad"),
        (BOB, "seven.mp3", "long"),
    ]
    put(tmp_path / "raw" / "train.tsv", common_voice(rows))
    for name in ("one", "two", "three", "four"):
        put(tmp_path / "raw" / "clips" / f"{name}.mp3", encoded(tone(0.3), kind="MP3"))
    put(tmp_path / "raw" / "clips" / "six.mp3", b"no sound")
    put(tmp_path / "raw" / "clips" / "seven.mp3", encoded(tone(2.0), kind="MP3"))
    notes = imported(tmp_path, tmp_path / "raw", seconds=1.0)
    assert sorted(map(len, texts(tmp_path / "store"))) == [1, 2]
    assert notes.skipped == {
        "a text without a letter": 1,
        "the recording is not there": 1,
        "recording: longer than 1 s": 1,
        "recording: not a recording that can be read: it is cut off or of no known kind": 1,
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Kırk sekiz parti, aday!", "kırk sekiz parti aday"),
        ("İSTANBUL", "istanbul"),
        ("Nuremberg’de 'de'", "nuremberg'de 'de'"),
        ("cafe\u0301", "café"),
        ("வந்து சேர்ந்தோம்.", "வந்து சேர்ந்தோம்"),
        ("می\u200cکنند؟", "میکنند"),
        ("well-known\tfact_s", "well known fact s"),
        ("«…»", ""),
    ],
)
def test_texts_as_they_are_spoken(text: str, said: str) -> None:
    assert spoken(text) == said


def test_alphabets_and_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary = alphabet([["ba", "a"], ["a c"]])
    assert vocabulary == ("", " ", "a", "b", "c")
    assert [row.tolist() for row in tokens(["cab", "x a", ""], vocabulary).rows()] == [[4, 2, 3], [1, 2], []]
    monkeypatch.setattr("fedscale.data.characters.MOST", 2)
    assert alphabet([["ba", "a"], ["a c"]]) == ("", " ", "a")  # ties: the smallest
    assert alphabet([["zz", "zz"], ["y"], ["yx"]]) == ("", "x", "y")


HEADER, *LINES = common_voice(ROWS).splitlines()
GOOD = "\n".join([HEADER, *LINES]) + "\n"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "no header: the file is empty"),
        ("\n" + GOOD, "no header"),
        (HEADER, "no sample is left of 0 rows"),
        (GOOD.replace("client_id", "client"), r"no column 'client_id' in its header: did you mean 'client'"),
        (GOOD.replace("path", "clip", 1), "no column 'path'"),
        (GOOD.replace("sentence", "text", 1), "no column 'sentence'"),
        (GOOD.replace("\t", ","), "no column 'client_id'"),
        (GOOD.replace("\t", "    "), "no column 'client_id'"),
        (GOOD + "cut\toff\n", "Expected 10 columns, got 2"),
        (GOOD.replace(LINES[1], LINES[1] + "\tmore"), "Expected 10 columns, got 11"),
        (GOOD.replace(BOB, ""), "row 2, column 'client_id': it is empty"),
        (GOOD.replace("two.mp3", ""), "row 2, column 'path': '' is no name of a clip"),
        (GOOD.replace("two.mp3", "../../two.mp3"), r"row 2, column 'path': '\.\./\.\./two\.mp3' is no name"),
        (GOOD.replace("two.mp3", "/etc/two.mp3"), "row 2, column 'path': '/etc/two.mp3' is no name"),
        (GOOD.encode() + b"c\tx.mp3\t\xff\xfe" + b"\t" * 7 + b"\n", "validated.tsv"),
        (b"\x1f\x8b" + b"\0" * 40, "no column 'client_id'"),
        (b"\0" * 100, "no column 'client_id'"),
        (GOOD.encode("utf-16"), "no column 'client_id'"),
    ],
)
def test_malformed_tables(tmp_path: Path, table: str | bytes, message: str) -> None:
    put(tmp_path / "raw" / "validated.tsv", table)
    with pytest.raises(DataError, match=message) as error:
        imported(tmp_path, tmp_path / "raw")
    assert str(tmp_path / "raw") in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_nothing_there(tmp_path: Path) -> None:
    put(tmp_path / "raw" / "reported.tsv", GOOD)
    with pytest.raises(DataError, match=r"nothing of common_voice found: it should have validated\.tsv"):
        imported(tmp_path, tmp_path / "raw")


@pytest.mark.parametrize(
    ("folder", "clients", "samples", "skipped"),
    [
        ("v1-to-v4_tr", 40, 180, {"told of before": 60}),
        ("v6.1_ab", 5, 8, {}),
        ("v9-to-v12_vi", 46, 180, {}),
        ("v13-to-v16_fa", 9, 60, {}),
        ("v13-to-v16_ta", 1, 2, {"the recording is not there": 11}),
    ],
)
def test_real_tables(tmp_path: Path, folder: str, clients: int, samples: int, skipped: dict[str, int]) -> None:
    if not REAL.is_dir():
        pytest.skip(f"{REAL} is not there")
    notes = imported(tmp_path, REAL / folder)
    dataset = open_store(tmp_path / "store")
    assert (len(dataset), dataset.counts.sum(), notes.skipped) == (clients, samples, skipped)
    assert dataset.card.without == (() if folder.endswith("ta") else ("x",))
