"""FedScale's archive of Common Voice."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from media_raw import encoded, put, tone
from test_common_voice import by_client, imported, texts
from typer.testing import CliRunner

import fedscale
from fedscale.cli.main import app
from fedscale.data.manifests import Places
from fedscale.data.store import open_store
from fedscale.errors import DataError

HEADER = "audio,transcript,client_id"


def archive(root: Path, prefix: str = "", folder: str = "") -> None:
    """Clients 0 and 1 of train.csv, with two and one recordings, and 0 of test.csv, with one."""
    said = {"a": "ONE TWO\n", "b": "Two, it's!", "c": "three", "d": "ÉTÉ"}
    for number, (name, text) in enumerate(said.items()):
        split = "test" if name == "d" else "train"
        put(root / split / "txt" / f"{name}.txt", text)
        put(root / split / "wav" / f"{name}.wav", encoded(tone(0.2 + 0.1 * number)))
    rows = [
        f"{prefix}train/wav/{name}.wav,{prefix}train/txt/{name}.txt,{who}"
        for name, who in (("a", 0), ("c", 1), ("b", 0))
    ]
    put(root / folder / "train.csv", "\n".join([HEADER, *rows]) + "\n")
    put(root / folder / "test.csv", f"{HEADER}\n{prefix}test/wav/d.wav,{prefix}test/txt/d.txt,0\n")
    put(root / "labels.json", '["_", "\'", "A"]')


@pytest.mark.parametrize("folder", ["", "client_data_mapping"])
@pytest.mark.parametrize("prefix", ["", "/mnt/gpu/common_voice/", "data/common_voice/"])
def test_recordings_and_transcripts(tmp_path: Path, prefix: str, folder: str) -> None:
    archive(tmp_path / "raw" / "common_voice", prefix, folder)
    notes = imported(tmp_path, tmp_path / "raw", seconds=0.5)
    expected = {"train/0": ["one two", "two it's"], "train/1": ["three"], "test/0": ["été"]}
    assert texts(tmp_path / "store") == by_client(expected)
    dataset = open_store(tmp_path / "store")
    assert dataset.card.without == ()
    assert dataset.card.vocabulary == ("", " ", "'", *"ehinorstw", "é")
    assert (notes.read, notes.skipped) == (4, {})
    x = [dataset.client(client).columns["x"][:] for client in range(3)]  # type: ignore[index]
    lengths = sorted(int(abs(row).nonzero()[0][-1]) // 1600 for rows in x for row in rows)
    assert lengths == [1, 2, 3, 4]  # tenths of a second


def test_what_is_missing_is_counted(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    archive(raw)
    (raw / "train" / "wav" / "c.wav").unlink()
    (raw / "test" / "txt" / "d.txt").unlink()
    put(raw / "train" / "txt" / "b.txt", b"\xff\xfe\x00")
    notes = imported(tmp_path, raw)
    assert texts(tmp_path / "store") == [["one two"]]
    assert notes.skipped == {
        "the transcript is not there": 1,
        "a transcript that cannot be read": 1,
        "the recording is not there": 1,
    }
    assert notes.first["the transcript is not there"] == f"{raw / 'test.csv'} row 1"
    for path in raw.rglob("*.wav"):
        path.unlink()
    notes = imported(tmp_path / "again", raw)
    assert open_store(tmp_path / "again" / "store").card.without == ("x",)


def test_a_recording_counts_once(tmp_path: Path) -> None:
    archive(tmp_path / "raw")
    rows = ["train/wav/a.wav,train/txt/gone.txt,0", *["train/wav/b.wav,train/txt/b.txt,0"] * 2]
    put(tmp_path / "raw" / "train.csv", "\n".join([HEADER, *rows]) + "\n")
    notes = imported(tmp_path, tmp_path / "raw")
    assert texts(tmp_path / "store") == by_client({"train/0": ["two it's"], "test/0": ["été"]})
    assert notes.skipped == {"the transcript is not there": 1, "told of before": 1}


def test_the_owners_tables_come_first(tmp_path: Path) -> None:
    archive(tmp_path / "raw")
    put(tmp_path / "raw" / "train.tsv", "client_id\tpath\tsentence\nx\ty.mp3\tOwner\n")
    imported(tmp_path, tmp_path / "raw")
    assert texts(tmp_path / "store") == [["owner"]]


def test_files_at_the_longest_end_of_a_path(tmp_path: Path) -> None:
    places = Places((tmp_path / "a", tmp_path / "b"))
    for name in ("a/x.wav", "b/wav/x.wav", "a/train/wav/x.wav"):
        put(tmp_path / name, name)
    assert places.find("/far/train/wav/x.wav") == tmp_path / "a" / "train" / "wav" / "x.wav"
    assert places.find("/far/wav/x.wav") == tmp_path / "b" / "wav" / "x.wav"
    assert places.find("elsewhere/x.wav") == tmp_path / "a" / "x.wav"
    assert places.find(str(put(tmp_path / "outside.wav", "no"))) is None


@pytest.mark.soak
def test_from_raw_files_to_a_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDSCALE_CACHE", str(tmp_path / "cache"))
    archive(tmp_path / "raw")
    seconds, small = ["--set", "seconds=0.5"], ["data.seconds=0.5", "data.min_samples=1", "rounds.count=2"]
    small += ["model={name: ctc_gru, hidden: 8, channels: 8}", "local.steps=1", "local.batch_size=2"]
    small += ["rounds.participants=1", "evaluate.every=2", "data.split={train: 0.5, validation: 0, test: 0.5}"]
    changes = [part for setting in small for part in ("--set", setting)]
    for arguments in (
        ["data", "import", "common_voice", "--from", str(tmp_path / "raw"), *seconds],
        ["run", "common_voice", "--out", str(tmp_path / "run"), "--workers", "1", *changes],
        ["check", str(tmp_path / "run")],
    ):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
    headline = fedscale.Run(tmp_path / "run").metrics.headline
    assert (headline["metric"], math.isfinite(headline["final"])) == ("wer", True)


GOOD = "train/wav/a.wav,train/txt/a.txt,0"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "its header is '', but a row has the path of a recording, the path of its transcript"),
        ("audio,transcript\n", "its header is 'audio, transcript', but a row has"),
        ("a,a,b\n", "its header is 'a, a, b'"),
        ("client_id,data_path,label_name,label_id\n0,a.wav,,-1\n", "its header is 'client_id, data_path, label_name"),
        (f"{HEADER}\n", "Empty CSV file|no sample is left of"),
        (f"{HEADER}\n{GOOD}\ntrain/wav/b.wav,train/txt/b.txt\n", "Expected 3 columns, got 2"),
        (f"{HEADER}\n{GOOD},1\n", "Expected 3 columns, got 4"),
        (f"{HEADER}\n{GOOD}x\n", "row 1, column 'client_id': '0x' is not a whole number"),
        (f"{HEADER}\n{GOOD}\n{GOOD[:-1]}\n", "row 2, column 'client_id': '' is not a whole number"),
        (f"{HEADER}\n{GOOD[:-1]}-1\n", "row 1, column 'client_id': -1 is not the number of a client"),
        (f"{HEADER}\n,train/txt/a.txt,0\n", "row 1, column 'audio': '' is not a path within the archive"),
        (f"{HEADER}\ntrain/wav/a.wav,,0\n", "row 1, column 'transcript': '' is not a path within the archive"),
        (f"{HEADER}\n../a.wav,train/txt/a.txt,0\n", r"row 1, column 'audio': '\.\./a\.wav' is not a path within"),
        (f"{HEADER}\na.wav,/x/../../etc/passwd,0\n", "row 1, column 'transcript': '/x/../../etc/passwd' is not"),
        (f'{HEADER}\n"a.wav,train/txt/a.txt,0\n', "after row 0"),
        (f"{HEADER}\n".encode() + b"\xff.wav,a.txt,0\n", "after row 0|row 1"),
    ],
)
def test_malformed_lists(tmp_path: Path, content: str | bytes, message: str) -> None:
    archive(tmp_path / "raw")
    (tmp_path / "raw" / "test.csv").unlink()
    put(tmp_path / "raw" / "train.csv", content)
    with pytest.raises(DataError, match=message) as error:
        imported(tmp_path, tmp_path / "raw")
    assert str(tmp_path / "raw") in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]
