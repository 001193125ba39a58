"""Generated recordings and videos, in the layouts of their owners."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("soxr")
Images = pytest.importorskip("PIL.Image")
av = pytest.importorskip("av")


def tone(seconds: float = 0.1, rate: int = 16_000, hertz: float = 440.0) -> np.ndarray:
    """A sine of half the full loudness, float32."""
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def encoded(samples: np.ndarray, rate: int = 16_000, kind: str = "WAV", subtype: str | None = None) -> bytes:
    """Samples as a file of this kind."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def put(path: Path, content: bytes | str) -> Path:
    """Write a file, and the folders that it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def speech_commands(root: Path, rows: Mapping[str, Sequence[str]], seconds: float = 0.1) -> Path:
    """The archive with ``rows[speaker]`` words, each a tone of its own."""
    words = sorted({word for said in rows.values() for word in said})
    for speaker, said in rows.items():
        for number, word in enumerate(said):
            sound = encoded(tone(seconds, hertz=200.0 * (1 + words.index(word))))
            put(root / word / f"{speaker}_nohash_{number}.wav", sound)
    put(root / "_background_noise_" / "running_tap.wav", encoded(tone(0.2)))
    put(root / "validation_list.txt", f"{words[0]}/{next(iter(rows))}_nohash_0.wav\n")
    put(root / "testing_list.txt", "")
    return root


HEADERS = {
    1: "client_id path sentence up_votes down_votes age gender accent",
    5: "client_id path sentence up_votes down_votes age gender accent locale segment",
    9: "client_id path sentence up_votes down_votes age gender accents locale segment",
    13: "client_id path sentence up_votes down_votes age gender accents variant locale segment",
    17: "client_id path sentence_id sentence sentence_domain up_votes down_votes age gender accents variant locale",
}
"""Columns of Common Voice's tables, by the first version that has them."""


def common_voice(rows: Sequence[tuple[str, str, str]], version: int = 5) -> str:
    """A table of ``client_id, path, sentence``; its other columns are empty."""
    header = HEADERS[version].split()
    lines = ["\t".join(header)]
    for client, path, sentence in rows:
        given = {"client_id": client, "path": path, "sentence": sentence}
        lines.append("\t".join(given.get(name, "") for name in header))
    return "\n".join(lines) + "\n"


def picture(colour: Sequence[int], size: tuple[int, int] = (48, 32)) -> bytes:
    """A JPEG of one colour; ``size`` is (width, height)."""
    buffer = io.BytesIO()
    Images.new("RGB", size, tuple(colour)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def video(path: Path, colours: Sequence[Sequence[int]], size: tuple[int, int] = (48, 32)) -> Path:
    """An MPEG-4 video of one frame of each colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=24)
        (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
        for colour in colours:
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), colour, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


CHARADES = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length\n"


def charades(rows: Sequence[tuple[str, str, str]]) -> str:
    """A table of ``id, subject, actions``; its script has commas, quotes and a line's end."""
    script = '"She says ""no"",\nthen leaves."'
    return CHARADES + "".join(f"{name},{who},Kitchen,,7,Yes,{script},cup,,{acts},24.83\n" for name, who, acts in rows)


def vlog(root: Path, clips: Sequence[tuple[str, int, int]]) -> Path:
    """The owner's lists for ``(clip, uploader, label)``: scenes, distances, the object of that number, frames."""
    put(root / "manifest.txt", "".join(f"{clip}/\n" for clip, _, _ in clips))
    put(root / "uploaderId.txt", "".join(f"{who}\n" for _, who, _ in clips))
    labels = np.array([label for _, _, label in clips])
    touched = -np.ones((len(clips), 30))
    touched[labels < 0] = 0
    touched[:, 29] = 0  # nobody knows of towels
    touched[np.flatnonzero(labels >= 0), labels[labels >= 0]] = 1
    for name, array in (("scene_category", labels), ("scene_proxemic", labels.clip(max=3)), ("hand_object", touched)):
        put(root / name / f"{name}{'' if name == 'hand_object' else '_full'}.npy", npy(array))
    frames = [f"{clip}/frame000003.jpg train {label}\n" for clip, _, label in clips if label >= 0]
    put(root / "hand_state" / "hand_state.txt", "".join(frames))
    return root


def npy(array: np.ndarray) -> bytes:
    """An array as a file of NumPy's."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
