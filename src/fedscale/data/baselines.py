"""What the simplest predictors reach, so that a model's accuracy can be judged.

They are fitted on the training clients' samples and measured on the test clients', at the positions at which a model
is measured: every label, or every token of a row but its first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fedscale.data.federated import Block, FederatedDataset
from fedscale.data.ragged import IntArray, Ragged

LARGEST_BIGRAM: Final = 2048
"""Most tokens for which pairs are counted (the table has their square)."""


def baselines(dataset: FederatedDataset, train: IntArray, test: IntArray) -> dict[str, float]:
    """Return accuracy by name of baseline: ``majority`` for labels, ``unigram`` and ``bigram`` for tokens.

    ``train`` and ``test`` are client numbers. Ties and tokens never seen before go to the smallest number and to the
    most frequent token.
    """
    if len(train) == 0 or len(test) == 0:
        return {}
    if dataset.card.task == "classification":
        return {"majority": _best_single(*(_label_counts(dataset, clients) for clients in (train, test)))}
    return _token_baselines(dataset, train, test)


def _token_baselines(dataset: FederatedDataset, train: IntArray, test: IntArray) -> dict[str, float]:
    classes = dataset.card.classes or 0
    if classes > LARGEST_BIGRAM:
        return {"unigram": _best_single(*(_next_counts(dataset, clients) for clients in (train, test)))}
    fitted, measured = _pair_counts(dataset, train), _pair_counts(dataset, test)
    unigram = _best_single(fitted.sum(axis=0), measured.sum(axis=0))
    best = np.where(fitted.any(axis=1), fitted.argmax(axis=1), fitted.sum(axis=0).argmax())
    correct = measured[np.arange(classes), best].sum()
    return {"unigram": unigram, "bigram": float(correct / max(measured.sum(), 1))}


def _best_single(fitted: IntArray, measured: IntArray) -> float:
    return float(measured[fitted.argmax()] / max(measured.sum(), 1))


def _label_counts(dataset: FederatedDataset, clients: IntArray) -> IntArray:
    counts = np.zeros(dataset.card.classes or 0, dtype=np.int64)
    for block, rows in _rows_of(dataset, clients):
        labels = block.columns["y"]
        assert isinstance(labels, np.ndarray)
        counts += np.bincount(labels[rows], minlength=len(counts))
    return counts


def _next_counts(dataset: FederatedDataset, clients: IntArray) -> IntArray:
    counts = np.zeros(dataset.card.classes or 0, dtype=np.int64)
    for _, following in _pairs(dataset, clients):
        counts += np.bincount(following, minlength=len(counts))
    return counts


def _pair_counts(dataset: FederatedDataset, clients: IntArray) -> IntArray:
    classes = dataset.card.classes or 0
    counts = np.zeros(classes * classes, dtype=np.int64)
    for before, following in _pairs(dataset, clients):
        counts += np.bincount(before * classes + following, minlength=len(counts))
    return counts.reshape(classes, classes)


def _pairs(dataset: FederatedDataset, clients: IntArray) -> Iterator[tuple[IntArray, IntArray]]:
    for block, rows in _rows_of(dataset, clients):
        tokens = block.columns["tokens"]
        assert isinstance(tokens, Ragged)
        chosen = tokens.take(np.flatnonzero(rows))
        within = np.ones(len(chosen.values), dtype=bool)
        within[chosen.offsets[:-1][chosen.lengths > 0]] = False  # a row's first token is not predicted
        places = np.flatnonzero(within)
        values = chosen.values.astype(np.int64)
        yield values[places - 1], values[places]


def _rows_of(dataset: FederatedDataset, clients: IntArray) -> Iterator[tuple[Block, npt.NDArray[Any]]]:
    chosen = np.zeros(len(dataset), dtype=bool)
    chosen[clients] = True
    for block in dataset.blocks():
        yield block, np.repeat(chosen[block.first : block.first + len(block.counts)], block.counts)
