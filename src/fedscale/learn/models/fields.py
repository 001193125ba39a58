"""Models of categories: (n, fields) numbers in, below the card's ``field_sizes``, 0 for what is not known."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from fedscale.data.card import Card  # at run time: tables of names read the types of options
from fedscale.errors import JobError
from fedscale.section import Positive


class Table(nn.Module):
    """An embedding for every category of every field, in one table.

    Raises:
        JobError: the card does not say how many categories there are.
    """

    def __init__(self, model: str, card: Card, width: int, spread: float) -> None:
        super().__init__()
        if not card.field_sizes:
            raise JobError(f"model {model!r} is for fields of categories; dataset {card.name!r} has no field_sizes")
        begins = [0, *itertools.accumulate(card.field_sizes)]
        self.begins = begins[:-1]
        self.embedding = nn.Embedding(begins[-1], width)
        nn.init.normal_(self.embedding.weight, std=spread)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, fields, width)."""
        rows: Tensor = self.embedding(x.long() + torch.tensor(self.begins, device=x.device))
        return rows


class WideDeep(nn.Module):
    """A linear model beside a perceptron on embeddings (H. Cheng et al., "Wide & Deep Learning", 2016)."""

    def __init__(self, classes: int, card: Card, embedding: Positive = 8, hidden: Positive = 64) -> None:
        super().__init__()
        self.deep = Table("wide_deep", card, embedding, 0.1)
        self.wide = Table("wide_deep", card, classes, 0.01)
        inputs = embedding * len(card.field_sizes)
        self.layers = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, classes)."""
        return self.layers(self.deep(x).flatten(1)) + self.wide(x).sum(1)  # type: ignore[no-any-return]


class FactorizationMachine(nn.Module):
    """A sum of weights of categories and of products of pairs of their vectors (S. Rendle, ICDM 2010, eq. 1 and 5).

    y = center + b + Σ_i w_i + ½ Σ_f ((Σ_i v_if)² − Σ_i v_if²). With user and item as fields this is matrix
    factorisation with biases; where a user is a client, the item's and the user's other properties are what all share.
    """

    def __init__(self, classes: int, card: Card, factors: Positive = 8, center: float = 0.0) -> None:
        super().__init__()
        if classes != 1:
            raise JobError(f"model 'factorization_machine' says one number of a sample, not {classes}")
        self.center = center
        self.weights = Table("factorization_machine", card, 1, 0.01)
        self.factors = Table("factorization_machine", card, factors, 0.1)
        self.output = nn.Linear(1, 1)
        nn.init.ones_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, 1)."""
        factors = self.factors(x)
        pairs = (factors.sum(1).square() - factors.square().sum(1)).sum(1, keepdim=True) / 2
        result: Tensor = self.output(self.weights(x).sum(1) + pairs)
        return result + self.center
