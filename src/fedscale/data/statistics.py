"""Figures about a dataset for people to read."""

from __future__ import annotations

from fedscale.data.encoded import Encoded, Samples
from fedscale.data.federated import FederatedDataset
from fedscale.data.ragged import Ragged


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
