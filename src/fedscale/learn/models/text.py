"""Models of text: token numbers (n, length) in, logits (n, length, classes) out; token 0 is padding.

Rows are padded at their end and every model here but `BagOfWords` is causal, so padding changes nothing before it.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from fedscale.errors import JobError
from fedscale.learn.models.checks import Shape, tokens
from fedscale.learn.narrow import scaler, units
from fedscale.section import Portion, Positive


class ContextMLP(nn.Module):
    """A perceptron over the embeddings of the last ``context`` characters (Bengio et al. 2003), at every position.

    The first layer is written as a causal convolution, so that all positions of a sequence are one matrix product.
    """

    def __init__(
        self,
        classes: int,
        sample_shape: Shape = None,
        context: Positive = 8,
        embedding: Positive = 16,
        hidden: Positive = 128,
        width_share: Portion = 1.0,
    ) -> None:
        super().__init__()
        tokens("context_mlp", sample_shape)
        hidden = units(hidden, width_share)
        self.context = context
        self.embedding = nn.Embedding(classes, embedding)
        self.hidden = nn.Linear(context * embedding, hidden)
        self.scaler = nn.Sequential(*scaler(width_share))
        self.output = nn.Linear(hidden, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of the token after each position."""
        embedded = self.embedding(functional.pad(tokens, (self.context - 1, 0)))
        windows = embedded.unfold(1, self.context, 1).flatten(2)
        logits: Tensor = self.output(functional.relu(self.scaler(self.hidden(windows))))
        return logits


class CharGRU(nn.Module):
    """One gated recurrent layer over character embeddings."""

    def __init__(
        self, classes: int, sample_shape: Shape = None, embedding: Positive = 16, hidden: Positive = 128
    ) -> None:
        super().__init__()
        tokens("char_gru", sample_shape)
        self.embedding = nn.Embedding(classes, embedding)
        self.recurrent = nn.GRU(embedding, hidden, batch_first=True)
        self.output = nn.Linear(hidden, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of the token after each position."""
        states, _ = self.recurrent(self.embedding(tokens))
        logits: Tensor = self.output(states)
        return logits


class CharLSTM(nn.Module):
    """Stacked LSTM layers over character embeddings; the defaults are McMahan et al.'s for Shakespeare (2017, §3).

    An LSTM layer of torch has two bias vectors where others have one: 4 × hidden parameters more per layer.
    """

    def __init__(
        self,
        classes: int,
        sample_shape: Shape = None,
        embedding: Positive = 8,
        hidden: Positive = 256,
        layers: Positive = 2,
    ) -> None:
        super().__init__()
        tokens("char_lstm", sample_shape)
        self.embedding = nn.Embedding(classes, embedding)
        self.recurrent = nn.LSTM(embedding, hidden, layers, batch_first=True)
        self.output = nn.Linear(hidden, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of the token after each position."""
        states, _ = self.recurrent(self.embedding(tokens))
        logits: Tensor = self.output(states)
        return logits


class WordLSTM(nn.Module):
    """An LSTM layer between embeddings and a projection back to their width, for thousands of words.

    The defaults are those of S. Reddi et al. for StackOverflow ("Adaptive Federated Optimization", 2021, table 9).
    """

    def __init__(
        self, classes: int, sample_shape: Shape = None, embedding: Positive = 96, hidden: Positive = 670
    ) -> None:
        super().__init__()
        tokens("word_lstm", sample_shape)
        self.embedding = nn.Embedding(classes, embedding)
        self.recurrent = nn.LSTM(embedding, hidden, batch_first=True)
        self.projection = nn.Linear(hidden, embedding)
        self.output = nn.Linear(embedding, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of the token after each position."""
        states, _ = self.recurrent(self.embedding(tokens))
        logits: Tensor = self.output(self.projection(states))
        return logits


class BagOfWords(nn.Module):
    """Logistic regression on the mean of words' embeddings (A. Joulin et al. 2017), for samples of ``x``.

    An ``x`` is one row of word numbers of fixed length, below ``words``; 0 is padding.
    """

    def __init__(self, sample_shape: Shape, classes: int, words: Positive = 10_000, embedding: Positive = 64) -> None:
        super().__init__()
        if sample_shape is None or len(sample_shape) != 1:
            raise JobError(f"model 'bag_of_words' is for samples (words,), not for samples of shape {sample_shape}")
        self.embedding = nn.Embedding(words, embedding)
        self.output = nn.Linear(embedding, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of (n, length) word numbers."""
        words = x.long()
        real = (words != 0).to(self.output.weight.dtype)
        total = (self.embedding(words) * real[..., None]).sum(-2)
        logits: Tensor = self.output(total / real.sum(-1, keepdim=True).clamp(min=1))
        return logits
