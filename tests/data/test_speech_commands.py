"""Speech Commands: the archive, FedScale's flat one, and maps without recordings."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
from media_raw import encoded, put, speech_commands, tone

import fedscale
from fedscale.data.identity import client_digest
from fedscale.data.importers.speech_commands import WORDS, SpeechCommands
from fedscale.data.notes import Notes
from fedscale.data.store import open_store
from fedscale.errors import DataError

SHARED = Path(__file__).parents[3] / "shared" / "data"

ROWS = {"0a2b400e": ["yes", "no", "yes"], "c1": ["no"], "ffee": ["zero", "backward"]}


def words(path: Path) -> list[list[str]]:
    """What each client of a store says, sorted; clients in the store's order."""
    dataset = open_store(path)
    said = [np.asarray(dataset.client(client).columns["y"]) for client in range(len(dataset))]
    return [sorted(WORDS[label] for label in labels) for labels in said]


def by_speaker(rows: dict[str, list[str]]) -> list[list[str]]:
    return [sorted(rows[speaker]) for speaker in sorted(rows, key=client_digest)]


def imported(tmp_path: Path, raw: Path, **options: object) -> Notes:
    notes = Notes()
    SpeechCommands(raw=raw, **options).write(tmp_path / "store", notes)  # type: ignore[arg-type]
    return notes


@pytest.mark.parametrize("level", [".", "speech_commands_v0.02"])
def test_the_archive(tmp_path: Path, level: str) -> None:
    speech_commands(tmp_path / "raw" / level, ROWS)
    notes = imported(tmp_path, tmp_path / "raw")
    assert words(tmp_path / "store") == by_speaker(ROWS)
    assert notes.record() == {"read": 6, "skipped": {}, "told": []}
    dataset = open_store(tmp_path / "store")
    x = dataset.client(0).columns["x"]
    assert (x.shape[1:], x.dtype) == ((1, 32, 32), np.float32)
    assert dataset.card.label_names == WORDS
    assert len(WORDS) == 35
    for path in (tmp_path / "store").iterdir():
        for speaker in ROWS:
            assert speaker.encode() not in path.read_bytes() or len(speaker) < 4


def test_fedscales_archive_has_the_same_clients(tmp_path: Path) -> None:
    speech_commands(tmp_path / "raw", ROWS)
    flat = tmp_path / "google_speech"
    lines = ["client_id,sample_path,label_name,label_id"]
    for path in sorted((tmp_path / "raw").glob("[a-z]*/*.wav")):
        name = f"{path.parent.name}_{path.name}"
        put(flat / "train" / name, path.read_bytes())
        lines.append(f"7,{name},{path.parent.name},0")
    lines.append("8,bed_0001_nohash_0.wav,bed,3")
    put(flat / "client_data_mapping" / "train.csv", "\n".join(lines) + "\n")
    notes = imported(tmp_path, flat)
    assert words(tmp_path / "store") == by_speaker(ROWS)
    assert notes.skipped == {"the recording is not there": 1}


@pytest.mark.parametrize("kind", ["mapping", "map"])
def test_maps_without_recordings(tmp_path: Path, kind: str) -> None:
    if kind == "map":
        put(tmp_path / "raw" / "clientDataMap.csv", "file,client\nyes_aa_nohash_1.wav,0\nno_bb_nohash_0.wav,1\n")
    else:
        rows = "client_id,sample_path,label_name,label_id\n0,yes_aa_nohash_1.wav,yes,33\n"
        put(tmp_path / "raw" / "client_data_mapping" / "train.csv", rows)
        put(tmp_path / "raw" / "client_data_mapping" / "test.csv", rows.replace("yes_aa", "no_bb"))
    notes = imported(tmp_path, tmp_path / "raw")
    assert words(tmp_path / "store") == by_speaker({"aa": ["yes"], "bb": ["no"]})
    assert open_store(tmp_path / "store").card.without == ("x",)
    assert notes.told[0].startswith("no recordings under")
    assert notes.read == 2


def test_the_owners_parts(tmp_path: Path) -> None:
    raw = speech_commands(tmp_path / "raw" / "SpeechCommands" / "speech_commands_v0.02", ROWS)
    put(raw / "validation_list.txt", "no/c1_nohash_0.wav\n")
    put(raw / "testing_list.txt", "zero/ffee_nohash_0.wav\nbackward/ffee_nohash_1.wav\n")
    for part, speakers in (("train", ["0a2b400e"]), ("validation", ["c1"]), ("test", ["ffee"])):
        imported(tmp_path / part, tmp_path / "raw", part=part)
        assert words(tmp_path / part / "store") == by_speaker({speaker: ROWS[speaker] for speaker in speakers})
    put(raw / "testing_list.txt", "zero ffee_nohash_0.wav\n")
    with pytest.raises(DataError, match=r"testing_list\.txt line 1: .* is not <word>/<hash>"):
        imported(tmp_path, raw, part="test")
    (raw / "testing_list.txt").unlink()
    with pytest.raises(DataError, match=r"part is 'test', but there is no testing_list\.txt"):
        imported(tmp_path, raw, part="test")


def test_what_cannot_be_used_is_counted(tmp_path: Path) -> None:
    raw = speech_commands(tmp_path / "raw", ROWS)
    put(raw / "yes" / "dd_nohash_0.wav", b"not a recording")
    put(raw / "yes" / "dd_nohash_1.wav", encoded(np.zeros(0, np.float32)))
    put(raw / "zebra" / "dd_nohash_0.wav", encoded(tone()))
    put(raw / "yes" / "noise.wav", encoded(tone()))
    notes = imported(tmp_path, raw)
    assert words(tmp_path / "store") == by_speaker(ROWS)
    assert notes.read == 10
    assert notes.skipped == {
        "a word that is not among the 35": 1,
        "not named <word>/<hash>_nohash_<number>.wav": 1,
        "recording: a recording without a sample": 1,
        "recording: not a recording that can be read: it is cut off or of no known kind": 1,
    }


def test_nothing_there(tmp_path: Path) -> None:
    put(tmp_path / "raw" / "a.txt", "")
    with pytest.raises(DataError, match=r"nothing of speech_commands found: it should have <word>/.* it has a\.txt"):
        imported(tmp_path, tmp_path / "raw")
    put(tmp_path / "raw" / "yes" / "dd_nohash_0.wav", b"not a recording")
    with pytest.raises(DataError, match="no sample is left of 1 rows: 1 recording: not a recording"):
        imported(tmp_path, tmp_path / "raw")
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_real_recordings(tmp_path: Path) -> None:
    raw = SHARED / "raw" / "speech_commands"
    if not raw.is_dir():
        pytest.skip(f"{raw} is not there")
    notes = imported(tmp_path, raw)
    rows = {"0a2b400e": ["backward"] * 3 + ["visual"] * 3, "0c540988": ["down"], "0c40e715": ["down"]}
    assert words(tmp_path / "store") == by_speaker(rows | {"0ea0e2f4": ["bed"]})
    assert notes.skipped == {}


def test_real_map(tmp_path: Path) -> None:
    name = "fedscale_speech_commands_clientDataMap.csv.xz"
    if not (SHARED / "samples" / name).is_file():
        pytest.skip(f"{SHARED} is not there")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / name).symlink_to(SHARED / "samples" / name)
    imported(tmp_path, tmp_path / "raw")
    counts = open_store(tmp_path / "store").counts
    assert (len(counts), counts.sum(), counts.max()) == (2_187, 103_171, 316)
    assert np.percentile(counts, [5, 50, 95]).tolist() == [21, 30, 122]


DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def spoken_digits(root: Path, archive: Path, most: int) -> Path:
    """Real spoken digits in the archive's layout: up to ``most`` of each digit by each speaker."""
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name.endswith(".wav"):
                digit, speaker, number = Path(member.name).stem.split("_")
                if int(number) < most:
                    content = tar.extractfile(member)
                    assert content is not None
                    put(root / DIGITS[int(digit)] / f"{speaker}_nohash_{number}.wav", content.read())
    return root


@pytest.mark.parametrize(
    ("model", "least"),
    [("logistic_regression", 0.4), pytest.param("cnn", 0.6, marks=pytest.mark.soak)],
)
def test_keywords_are_learnt_from_real_speech(tmp_path: Path, model: str, least: float) -> None:
    archive = SHARED / "samples" / "fsdd_recordings.tar.xz"
    if not archive.is_file():
        pytest.skip(f"{archive} is not there")
    imported(tmp_path, spoken_digits(tmp_path / "raw", archive, 8))
    assert open_store(tmp_path / "store").counts.tolist() == [80] * 6
    job = fedscale.recipe("speech_commands").with_settings(
        [
            f"data.name={tmp_path / 'store'}",
            "data.split={train: 1, validation: 0, test: 0, within_client: 0.2}",
            f"model={{name: {model}}}",
            "local={steps: 20, batch_size: 20, lr: 0.05, momentum: 0.5}",
            "rounds={participants: 4, count: 15}",
            "evaluate={every: 15, split: held_out}",
            "devices=none",
            "availability=none",
        ]
    )
    run = fedscale.simulate(job, tmp_path / "run", workers=1)
    assert run.metrics.headline["final"] > least  # 0.1 would be chance
