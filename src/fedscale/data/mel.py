"""Mel spectrograms in NumPy: how loud a recording is, by time and by pitch as it is heard.

The formulas are those of M. Slaney's Auditory Toolbox (Technical Report 1998-010), which librosa uses unless told
otherwise, and with it the original pipeline for Speech Commands. (Models that hear waves make their own, in torch.)
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

LEAST: Final = 1e-10
"""Power that counts as silence."""

DECIBELS: Final = 80.0
"""How far below the loudest place anything counts."""

_LINEAR_HZ: Final = 200 / 3
"""Hertz per mel up to 1000 Hz, which are 15 mels."""

_BREAK_HZ: Final = 1000.0

_LOG_STEP: Final = np.log(6.4) / 27
"""Above, 27 mels make a factor of 6.4."""


class Mel:
    """From samples to loudness by mel band.

    Args:
        bands: triangles, evenly spaced in mels from 0 to half the rate, each with an area of 1 (over hertz).
        window: samples of a Hann window, of which a Fourier transform is taken.
        hop: samples between the middles of windows; the first is at sample 0.
        rate: samples per second.
    """

    def __init__(self, bands: int, window: int, hop: int, rate: int) -> None:
        self._window, self._hop = window, hop
        self._hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
        self._bands = [_within(weights) for weights in triangles(bands, window, rate)]

    def power(self, samples: npt.NDArray[np.float32], frames: int) -> FloatArray:
        """Return the power in each band and frame, (bands, frames); before and behind the samples there is silence."""
        padded = np.zeros(self._window + (frames - 1) * self._hop)
        before = self._window // 2
        heard = samples[: len(padded) - before]
        padded[before : before + len(heard)] = heard
        windows = np.lib.stride_tricks.sliding_window_view(padded, self._window)[:: self._hop]
        spectrum = np.fft.rfft(windows * self._hann)
        powers = spectrum.real**2 + spectrum.imag**2
        # no matrix product: it would be shared out among threads, which takes longer where others are at work
        return np.stack([(powers[:, place] * weights).sum(1) for place, weights in self._bands])

    def loudness(self, samples: npt.NDArray[np.float32], frames: int) -> npt.NDArray[np.float32]:
        """Return 1 + dB / 40 below the loudest place, (bands, frames) from 1 down to −1, where silence is −1, too."""
        power = self.power(samples, frames)
        loudest = power.max()
        decibels = 10 * np.log10(np.maximum(power, LEAST) / max(loudest, LEAST))
        heard = np.maximum(decibels, -DECIBELS) if loudest > LEAST else np.full_like(power, -DECIBELS)
        return (1 + heard / (DECIBELS / 2)).astype(np.float32)


def _within(weights: FloatArray) -> tuple[slice, FloatArray]:
    """Return where the weights of a band are not 0, and those."""
    places = np.flatnonzero(weights)
    place = slice(places[0], places[-1] + 1) if len(places) else slice(0)
    return place, weights[place]


def triangles(bands: int, window: int, rate: int) -> FloatArray:
    """Return the weight of each frequency of a transform in each band, (bands, window // 2 + 1)."""
    edges = hertz(np.linspace(0, mels(np.array(rate / 2)), bands + 2))
    frequencies = np.arange(window // 2 + 1) * (rate / window)
    rising = (frequencies - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequencies) / np.diff(edges)[1:, None]
    weights: FloatArray = np.minimum(rising, falling).clip(min=0) * (2 / (edges[2:] - edges[:-2]))[:, None]
    return weights


def mels(frequencies: FloatArray) -> FloatArray:
    """Return pitches in mels of frequencies in hertz."""
    above = np.maximum(frequencies, _BREAK_HZ)
    result: FloatArray = np.minimum(frequencies, _BREAK_HZ) / _LINEAR_HZ + np.log(above / _BREAK_HZ) / _LOG_STEP
    return result


def hertz(pitches: FloatArray) -> FloatArray:
    """Return frequencies in hertz of pitches in mels."""
    knee = _BREAK_HZ / _LINEAR_HZ
    result: FloatArray = np.minimum(pitches, knee) * _LINEAR_HZ * np.exp(np.maximum(pitches - knee, 0) * _LOG_STEP)
    return result
