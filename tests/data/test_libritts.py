"""LibriTTS: readers, recordings and texts, from any level of the archive."""

from __future__ import annotations

from pathlib import Path

import pytest
from media_raw import encoded, put, tone
from test_common_voice import by_client, texts

from fedscale.data.importers.libritts import LibriTTS
from fedscale.data.notes import Notes
from fedscale.data.store import open_store
from fedscale.errors import DataError

REAL = Path(__file__).parents[3] / "shared" / "data" / "raw" / "libritts"

SAID = {
    "19/198/19_198_000000_000000": "One.",
    "19/227/19_227_000001_000002": "Two, two!",
    "26/495/26_495_000004_000000": "3",
}


def libritts(root: Path) -> Path:
    for name, text in SAID.items():
        put(root / f"{name}.wav", encoded(tone(0.2, 24_000), 24_000))
        put(root / f"{name}.normalized.txt", text)
        put(root / f"{name}.original.txt", "not this")
    put(root / "19" / "198" / "19_198.trans.tsv", "19_198_000000_000000\tOne.\tOne.\n")
    return root


def imported(tmp_path: Path, raw: Path, **options: object) -> Notes:
    notes = Notes()
    LibriTTS(raw=raw, **options).write(tmp_path / "store", notes)  # type: ignore[arg-type]
    return notes


@pytest.mark.parametrize("level", [".", "LibriTTS", "LibriTTS/train-clean-100", "LibriTTS/train-clean-100/19"])
def test_levels(tmp_path: Path, level: str) -> None:
    libritts(tmp_path / "raw" / "LibriTTS" / "train-clean-100")
    notes = imported(tmp_path, tmp_path / "raw" / level, seconds=0.5)
    rows = {"19": ["one", "two two"]} | ({} if level.endswith("19") else {"26": ["3"]})
    assert texts(tmp_path / "store") == by_client(rows)
    assert (notes.read, notes.skipped) == (len([text for said in rows.values() for text in said]), {})
    x = open_store(tmp_path / "store").client(0).columns["x"]
    assert x.shape[1] == 8000
    assert abs(x[:][0, :3200]).max() > 10_000  # type: ignore[index]
    assert not x[:][0, 3200:].any()  # type: ignore[index]


def test_files_that_lack(tmp_path: Path) -> None:
    raw = libritts(tmp_path / "raw")
    (raw / "19/198/19_198_000000_000000.normalized.txt").unlink()
    (raw / "19/227/19_227_000001_000002.wav").unlink()
    (raw / "26/495/26_495_000004_000000.normalized.txt").write_bytes(b"\xff")
    notes = imported(tmp_path, raw)
    assert texts(tmp_path / "store") == [["not this"]]
    assert notes.skipped == {"no text that can be read": 1, "the recording is not there": 1}
    assert notes.first["no text that can be read"].endswith("26_495_000004_000000")
    (raw / "19/198/19_198_000000_000000.wav").unlink()
    (raw / "26/495/26_495_000004_000000.wav").unlink()
    notes = imported(tmp_path / "texts", raw)
    assert open_store(tmp_path / "texts" / "store").card.without == ("x",)
    assert sorted(texts(tmp_path / "texts" / "store")[0]) == ["not this", "two two"]


def test_nothing_there(tmp_path: Path) -> None:
    put(tmp_path / "raw" / "SPEAKERS.txt", "19 | F")
    with pytest.raises(DataError, match=r"nothing of libritts found: it should have LibriTTS/<part>"):
        imported(tmp_path, tmp_path / "raw")


def test_real_sentences(tmp_path: Path) -> None:
    if not REAL.is_dir():
        pytest.skip(f"{REAL} is not there")
    imported(tmp_path, REAL)
    read = ["this i read with great attention while they sat silent", "knot one point one five miles per hour"]
    assert texts(tmp_path / "store") == by_client({"8455": read[:1], "8463": read[1:]})
