"""Character models: token numbers (n, length) in, logits (n, length, classes) out; token 0 is padding."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class ContextMLP(nn.Module):
    """A perceptron over the embeddings of the last ``context`` characters (Bengio et al. 2003), at every position.

    The first layer is written as a causal convolution, so that all positions of a sequence are one matrix product.
    """

    def __init__(self, classes: int, context: int = 8, embedding: int = 16, hidden: int = 128) -> None:
        super().__init__()
        self.context = context
        self.embedding = nn.Embedding(classes, embedding)
        self.hidden = nn.Linear(context * embedding, hidden)
        self.output = nn.Linear(hidden, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of the token after each position."""
        embedded = self.embedding(functional.pad(tokens, (self.context - 1, 0)))
        windows = embedded.unfold(1, self.context, 1).flatten(2)
        logits: Tensor = self.output(functional.relu(self.hidden(windows)))
        return logits


class CharGRU(nn.Module):
    """One gated recurrent layer over character embeddings."""

    def __init__(self, classes: int, embedding: int = 16, hidden: int = 128) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, embedding)
        self.recurrent = nn.GRU(embedding, hidden, batch_first=True)
        self.output = nn.Linear(hidden, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of the token after each position."""
        states, _ = self.recurrent(self.embedding(tokens))
        logits: Tensor = self.output(states)
        return logits
