"""Figures about a dataset for people to read."""

from __future__ import annotations

from collections.abc import Sequence

from fedscale.data.encoded import Encoded, Samples
from fedscale.data.federated import FederatedDataset
from fedscale.data.ragged import Ragged


def first_sample(dataset: FederatedDataset) -> dict[str, str]:
    """Describe each column of the first client's first sample in a few words."""
    return {
        name: _describe(dataset, name, column) for name, column in dataset.client(0).take(slice(0, 1)).columns.items()
    }


def _written(row: Sequence[int], names: Sequence[str] | None) -> str:
    """Return what tokens or labels stand for: characters side by side, words apart."""
    if names is None:
        return str(row[:20])
    between = "" if max(map(len, names)) == 1 else " "
    return repr(between.join(names[number] for number in row))


def _describe(dataset: FederatedDataset, name: str, column: Samples) -> str:
    if isinstance(column, Encoded):
        column = column[slice(None)]
    if isinstance(column, Ragged):
        row = column.row(0)
        labels = name == "labels"
        names = dataset.card.label_names if labels else dataset.card.vocabulary
        return f"{len(row)} {'labels' if labels else 'tokens'}: {_written(row.tolist(), names)}"
    if column.ndim == 1:
        return str(column[0])
    shape = " × ".join(map(str, column.shape[1:]))
    return f"{column.dtype} {shape}, values {column.min():g} to {column.max():g}"
