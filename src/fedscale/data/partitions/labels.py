"""Partitions by label: clients differ in how often they have which."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from fedscale import limits
from fedscale.data.draws import dirichlet
from fedscale.data.federated import FederatedDataset
from fedscale.data.partitions.base import check_clients, generator, shuffled_rows, sizes
from fedscale.data.ragged import IntArray
from fedscale.data.rearranged import ranges, rearranged
from fedscale.errors import JobError, bad_option
from fedscale.section import Positive

Concentration = Annotated[float, Field(gt=0, le=1e6)]


class Dirichlet:
    """``dirichlet``: each client draws its labels from a distribution of its own.

    T. H. Hsu, H. Qi, M. Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
    Classification", arXiv:1909.06335, 2019: client j has q_j ~ Dirichlet(α C p), where p are the shares of the C labels
    in the dataset: Dirichlet(α, ..., α) where all are equally frequent. (That paper's α is α C here.) It draws its
    labels from q_j. Where a label has run out, clients draw again from the labels that are left, in the same
    proportions. So every sample is dealt out once, and sizes are just what they were asked to be.

    Args:
        alpha: α; the smaller, the fewer labels a client has.
        clients: so many, of the same size but for one sample; by default as many as there are, of their own sizes.
    """

    def __init__(self, alpha: Concentration = 0.5, clients: Positive | None = None) -> None:
        self._alpha = alpha
        self._clients = clients

    def apply(self, dataset: FederatedDataset, seed: int) -> FederatedDataset:
        """Return ``dataset`` with labels dealt out unequally."""
        wanted = sizes(dataset, self._clients, "dirichlet")
        rng = generator(seed, "dirichlet")
        by_label, totals = _by_label(dataset, rng, "dirichlet")
        cells = len(wanted) * len(totals)
        if cells > limits.PARTITION_CELLS:
            allowed = f"at most {limits.PARTITION_CELLS // len(totals)} with {len(totals)} labels"
            raise bad_option("partition 'dirichlet'", "clients", allowed, len(wanted))
        shares = dirichlet(rng, self._alpha * len(totals) * totals / totals.sum(), (len(wanted), len(totals)))
        given = _deal(wanted, totals, shares, rng)
        starts = np.cumsum(totals) - totals + np.cumsum(given, axis=0) - given
        return rearranged(dataset, wanted, by_label[ranges(starts.ravel(), given.ravel())])


class Shards:
    """``shards``: samples sorted by label and cut into pieces, of which each client gets a few at random.

    The "pathological" partition of H. B. McMahan et al., "Communication-Efficient Learning of Deep Networks from
    Decentralized Data", AISTATS 2017, §3: a client has few labels. Shards are alike but for one sample.

    Args:
        per_client: shards of a client.
        clients: so many; by default as many as there are.
    """

    def __init__(self, per_client: Positive = 2, clients: Positive | None = None) -> None:
        self._per_client = per_client
        self._clients = clients

    def apply(self, dataset: FederatedDataset, seed: int) -> FederatedDataset:
        """Return ``dataset`` with a few labels on every client."""
        rng = generator(seed, "shards")
        by_label, _ = _by_label(dataset, rng, "shards")
        clients = self._clients or len(dataset)
        shards = clients * self._per_client
        check_clients(shards, len(by_label), "shards", "clients × per_client")
        edges = np.arange(shards + 1) * len(by_label) // shards
        dealt = rng.permutation(shards)
        lengths = np.diff(edges)[dealt]
        rows = by_label[ranges(edges[:-1][dealt], lengths)]
        return rearranged(dataset, lengths.reshape(clients, self._per_client).sum(axis=1), rows)


def _deal(wanted: IntArray, totals: IntArray, shares: npt.NDArray[np.float64], rng: np.random.Generator) -> IntArray:
    """Return how many samples of each label each client gets, (clients, labels); rows and columns add up as given.

    Every turn settles everything or uses up a label, so there are no more turns than labels.
    """
    given = np.zeros(shares.shape, dtype=np.int64)
    need, left = wanted.copy(), totals.copy()
    while need.any():
        weights = shares * (left > 0)
        nothing = weights.sum(axis=1) == 0  # all labels that it would have had are used up
        weights[nothing] = left
        drawn = rng.multinomial(need, weights / weights.sum(axis=1, keepdims=True))
        granted = np.diff(np.minimum(np.cumsum(drawn, axis=0), left), axis=0, prepend=0)
        given += granted
        need -= granted.sum(axis=1)
        left -= granted.sum(axis=0)
    return given


def _by_label(dataset: FederatedDataset, rng: np.random.Generator, name: str) -> tuple[npt.NDArray[Any], IntArray]:
    """Return all rows sorted by label, random among equals; and how many there are of each label that occurs.

    Raises:
        JobError: samples have no label, or several.
    """
    column = dataset.card.label_column
    if column is None:
        raise JobError(
            f"partition {name!r} goes by one label per sample, which a {dataset.card.task} set has not: take iid, "
            "quantity, feature or resampled"
        )
    labels = np.concatenate([np.asarray(block.columns[column]) for block in dataset.blocks()])
    rows = shuffled_rows(dataset, rng)
    totals = np.bincount(labels)
    return rows[np.argsort(labels[rows], kind="stable")], totals[totals > 0]
