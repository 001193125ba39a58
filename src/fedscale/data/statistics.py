"""Figures about a dataset for people to read."""

from __future__ import annotations

from typing import Final

import numpy as np

from fedscale.data.encoded import Encoded, Samples
from fedscale.data.federated import FederatedDataset
from fedscale.data.ragged import IntArray, Ragged

QUANTILES: Final = {"min": 0.0, "p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}


def size_quantiles(counts: IntArray) -> dict[str, int]:
    """Return quantiles of the clients' numbers of samples; each is a size that occurs."""
    values = np.quantile(counts, list(QUANTILES.values()), method="inverted_cdf")
    return dict(zip(QUANTILES, values.astype(int).tolist(), strict=True))


def first_sample(dataset: FederatedDataset) -> dict[str, str]:
    """Describe each column of the first client's first sample in a few words."""
    return {name: _describe(dataset, column) for name, column in dataset.client(0).take(slice(0, 1)).columns.items()}


def _describe(dataset: FederatedDataset, column: Samples) -> str:
    if isinstance(column, Encoded):
        column = column[slice(None)]
    if isinstance(column, Ragged):
        row, vocabulary = column.row(0), dataset.card.vocabulary
        text = repr("".join(vocabulary[token] for token in row)) if vocabulary else str(row.tolist()[:20])
        return f"{len(row)} tokens: {text}"
    if column.ndim == 1:
        return str(column[0])
    shape = " × ".join(map(str, column.shape[1:]))
    return f"{column.dtype} {shape}, values {column.min():g} to {column.max():g}"
