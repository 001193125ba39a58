"""Sound and video from raw files to a metric: imported, trained for two rounds by their recipes, and checked."""

from __future__ import annotations

import math
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from media_raw import charades, common_voice, encoded, put, speech_commands, tone, video, vlog
from typer.testing import CliRunner

import fedscale
from fedscale.cli.main import app
from fedscale.data.catalogue import DATASETS
from fedscale.data.notes import Notes
from fedscale.errors import MissingExtraError
from fedscale.recipes import RECIPES, recipe

COLOURS = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]


def words(root: Path) -> None:
    speech_commands(root, {f"{speaker:08x}": ["yes", "no", "up"] for speaker in range(6)})


def sentences(root: Path) -> None:
    rows = [(f"{n % 6:0128x}", f"{n}.mp3", ["one two", "two one", "two"][n % 3]) for n in range(12)]
    put(root / "en" / "validated.tsv", common_voice(rows))
    for n in range(12):
        put(root / "en" / "clips" / f"{n}.mp3", encoded(tone(0.4, hertz=300 + 100 * (n % 3)), kind="MP3"))


def books(root: Path) -> None:
    for n in range(12):
        name = root / "LibriTTS" / "dev-clean" / f"{n % 6}" / "1" / f"{n % 6}_1_{n:06d}_000000"
        put(name.with_name(f"{name.name}.wav"), encoded(tone(0.3, 24_000), 24_000))
        put(name.with_name(f"{name.name}.normalized.txt"), "One, two.")


def homes(root: Path) -> None:
    rows = [(f"AAA{n:02d}", f"P{n % 6}", f"c{n % 3:03d} 0.00 1.00") for n in range(12)]
    put(root / "Charades" / "Charades_v1_train.csv", charades(rows))
    for n in range(12):
        video(root / "Charades_v1_480" / f"AAA{n:02d}.mp4", [COLOURS[n % 3]] * 3)


def diaries(root: Path) -> None:
    clips = [(f"a/b/c/v_xxabc{n}/001", n % 6, n % 3) for n in range(12)]
    vlog(root / "meta", clips)
    for clip, _, label in clips:
        video(root / clip / "clip.mp4", [COLOURS[label]] * 3)


SETS: dict[str, tuple[Callable[[Path], None], dict[str, float], str, str]] = {
    "speech_commands": (words, {}, "{name: cnn, channels: 2}", "accuracy"),
    "common_voice": (sentences, {"seconds": 0.5}, "{name: ctc_gru, hidden: 8, channels: 8}", "wer"),
    "libritts": (books, {"seconds": 0.5}, "{name: mel_decoder, hidden: 8, embedding: 4}", "mel_l1"),
    "charades": (homes, {"frames": 2, "size": 16}, "{name: video_cnn, channels: 2}", "macro_ap"),
    "vlog": (diaries, {"frames": 2, "size": 16}, "{name: video_cnn, channels: 2}", "accuracy"),
}
"""What writes the raw files, options of the import, a small model, and the metric."""


@pytest.mark.parametrize("name", SETS)
def test_from_raw_files_to_a_metric(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, options, model, metric = SETS[name]
    monkeypatch.setenv("FEDSCALE_CACHE", str(tmp_path / "cache"))
    write(tmp_path / "raw")
    run("data", "import", name, "--from", str(tmp_path / "raw"), *settings(**options))
    small = settings(
        **{f"data.{key}": value for key, value in options.items()},
        **{"data.min_samples": 1, "model": model, "local.steps": 1, "local.batch_size": 2},
        **{"rounds.count": 2, "rounds.participants": 2, "evaluate.every": 2},
    )
    run("run", name, "--out", str(tmp_path / "run"), "--workers", "1", *small)
    run("check", str(tmp_path / "run"))
    headline = fedscale.Run(tmp_path / "run").metrics.headline
    assert headline["metric"] == metric
    assert math.isfinite(headline["final"])


def settings(**values: object) -> list[str]:
    return [part for key, value in values.items() for part in ("--set", f"{key}={value}")]


def run(*arguments: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("name", SETS)
def test_recipes_are_the_cards(name: str) -> None:
    job = recipe(name)
    assert name in RECIPES.names()
    assert (job.name, job.data.name, job.model) == (name, name, DATASETS.build(name).card.model)


@pytest.mark.parametrize(
    ("name", "library", "extra"), [("speech_commands", "soundfile", "audio"), ("vlog", "av", "video")]
)
def test_libraries_that_lack_are_named_by_other_processes_too(
    name: str, library: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SETS[name][0](tmp_path / "raw")
    monkeypatch.setitem(sys.modules, library, None)
    entry = DATASETS.build(name, {"raw": tmp_path / "raw"})
    with pytest.raises(MissingExtraError, match=rf"pip install 'fedscale\[{extra}\]'") as error:
        entry.write(tmp_path / "store", Notes())
    again = pickle.loads(pickle.dumps(error.value))
    assert (type(again), str(again)) == (MissingExtraError, str(error.value))
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]
