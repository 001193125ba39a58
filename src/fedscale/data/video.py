"""Videos: a few frames of each, spread evenly, kept as one picture in which they stand below one another.

Frames come from a video file through PyAV (the libraries of FFmpeg; the extra ``video``) or from a folder of pictures.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from fedscale import limits
from fedscale.data.images import open_image
from fedscale.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    from PIL.Image import Image

QUALITY: Final = 90
"""Of the JPEG in which frames are kept."""


class FramesDecoder:
    """Decodes a strip of frames to ``sample_shape``, (frames, 3, height, width), uint8."""

    dtype: np.dtype[Any] = np.dtype(np.uint8)

    def __init__(self, sample_shape: tuple[int, ...]) -> None:
        if len(sample_shape) != 4 or sample_shape[1] != 3:
            raise DataError(f"decoder 'frames': sample_shape is (frames, 3, height, width), not {sample_shape}")
        self._frames, _, self._height, self._width = sample_shape

    def __call__(self, content: bytes) -> npt.NDArray[np.uint8]:
        """Return the frames, fitted to the shape as `ImageDecoder` does.

        Raises:
            ValueError: the bytes are no image, or its height is no multiple of the number of frames.
        """
        from PIL import ImageOps

        strip = open_image(content).convert("RGB")
        height, rest = divmod(strip.height, self._frames)
        if rest or height == 0:
            raise ValueError(f"a strip of {self._frames} frames cannot be {strip.height} pixels high")
        tops = range(0, strip.height, height)
        parts = [strip.crop((0, top, strip.width, top + height)) for top in tops]
        fitted = [np.asarray(ImageOps.fit(part, (self._width, self._height))) for part in parts]
        return np.stack(fitted).transpose(0, 3, 1, 2)


def even(present: int, wanted: int) -> list[int]:
    """Return which of ``present`` frames are taken: the middles of ``wanted`` equal parts, some twice if few."""
    return [(2 * part + 1) * present // (2 * wanted) for part in range(wanted)]


def strip_of_folder(folder: Path, wanted: int, height: int, width: int) -> bytes:
    """Return a strip of the pictures ``*.jpg`` in a folder, in the order of their names.

    Raises:
        ValueError: there are none, or one that is taken is damaged.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
    if not paths:
        raise ValueError("a folder without frames")
    chosen = [paths[place] for place in even(len(paths), wanted)]
    return strip([open_image(path.read_bytes(), (width, height)) for path in chosen], height, width)


def strip_of_video(path: Path, wanted: int, height: int, width: int) -> bytes:
    """Return a strip of the frames of a video file.

    Raises:
        ValueError: it is no video, or none of its frames can be decoded.
    """
    av = _library()
    try:
        chosen = even(_count(av, path), wanted)
        frames = _frames(av, path, set(chosen))
    except (av.error.FFmpegError, OSError, UnicodeDecodeError):
        raise ValueError("not a video that can be read: it is cut off or of no known kind") from None
    if not frames:
        raise ValueError("a video of which no frame can be decoded")
    # where a video is damaged, the last frame before the damage stands for what is behind it
    known = sorted(frames)
    nearest = [max((place for place in known if place <= wish), default=known[0]) for wish in chosen]
    return strip([frames[place] for place in nearest], height, width)


def strip(frames: Sequence[Image], height: int, width: int) -> bytes:
    """Return frames below one another as one JPEG, each of them covering (height, width), its middle kept."""
    from PIL import Image as Images
    from PIL import ImageOps

    whole = Images.new("RGB", (width, height * len(frames)))
    for place, frame in enumerate(frames):
        whole.paste(ImageOps.fit(frame.convert("RGB"), (width, height)), (0, place * height))
    buffer = io.BytesIO()
    whole.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def _count(av: Any, path: Path) -> int:
    """Return how many frames a video has, by the packets that hold them; nothing is decoded."""
    with av.open(str(path)) as container:
        stream = _stream(container)
        frames = 0
        for packet in container.demux(stream):
            frames += packet.size > 0
            if frames > limits.VIDEO_FRAMES:
                raise ValueError(f"more than the {limits.VIDEO_FRAMES} frames of which some are taken")
    if frames == 0:
        raise ValueError("a video without frames")
    return frames


def _frames(av: Any, path: Path, chosen: set[int]) -> dict[int, Image]:
    found: dict[int, Image] = {}
    with av.open(str(path)) as container:
        for place, frame in enumerate(_decoded(av, container)):
            if place in chosen or place == 0:
                found[place] = frame.to_image()
            if place >= max(chosen):
                break
    return found


def _decoded(av: Any, container: Any) -> Iterator[Any]:
    """Yield the frames of a video up to its end, or to where it is damaged."""
    stream = _stream(container)
    try:
        yield from container.decode(stream)
    except av.error.FFmpegError:
        return


def _stream(container: Any) -> Any:
    if not container.streams.video:
        raise ValueError("a file without pictures")
    stream = container.streams.video[0]
    stream.codec_context.thread_count = 1  # several files are decoded at once, each by one process
    if stream.width * stream.height > limits.IMAGE_PIXELS:
        raise ValueError(f"frames of {stream.width} × {stream.height} pixels, more than the {limits.IMAGE_PIXELS}")
    return stream


def _library() -> Any:
    try:
        import av
    except ImportError:
        raise MissingExtraError("reading videos", "PyAV", "video") from None
    return av
