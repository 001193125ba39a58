"""What the simplest predictors reach, so that what a model reaches can be judged.

They are fitted on the training clients' samples and measured on the test clients', at the positions at which a model
is measured: every label, or every token of a row but its first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fedscale.data.federated import Block, FederatedDataset
from fedscale.data.ragged import IntArray, Ragged
from fedscale.units import EARTH_KM

LARGEST_BIGRAM: Final = 2048
"""Most tokens for which pairs are counted (the table has their square)."""


def baselines(dataset: FederatedDataset, train: IntArray, test: IntArray) -> dict[str, float]:
    """Return the dataset's metric by name of baseline; nothing where there is none so simple.

    ================================  ==========================================================================
    accuracy of labels                ``majority``: always the most frequent label
    accuracy of tokens                ``unigram``, ``bigram``: the most frequent token, in all and after the one before
    perplexity                        ``unigram``: tokens as likely as they are frequent, each counted once more
    mae, rmse, haversine              ``mean``: always the mean target
    loss of clicks                    ``base_rate``: always the share of clicks
    ================================  ==========================================================================

    ``train`` and ``test`` are client numbers. Ties and tokens never seen before go to the smallest number and to the
    most frequent token.
    """
    simple = _SIMPLE.get((dataset.card.task, dataset.card.metric))
    if simple is None or len(train) == 0 or len(test) == 0 or dataset.card.without:
        return {}
    return simple(dataset, train, test)


def _majority(dataset: FederatedDataset, train: IntArray, test: IntArray) -> dict[str, float]:
    return {"majority": _best_single(*(_label_counts(dataset, clients) for clients in (train, test)))}


def _base_rate(dataset: FederatedDataset, train: IntArray, test: IntArray) -> dict[str, float]:
    fitted, measured = (_label_counts(dataset, clients) for clients in (train, test))
    return {"base_rate": _cross_entropy(fitted, measured)}


def _unigram_perplexity(dataset: FederatedDataset, train: IntArray, test: IntArray) -> dict[str, float]:
    fitted, measured = (_next_counts(dataset, clients) for clients in (train, test))
    fitted[0] = -1  # nobody says padding
    return {"unigram": float(np.exp(_cross_entropy(fitted, measured)))}


def _cross_entropy(fitted: IntArray, measured: IntArray) -> float:
    """Return the mean of −log p over what was measured, p being the shares of ``fitted`` and one of each."""
    likely = (fitted + 1) / (fitted + 1).sum()
    seen = measured > 0
    return float(-(measured[seen] * np.log(likely[seen])).sum() / max(measured.sum(), 1))


def _mean(dataset: FederatedDataset, train: IntArray, test: IntArray) -> dict[str, float]:
    total = [(part.sum(0, dtype=np.float64), len(part)) for part in _targets(dataset, train)]
    mean = np.asarray(sum(part for part, _ in total) / max(sum(size for _, size in total), 1))
    errors = np.concatenate([_OFF[dataset.card.metric](part - mean, mean) for part in _targets(dataset, test)])
    return {"mean": float(np.sqrt(errors.mean()) if dataset.card.metric == "rmse" else errors.mean())}


def _targets(dataset: FederatedDataset, clients: IntArray) -> Iterator[npt.NDArray[np.float64]]:
    for block, rows in _rows_of(dataset, clients):
        targets = block.columns["y"]
        assert isinstance(targets, np.ndarray)
        yield targets[rows].astype(np.float64)


def _kilometres(gaps: npt.NDArray[np.float64], place: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the distances on the Earth of places this far (..., 2) from a ``place``, all in degrees."""
    (north, east), latitude = np.radians(gaps).T, np.radians(place[0])
    bow = np.sin(north / 2) ** 2 + np.cos(latitude) * np.cos(latitude + north) * np.sin(east / 2) ** 2
    distances: npt.NDArray[np.float64] = 2 * EARTH_KM * np.arcsin(np.sqrt(bow))
    return distances


def _mean_over_numbers(errors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    means: npt.NDArray[np.float64] = errors.reshape(len(errors), -1).mean(1)
    return means


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
    counts = np.zeros(dataset.card.classes or 2, dtype=np.int64)
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


_OFF: Final[dict[str, Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64]], npt.NDArray[np.float64]]]] = {
    "mae": lambda gaps, _: _mean_over_numbers(np.abs(gaps)),
    "rmse": lambda gaps, _: _mean_over_numbers(np.square(gaps)),
    "haversine": _kilometres,
}
"""What is wrong with each sample, given how far its target is from the prediction, and that."""

_SIMPLE: Final[dict[tuple[str, str], Callable[[FederatedDataset, IntArray, IntArray], dict[str, float]]]] = {
    ("classification", "accuracy"): _majority,
    ("next_token", "accuracy"): _token_baselines,
    ("next_token", "perplexity"): _unigram_perplexity,
    ("click", "loss"): _base_rate,
    **{("regression", metric): _mean for metric in _OFF},
}
"""By task and metric."""
