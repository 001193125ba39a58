"""A small causal transformer: token numbers (n, length) in, logits (n, length, classes) out; token 0 is padding.

A. Vaswani et al., "Attention Is All You Need", 2017, with the normalisation before each part (R. Xiong et al., "On
Layer Normalization in the Transformer Architecture", 2020). Positions are sinusoids, so rows may have any length.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedscale.errors import bad_option
from fedscale.learn.models.checks import Shape, tokens
from fedscale.section import Positive


class Transformer(nn.Module):
    """``layers`` blocks of causal attention with ``heads`` heads and a perceptron four times as wide.

    With width d, V classes and L layers it has L (12 d² + 13 d) + 2 V d + V + 2 d parameters.
    """

    def __init__(
        self, classes: int, sample_shape: Shape = None, width: Positive = 64, heads: Positive = 4, layers: Positive = 2
    ) -> None:
        super().__init__()
        tokens("transformer", sample_shape)
        if width % (2 * heads):
            raise bad_option("model 'transformer'", "width", f"a multiple of 2 × heads = {2 * heads}", width)
        self.embedding = nn.Embedding(classes, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of the token after each position."""
        embedded = self.embedding(tokens)
        length, width = embedded.shape[-2:]
        states = self.blocks(embedded + positions(length, width, tokens.device))
        logits: Tensor = self.output(self.norm(states))
        return logits


class Reader(nn.Module):
    """The same without a mask, so that every token sees the whole row: two logits at every position, (n, length, 2).

    They are for the first and the last token of an answer (J. Devlin et al., "BERT", 2019, §4.2). Padding is not seen.
    """

    def __init__(
        self, classes: int, sample_shape: Shape = None, width: Positive = 64, heads: Positive = 4, layers: Positive = 2
    ) -> None:
        super().__init__()
        tokens("reader", sample_shape)
        if width % (2 * heads):
            raise bad_option("model 'reader'", "width", f"a multiple of 2 × heads = {2 * heads}", width)
        self.embedding = nn.Embedding(classes, width)
        self.blocks = nn.ModuleList(Block(width, heads, causal=False) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of the answer's beginning and end."""
        embedded = self.embedding(tokens)
        length, width = embedded.shape[-2:]
        states = embedded + positions(length, width, tokens.device)
        for block in self.blocks:
            states = block(states, tokens == 0)
        logits: Tensor = self.output(self.norm(states))
        return logits


class Block(nn.Module):
    """x + attention(norm x), then x + perceptron(norm x)."""

    def __init__(self, width: int, heads: int, *, causal: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.attention_norm = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.perceptron_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, padding: Tensor | None = None) -> Tensor:
        """Return (n, length, width) from the same shape; where ``padding`` (n, length) is true nobody looks."""
        x = x + self._attend(self.attention_norm(x), padding)
        result: Tensor = x + self.down(functional.relu(self.up(self.perceptron_norm(x))))
        return result

    def _attend(self, x: Tensor, padding: Tensor | None) -> Tensor:
        # Plain products: torch's fused attention has no rule for `torch.func.vmap` on a CPU and falls back to a loop,
        # and on rows of 80 tokens it is no quicker.
        parts = self.queries_keys_values(x).unflatten(-1, (3, self.heads, -1))
        queries, keys, values = (part.transpose(-3, -2) for part in parts.unbind(-3))
        scores = queries @ keys.transpose(-2, -1) / math.sqrt(queries.shape[-1])
        if self.causal:
            scores = scores + torch.full(scores.shape[-2:], -math.inf, device=x.device).triu(1)
        if padding is not None:
            scores = scores.masked_fill(padding[:, None, None], -1e9)
        attended = torch.softmax(scores, dim=-1) @ values
        mixed: Tensor = self.mix(attended.transpose(-3, -2).flatten(-2))
        return mixed


def positions(length: int, width: int, device: torch.device) -> Tensor:
    """Return (length, width) sines and cosines of geometrically falling frequencies (Vaswani et al. 2017, §3.5)."""
    frequencies = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(10_000) / width))
    angles = torch.arange(length, device=device)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)
