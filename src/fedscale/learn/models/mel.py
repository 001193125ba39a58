"""Mel spectrograms: how loud a recording is, by time and by pitch as it is heard."""

from __future__ import annotations

import torch
from torch import Tensor, nn

RATE = 16_000
"""Samples per second that recordings are expected to have."""

LEAST = 1e-5
"""Power that counts as silence."""


LOG_SCALE = 4.0
"""Natural logarithms of power that a spectrogram's values are apart."""


class LogMel(nn.Module):
    """From recordings (..., samples) to logarithms of power, (..., frames, mels); nothing in it is trained.

    Frames are ``hop`` samples apart, windows are Hann's of ``window`` samples, and bands are triangles, evenly spaced
    from 0 to half the rate on the scale 2595 log₁₀(1 + f/700) (D. O'Shaughnessy 1987). There are samples // hop + 1
    frames. Values are moved and scaled so that silence is about −2 and speech about 0 to 2.
    """

    def __init__(self, mels: int = 40, window: int = 400, hop: int = 160, rate: int = RATE) -> None:
        super().__init__()
        self.mels, self.window, self.hop = mels, window, hop
        self._bands = bands(mels, window // 2 + 1, rate)  # no buffer: it would travel with the model

    def forward(self, x: Tensor) -> Tensor:
        """Return the spectrogram."""
        flat = x.reshape(-1, x.shape[-1])
        shape = torch.hann_window(self.window, dtype=x.dtype, device=x.device)
        spectrum = torch.stft(flat, self.window, self.hop, window=shape, pad_mode="constant", return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()
        heard = power.transpose(1, 2) @ self._bands.to(x)
        return ((heard + LEAST).log() / LOG_SCALE + 1).view(*x.shape[:-1], -1, self.mels)

    def frames(self, x: Tensor) -> Tensor:
        """Return how many frames of each recording are real: those up to its last sample that is not 0; at least 1."""
        places = torch.arange(x.shape[-1], device=x.device)
        return (places * (x != 0)).amax(-1) // self.hop + 1


def bands(mels: int, frequencies: int, rate: int) -> Tensor:
    """Return the weights (frequencies, mels) of each band."""
    heard = torch.linspace(0, 2595 * torch.log10(torch.tensor(1 + rate / 2 / 700)).item(), mels + 2)
    edges = 700 * (10 ** (heard / 2595) - 1)
    found = torch.linspace(0, rate / 2, frequencies)[:, None]
    rising = (found - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - found) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0)
