"""Recordings: from a file's bytes to numbers, and from a raw file to the bytes that a store keeps.

Files are read through libsndfile (WAV, FLAC, Ogg and MP3 among its formats), by way of the library soundfile; rates are
changed by soxr, the SoX resampler. Both are installed by the extra ``audio``.
"""

from __future__ import annotations

import importlib
import io
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from fedscale import limits
from fedscale.data.mel import Mel
from fedscale.data.mp3 import is_mp3, without_tags
from fedscale.errors import DataError, MissingExtraError
from fedscale.section import Positive

FloatArray = npt.NDArray[np.float32]

FULL: Final = 1 << 15
"""The loudest sample as a 16-bit integer; as a floating-point number it is 1."""


_UNREADABLE: Final = "not a recording that can be read: it is cut off or of no known kind"

_UNKNOWN: Final = 0x7FFF_F000
"""Lengths of WAV files' chunks from here on are those of writers who could not know them."""


class WaveDecoder:
    """Decodes a recording to ``sample_shape``, (samples,): its channels' mean, at ``rate`` samples per second.

    What is longer is cut off at the end, what is shorter is filled up with zeros. As ``int16``, 1.0 is 32768.
    """

    def __init__(
        self, sample_shape: tuple[int, ...], rate: Positive = 16_000, dtype: Literal["float32", "int16"] = "float32"
    ) -> None:
        if len(sample_shape) != 1:
            raise DataError(f"decoder 'wave': a recording is of sample_shape (samples,), not {sample_shape}")
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self._length = sample_shape[0]
        self._rate = rate

    def __call__(self, content: bytes) -> npt.NDArray[Any]:
        """Return the recording as (samples,).

        Raises:
            ValueError: it is no recording, or damaged.
        """
        samples = fitted(read_sound(content, self._rate), self._length)
        return samples if self.dtype.kind == "f" else whole(samples)


class LogMelDecoder:
    """Decodes a recording to an image of its loudness by pitch and time, ``sample_shape`` (1, bands, frames), float32.

    Frames are ``hop`` samples apart, and sample 0 is in the middle of the first one, as in a centred short-time Fourier
    transform: 1 s at 16 kHz has 32 frames at a hop of 512. Values are 1 at the loudest place and −1 at 80 dB below it
    and in silence (see `Mel.loudness`).
    """

    dtype: np.dtype[Any] = np.dtype(np.float32)

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        rate: Positive = 16_000,
        window: Positive = 2048,
        hop: Positive = 512,
    ) -> None:
        if len(sample_shape) != 3 or sample_shape[0] != 1:
            raise DataError(f"decoder 'log_mel': its images are of sample_shape (1, bands, frames), not {sample_shape}")
        _, bands, self._frames = sample_shape
        self._rate = rate
        self._mel = Mel(bands, window, hop, rate)

    def __call__(self, content: bytes) -> FloatArray:
        """Return the image as (1, bands, frames), low pitches first.

        Raises:
            ValueError: the bytes are no recording, or damaged.
        """
        return self._mel.loudness(read_sound(content, self._rate), self._frames)[None]


def read_sound(content: bytes, rate: int | None = None) -> FloatArray:
    """Return the samples of a recording, the mean of its channels, from −1 to 1, at ``rate`` or at its own.

    Raises:
        ValueError: it is no recording that can be read, empty, too long, or holds numbers that are not finite.
    """
    samples, own = _decoded(content)
    return samples if rate is None else _resampled(samples, own, rate)


def keep_sound(content: bytes, rate: int, longest: float | None = None) -> bytes:
    """Return a recording as a store keeps it: nothing but sound, since titles and comments may hold names.

    MP3 stays as it is but for its tags. All else becomes FLAC of one channel, 16 bits and ``rate`` samples per second,
    which loses nothing where that is what it had.

    Args:
        content: the raw file's bytes.
        rate: samples per second.
        longest: seconds; longer ones are refused.

    Raises:
        ValueError: it is no recording, damaged, or too long.
    """
    samples, own = _decoded(content)
    if longest is not None and len(samples) > longest * own:
        raise ValueError(f"longer than {longest:g} s")
    return without_tags(content) if is_mp3(content) else flac(whole(_resampled(samples, own, rate)), rate)


def flac(samples: npt.NDArray[np.int16], rate: int) -> bytes:
    """Return samples as a FLAC file."""
    buffer = io.BytesIO()
    _library("soundfile").write(buffer, samples, rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def fitted(samples: FloatArray, length: int) -> FloatArray:
    """Return the first ``length`` samples, zeros behind the end."""
    return np.pad(samples[:length], (0, max(0, length - len(samples))))


def whole(samples: FloatArray) -> npt.NDArray[np.int16]:
    """Return samples as 16-bit integers; those beyond −1 to 1 are clipped."""
    return np.rint(samples * FULL).clip(-FULL, FULL - 1).astype(np.int16)


def _decoded(content: bytes) -> tuple[FloatArray, int]:
    soundfile = _library("soundfile")
    if is_cut_off(content):
        raise ValueError(_UNREADABLE)
    try:
        with soundfile.SoundFile(io.BytesIO(without_tags(content) if is_mp3(content) else content)) as file:
            if file.frames * file.channels > limits.RECORDING_SAMPLES:
                raise ValueError(f"{file.frames} samples, more than the {limits.RECORDING_SAMPLES} that are read")
            samples, rate = file.read(dtype="float32", always_2d=True), file.samplerate
    except (soundfile.SoundFileError, TypeError):
        raise ValueError(_UNREADABLE) from None
    if len(samples) == 0:
        raise ValueError("a recording without a sample")
    if not np.isfinite(samples).all():
        raise ValueError("a recording with samples that are not finite")
    return samples.mean(1) if samples.shape[1] > 1 else samples[:, 0], rate


def is_cut_off(content: bytes) -> bool:
    """Say whether a WAV file lacks a part of the sound that it announces, which libsndfile does not mind.

    After ``RIFF``, a length and ``WAVE`` come chunks, each a name of 4 bytes and a length (Microsoft and IBM,
    "Multimedia Programming Interface and Data Specifications 1.0", 1991). Writers to a pipe leave lengths at 0 or at
    their largest.
    """
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        return False
    place = 12
    while place + 8 <= len(content):
        length = int.from_bytes(content[place + 4 : place + 8], "little")
        if content[place : place + 4] == b"data":
            return place + 8 + length > len(content) and length < _UNKNOWN
        place += 8 + length + length % 2
    return False


def _resampled(samples: FloatArray, own: int, rate: int) -> FloatArray:
    if own == rate:
        return samples
    changed: FloatArray = _library("soxr").resample(samples, own, rate)
    return changed


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (ImportError, OSError):  # soundfile looks for the C library when it is imported
        raise MissingExtraError("reading recordings", name, "audio") from None
