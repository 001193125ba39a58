"""Videos: which frames are taken, how they are kept, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from media_raw import Images, encoded, picture, put, tone, video

from fedscale import limits
from fedscale.data.encoded import DECODERS
from fedscale.data.video import even, strip, strip_of_folder, strip_of_video
from fedscale.errors import DataError

COLOURS = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0), (0, 250, 250), (250, 0, 250)]


def frames(content: bytes, count: int, size: int = 16) -> np.ndarray:
    decoded = DECODERS.build("frames", {}, sample_shape=(count, 3, size, size))(content)
    assert (decoded.shape, decoded.dtype) == ((count, 3, size, size), np.uint8)
    return decoded


def colours(content: bytes, count: int) -> list[int]:
    """Which of ``COLOURS`` each frame is nearest to, by its middle."""
    middles = frames(content, count)[:, :, 6:10, 6:10].mean((2, 3))
    return [int(np.abs(np.array(COLOURS) - middle).sum(1).argmin()) for middle in middles]


def test_frames_are_spread_evenly() -> None:
    assert even(8, 8) == list(range(8))
    assert even(16, 4) == [2, 6, 10, 14]
    assert even(720, 8) == [45, 135, 225, 315, 405, 495, 585, 675]
    assert even(3, 6) == [0, 0, 1, 1, 2, 2]
    assert even(1, 3) == [0, 0, 0]


def test_frames_of_a_video(tmp_path: Path) -> None:
    path = video(tmp_path / "a.mp4", [colour for colour in COLOURS for _ in range(4)])
    assert colours(strip_of_video(path, 6, 16, 16), 6) == [0, 1, 2, 3, 4, 5]
    assert colours(strip_of_video(path, 3, 16, 16), 3) == [1, 3, 5]  # frames 4, 12 and 20 of 24


def test_frames_of_a_folder(tmp_path: Path) -> None:
    for place in range(12):
        put(tmp_path / f"X-{place + 1:06d}.jpg", picture(COLOURS[place // 2]))
    put(tmp_path / "notes.txt", "no picture")
    assert colours(strip_of_folder(tmp_path, 6, 16, 16), 6) == [0, 1, 2, 3, 4, 5]
    assert colours(strip_of_folder(tmp_path, 2, 16, 16), 2) == [1, 4]  # pictures 3 and 9 of 12


def test_the_middle_of_a_frame_is_kept() -> None:
    wide = Images.new("RGB", (64, 32), (0, 0, 0))
    wide.paste((200, 200, 200), (16, 0, 48, 32))
    assert frames(strip([wide], 32, 32), 1, 32).min() > 190
    assert frames(strip([wide, wide], 64, 64), 2, 16).min() > 190  # other sizes are fitted


def test_what_is_above_stays_above() -> None:
    image = Images.new("RGB", (32, 32), (0, 0, 0))
    image.paste((200, 0, 0), (0, 0, 32, 16))
    (decoded,) = frames(strip([image], 32, 32), 1, 32)
    assert decoded[0, :12].min() > 150 > 50 > decoded[0, 20:].max()


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 1, 16, 16)])
def test_shapes_that_are_none(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"sample_shape is \(frames, 3, height, width\)"):
        DECODERS.build("frames", {}, sample_shape=shape)


def test_strips_that_are_none() -> None:
    decode = DECODERS.build("frames", {}, sample_shape=(5, 3, 16, 16))
    with pytest.raises(ValueError, match="a strip of 5 frames cannot be 32 pixels high"):
        decode(picture(COLOURS[0]))
    with pytest.raises(ValueError, match="not an image"):
        decode(b"nothing")


def damaged(tmp_path: Path, kind: str) -> Path:
    good = video(tmp_path / "good.mp4", COLOURS * 4).read_bytes()
    contents = {
        "empty": b"",
        "text": b"not a video",
        "zeros": b"\0" * 5000,
        "head": good[:40],
        "half": good[: len(good) // 2],
        "sound": encoded(tone()),
    }
    return put(tmp_path / f"{kind}.mp4", contents[kind])


@pytest.mark.parametrize("kind", ["empty", "text", "zeros", "head", "half", "sound", "absent"])
def test_damaged_videos(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "absent.mp4" if kind == "absent" else damaged(tmp_path, kind)
    with pytest.raises(ValueError, match=r"^not a video that can be read|^a file without pictures"):
        strip_of_video(path, 2, 16, 16)


def test_what_is_behind_damage_is_the_frame_before_it(tmp_path: Path) -> None:
    path = video(tmp_path / "a.mkv", [colour for colour in COLOURS for _ in range(4)])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    found = colours(strip_of_video(path, 6, 16, 16), 6)
    assert found == sorted(found)
    assert found[0] == 0


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = video(tmp_path / "a.mp4", COLOURS)
    with monkeypatch.context() as patch:
        patch.setattr(limits, "VIDEO_FRAMES", 5)
        with pytest.raises(ValueError, match="more than the 5 frames"):
            strip_of_video(path, 2, 16, 16)
    monkeypatch.setattr(limits, "IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match="frames of 48 × 32 pixels, more than the 1000"):
        strip_of_video(path, 2, 16, 16)
    with pytest.raises(ValueError, match="a folder without frames"):
        strip_of_folder(put(tmp_path / "folder" / "a.txt", "").parent, 2, 16, 16)
