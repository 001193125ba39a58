"""ALBERT as transformers builds it, at random weights (Z. Lan et al., "ALBERT: A Lite BERT", 2020)."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor, nn

from fedscale.data.card import Card  # at run time: tables of names read the types of options
from fedscale.errors import DataError, MissingExtraError, bad_option
from fedscale.learn.models.checks import Shape, tokens
from fedscale.section import Positive


def albert(
    classes: int,
    card: Card,
    sample_shape: Shape = None,
    embedding: Positive = 64,
    width: Positive = 128,
    heads: Positive = 4,
    layers: Positive = 4,
    positions: Positive = 512,
) -> nn.Module:
    """Layers that share their parameters, on narrow embeddings; two logits a position for spans, else the next token.

    For the next token every position sees those before it only. The original is trained to fill in words left out,
    which sees both sides: its perplexity is another figure, and lower. The default sizes are small; ALBERT-base has
    128, 768, 12 heads and 12 layers.
    """
    tokens("albert", sample_shape)
    if width % heads:
        raise bad_option("model 'albert'", "width", f"a multiple of heads = {heads}", width)
    library = _transformers()
    config = library.AlbertConfig(
        vocab_size=classes,
        embedding_size=embedding,
        hidden_size=width,
        intermediate_size=4 * width,
        num_attention_heads=heads,
        num_hidden_layers=layers,
        max_position_embeddings=positions,
        classifier_dropout_prob=0.0,
        attn_implementation="eager",
    )
    spans = card.task == "span"
    encoder = library.AlbertModel(config, add_pooling_layer=False)
    return Albert(encoder, nn.Linear(width, 2 if spans else classes), positions, causal=not spans)


class Albert(nn.Module):
    """An encoder of transformers' and a linear layer."""

    def __init__(self, encoder: nn.Module, output: nn.Linear, positions: int, *, causal: bool) -> None:
        super().__init__()
        self.encoder, self.output = encoder, output
        self.positions, self.causal = positions, causal

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (n, length, outputs).

        Raises:
            DataError: rows are longer than there are positions.
        """
        length = tokens.shape[1]
        if length > self.positions:
            raise DataError(f"rows of {length} tokens: set model.positions, which is {self.positions}")
        seen = torch.ones(length, length, dtype=torch.bool, device=tokens.device)
        seen = seen.tril() if self.causal else seen & (tokens != 0)[:, None]
        mask = torch.zeros_like(seen, dtype=self.output.weight.dtype).masked_fill(~seen, -1e9)
        mask = mask.expand(len(tokens), length, length)[:, None]
        states = self.encoder(input_ids=tokens, attention_mask=mask).last_hidden_state
        logits: Tensor = self.output(states)
        return logits


def _transformers() -> Any:
    try:
        return importlib.import_module("transformers")
    except ImportError:
        raise MissingExtraError("the model 'albert'", "transformers", "text") from None
