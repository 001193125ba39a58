"""Recordings: what they are decoded to, what is kept of them, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_raw import encoded, tone

from fedscale import limits
from fedscale.data.encoded import DECODERS
from fedscale.data.mel import Mel, hertz, mels, triangles
from fedscale.data.mp3 import is_mp3, without_tags
from fedscale.data.sound import is_cut_off, keep_sound, read_sound
from fedscale.errors import DataError, JobError

RAW = Path(__file__).parents[3] / "shared" / "data" / "raw"


def wave(shape: int = 8, **options: object):
    return DECODERS.build("wave", options, sample_shape=(shape,))


STEPS = np.array([0, 1, -1, 16384, -32768, 32767], np.int16)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "AIFF"])
def test_samples_come_out_as_they_went_in(kind: str) -> None:
    content = encoded(STEPS, kind=kind)
    assert wave(8, dtype="int16")(content).tolist() == [*STEPS.tolist(), 0, 0]
    assert wave(3, dtype="int16")(content).tolist() == [0, 1, -1]
    floats = wave(6)(content)
    assert floats.dtype == np.float32
    np.testing.assert_array_equal(floats, STEPS / 32768)


def test_channels_are_averaged_and_rates_changed() -> None:
    both = np.stack([tone(), -tone()], axis=1)
    assert not read_sound(encoded(both, subtype="FLOAT")).any()
    assert len(read_sound(encoded(tone(1.0, 8000), 8000), 16_000)) == 16_000
    changed = read_sound(encoded(tone(1.0, 48_000), 48_000, subtype="FLOAT"), 16_000)
    np.testing.assert_allclose(changed[200:-200], tone(1.0)[200:-200], atol=1e-4)


def test_what_is_too_loud_is_clipped() -> None:
    content = encoded(np.array([2.0, -2.0], np.float32), subtype="FLOAT")
    assert wave(2, dtype="int16")(content).tolist() == [32767, -32768]
    assert wave(2)(content).tolist() == [2, -2]


@settings(max_examples=25)
@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=50))
def test_what_is_kept_of_a_recording_of_16_bits_is_all_of_it(samples: list[int]) -> None:
    kept = keep_sound(encoded(np.array(samples, np.int16)), 16_000)
    assert kept[:4] == b"fLaC"
    assert wave(len(samples), dtype="int16")(kept).tolist() == samples


def test_titles_and_names_are_not_kept(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    for ending in ("wav", "flac", "mp3"):
        path = tmp_path / f"a.{ending}"
        with soundfile.SoundFile(path, "w", 16_000, 1) as file:
            file.title, file.artist = "A Title", "Very Unlikely"
            file.write(tone(0.5))
        assert b"Very Unlikely" in path.read_bytes()
        assert b"Unlikely" not in keep_sound(path.read_bytes(), 16_000)


def id3v2(text: bytes, footer: bool = False) -> bytes:
    return b"ID3\x04\x00" + bytes([16 * footer, 0, 0, len(text) >> 7, len(text) & 127]) + text + b"\0" * 10 * footer


def ape(text: bytes, header: bool = True) -> bytes:
    rest = (2000).to_bytes(4, "little") + (len(text) + 32).to_bytes(4, "little") + (1).to_bytes(4, "little")
    sides = [b"APETAGEX" + rest + (flags << 29).to_bytes(4, "little") + b"\0" * 8 for flags in (5, 4 * header)]
    return sides[0] * header + text + sides[1]


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("footer", [True, False])
def test_tags_are_taken_from_mp3(header: bool, footer: bool) -> None:
    frames = encoded(tone(0.5), kind="MP3")
    assert is_mp3(frames)
    assert without_tags(frames) == frames
    tagged = id3v2(b"n" * 300, footer) + id3v2(b"m") + frames + ape(b"name" * 9, header) + b"TAG" + b"x" * 125
    assert is_mp3(tagged)
    assert without_tags(tagged) == frames
    assert keep_sound(id3v2(b"name" * 9, footer) + frames, 16_000) == frames


def test_mel_scale_by_hand() -> None:
    # 200/3 Hz a mel up to 1000 Hz, then 27 mels for a factor of 6.4
    np.testing.assert_allclose(mels(np.array([0.0, 100.0, 1000.0, 6400.0])), [0, 1.5, 15, 42])
    np.testing.assert_allclose(hertz(np.array([0.0, 1.5, 15.0, 42.0])), [0, 100, 1000, 6400])


def test_triangles_by_hand() -> None:
    # up to 800 Hz the scale is linear: edges at 0, 200, 400, 600, 800 Hz, frequencies every 100 Hz
    weights = triangles(3, 16, 1600)
    assert weights.shape == (3, 9)
    rows = [[0, 1, 2, 1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 2, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1, 2, 1, 0]]
    np.testing.assert_allclose(weights, np.array(rows) / 2 * (2 / 400), atol=1e-12)


def test_power_of_a_frame_by_the_definition() -> None:
    mel, samples = Mel(3, 16, 4, 1600), np.arange(1, 31, dtype=np.float32)
    padded = np.concatenate([np.zeros(8), samples, np.zeros(8)])
    hann = np.sin(np.pi * np.arange(16) / 16) ** 2
    for frame in (0, 3, 7):
        windowed = padded[4 * frame : 4 * frame + 16] * hann
        turns = np.exp(-2j * np.pi * np.outer(np.arange(9), np.arange(16)) / 16)
        expected = triangles(3, 16, 1600) @ np.abs(turns @ windowed) ** 2
        np.testing.assert_allclose(mel.power(samples, 8)[:, frame], expected)


def test_a_picture_of_a_tone() -> None:
    decode = DECODERS.build("log_mel", {}, sample_shape=(1, 32, 32))
    image = decode(encoded(tone(1.0, hertz=1000.0), subtype="FLOAT"))
    assert (image.shape, image.dtype, image.max()) == ((1, 32, 32), np.float32, 1)
    middles = hertz(np.linspace(0, mels(np.array(8000.0)), 34))[1:-1]
    nearest = int(np.abs(middles - 1000).argmin())
    assert (image[0].argmax(0)[2:30] == nearest).all()
    assert image[0, 25:, 2:30].max() == -1  # far above, 80 dB below
    half = decode(encoded(tone(0.5, hertz=1000.0), subtype="FLOAT"))
    assert (half[0, :, 18:] == -1).all()
    np.testing.assert_allclose(half[0, nearest, 2:12], image[0, nearest, 2:12], atol=0.01)
    assert (decode(encoded(np.zeros(100, np.float32))) == -1).all()


@pytest.mark.parametrize("name", ["wave", "log_mel"])
def test_shapes_that_are_none(name: str) -> None:
    with pytest.raises(DataError, match="sample_shape"):
        DECODERS.build(name, {}, sample_shape=(2, 3, 4, 5))
    with pytest.raises(JobError, match="'rate': must be greater than 0"):
        DECODERS.build(name, {"rate": 0}, sample_shape=(5,))


GOOD, MP3 = encoded(tone()), encoded(tone(0.5), kind="MP3")
EMPTY, NAN = encoded(np.zeros(0, np.float32)), encoded(np.array([0, np.nan], np.float32), subtype="FLOAT")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"not a recording at all",
        b"\0" * 5000,
        GOOD[:4],
        GOOD[:20],
        GOOD[:44],
        GOOD[:1000],
        GOOD[:-1],
        GOOD.replace(b"fmt ", b"fmx "),
        GOOD.replace(b"WAVE", b"WEVA"),
        GOOD[:22] + b"\0\0" + GOOD[24:],  # no channels
        GOOD[:20] + b"\xff\x7f" + GOOD[22:],  # an unknown way of writing samples
        EMPTY,
        NAN,
        id3v2(b"only a tag"),
        MP3[:3],
        b"\xff\xfb" + b"\0" * 400,
        encoded(tone(), kind="FLAC")[:60],
        encoded(tone(), kind="OGG")[:60],
    ],
)
def test_malformed_recordings(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"^not a recording|^a recording with"):
        keep_sound(content, 16_000)
    with pytest.raises(ValueError, match=r"^not a recording|^a recording with"):
        wave(4)(content)


@pytest.mark.parametrize("length", [0, 0xFFFF_FFFF])
def test_wav_files_of_writers_who_did_not_know_the_length(length: int) -> None:
    told = (len(GOOD) - 44).to_bytes(4, "little")
    assert GOOD[36:44] == b"data" + told
    streamed = GOOD[:40] + length.to_bytes(4, "little") + GOOD[44:]
    if length:
        np.testing.assert_array_equal(read_sound(streamed), read_sound(GOOD))
    assert not is_cut_off(streamed)
    notes = GOOD[:36] + b"LIST\3\0\0\0abc\0" + GOOD[36:]  # chunks of odd lengths are filled up
    assert not is_cut_off(notes)
    assert is_cut_off(notes[:-1])
    assert not is_cut_off(GOOD + b"LIST")


def test_recordings_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"^longer than 0\.05 s$"):
        keep_sound(GOOD, 16_000, 0.05)
    monkeypatch.setattr(limits, "RECORDING_SAMPLES", 100)
    with pytest.raises(ValueError, match="1600 samples, more than the 100"):
        read_sound(GOOD)


def test_real_clips() -> None:
    clips = sorted(RAW.glob("common_voice/**/*.mp3"))
    if not clips:
        pytest.skip(f"{RAW} is not there")
    assert [len(read_sound(clip.read_bytes(), 16_000)) for clip in clips] == [38_016, 77_760, 63_360]
    for clip in clips:
        kept = keep_sound(clip.read_bytes(), 16_000)
        assert (kept[:1], len(kept) < clip.stat().st_size) == (b"\xff", True)
        np.testing.assert_array_equal(read_sound(kept), read_sound(clip.read_bytes()))
