"""Models of recordings."""

from __future__ import annotations

from torch import Tensor, nn

from fedscale.errors import JobError
from fedscale.learn.models.checks import Shape
from fedscale.learn.models.mel import LogMel
from fedscale.section import Positive


class CtcGRU(nn.Module):
    """A small network for transcription: log-mel bands, a convolution, a gated recurrent layer both ways, and logits.

    The parts of Deep Speech 2 (D. Amodei et al. 2016, §3), one of each. One output stands for two frames of 10 ms.
    Recordings are padded with zeros; what is behind the last sample that is not 0 does not count.
    """

    def __init__(
        self, sample_shape: Shape, classes: int, mels: Positive = 40, channels: Positive = 64, hidden: Positive = 128
    ) -> None:
        super().__init__()
        if sample_shape is None or len(sample_shape) != 1:
            raise JobError(f"model 'ctc_gru' is for recordings (samples,), not for samples of shape {sample_shape}")
        self.mel = LogMel(mels)
        self.convolution = nn.Conv1d(mels, channels, 5, stride=2, padding=2)
        self.norm = nn.LayerNorm(channels)
        self.recurrent = nn.GRU(channels, hidden, batch_first=True, bidirectional=True)
        self.output = nn.Linear(2 * hidden, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (n, frames, classes), and how many frames of each are real."""
        heard = self.convolution(self.mel(x).transpose(1, 2)).transpose(1, 2)
        states, _ = self.recurrent(nn.functional.relu(self.norm(heard)))
        return self.output(states), (self.mel.frames(x) + 1) // 2
