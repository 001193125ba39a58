"""Models of recordings."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from fedscale.errors import JobError
from fedscale.learn.models.checks import Shape
from fedscale.learn.models.mel import LogMel
from fedscale.learn.tasks.synthesis import MEL, unpacked
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
        recordings("ctc_gru", sample_shape)
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


class MelDecoder(nn.Module):
    """A small network for speech from text: embedded characters, attention to them, and frames one after another.

    The parts of Tacotron (Y. Wang et al. 2017, §3), one of each: an encoder (a gated recurrent layer both ways), a
    decoder (a gated recurrent layer over the frames before), attention from each of its states to the text, and from
    both the next frame, as a change of the one before.
    """

    def __init__(self, sample_shape: Shape, classes: int, embedding: Positive = 32, hidden: Positive = 128) -> None:
        super().__init__()
        self.samples = recordings("mel_decoder", sample_shape)
        self.embedding = nn.Embedding(classes, embedding)
        self.encoder = nn.GRU(embedding, hidden, batch_first=True, bidirectional=True)
        self.keys = nn.Linear(2 * hidden, hidden)
        self.before = nn.Linear(MEL.mels, hidden)
        self.decoder = nn.GRU(hidden, hidden, batch_first=True)
        self.output = nn.Linear(3 * hidden, MEL.mels)

    def forward(self, packed: Tensor) -> Tensor:
        """Return every frame (n, frames, mels), from the text and the frames before it."""
        tokens, frames = unpacked(packed, self.samples)
        text, _ = self.encoder(self.embedding(tokens))
        shifted = nn.functional.pad(frames, (0, 0, 1, 0))[:, :-1]
        states, _ = self.decoder(nn.functional.relu(self.before(shifted)))
        scores = states @ self.keys(text).transpose(1, 2) / math.sqrt(states.shape[-1])
        heard = scores.masked_fill((tokens == 0)[:, None], -1e9).softmax(-1) @ text
        change: Tensor = self.output(torch.cat([states, heard], dim=-1))
        return shifted + change


def recordings(model: str, sample_shape: Shape) -> int:
    """Return how many samples recordings have.

    Raises:
        JobError: the dataset has none.
    """
    if sample_shape is None or len(sample_shape) != 1:
        raise JobError(f"model {model!r} is for recordings (samples,), not for samples of shape {sample_shape}")
    return sample_shape[0]
