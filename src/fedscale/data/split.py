"""Which clients train, validate and test (§3.1), and which of a client's samples are held out of its training.

Everything follows from the seed. Shares are of *clients*, since a model meets new people, not new samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedscale import seeds
from fedscale.data.federated import FederatedDataset
from fedscale.data.ragged import IntArray, Rows
from fedscale.data.rearranged import of_clients
from fedscale.dataset import DataConf, SplitConf
from fedscale.errors import JobError


@dataclass(frozen=True)
class Split:
    """Disjoint, sorted client numbers, and the share of each training client's samples that is held out."""

    train: IntArray
    validation: IntArray
    test: IntArray
    within_client: float


def split_clients(counts: IntArray, conf: DataConf, seed: int) -> Split:
    """Divide the clients that take part at random into train, validation and test clients.

    Sizes are rounded by largest remainder. Every part with a share above 0 gets at least one client as far as there
    are enough of them: training first, then test, then validation.

    Raises:
        JobError: no client has as many samples as ``conf`` asks for.
    """
    order = eligible(counts, conf, seed)
    train, test, _ = split_sizes(len(order), conf.split)
    parts = np.split(order, [train, train + test])
    return Split(np.sort(parts[0]), np.sort(parts[2]), np.sort(parts[1]), conf.split.within_client)


def eligible(counts: IntArray, conf: DataConf, seed: int) -> IntArray:
    """Return the clients that take part, in random order: ``max_clients`` of those with as many samples as asked for.

    Raises:
        JobError: there are none.
    """
    most = conf.max_samples or int(counts.max(initial=0))
    clients = np.flatnonzero((counts >= conf.min_samples) & (counts <= most))
    if len(clients) == 0 and conf.max_samples is None:
        raise JobError(f"data.min_samples = {conf.min_samples}: the largest client has {counts.max(initial=0)} samples")
    if len(clients) == 0:
        asked = f"data.min_samples = {conf.min_samples}, data.max_samples = {conf.max_samples}"
        raise JobError(f"{asked}: no client has so many; they have {counts.min()} to {counts.max()}")
    return seeds.rng(seed, "data", "split").permutation(clients)[: conf.max_clients]


def taking_part(dataset: FederatedDataset, conf: DataConf, seed: int = 1) -> FederatedDataset:
    """Return a dataset of the clients that take part in a job: numbered anew, in the order that they had.

    Raises:
        JobError: there are none.
    """
    clients = np.sort(eligible(dataset.counts, conf, seed))
    return dataset if len(clients) == len(dataset) else of_clients(dataset, clients)


def split_sizes(clients: int, conf: SplitConf) -> tuple[int, int, int]:
    """Return how many of ``clients`` train, test and validate, in this order, which also breaks ties."""
    shares = np.array([conf.train, conf.test, conf.validation])
    exact = shares / shares.sum() * clients
    sizes = np.floor(exact + 1e-9).astype(int)
    by_remainder = np.argsort(sizes - exact, kind="stable")
    sizes[by_remainder[: clients - sizes.sum()]] += 1
    wanting = [part for part in range(3) if shares[part] > 0][:clients]
    for part in wanting:
        if sizes[part] == 0:
            sizes[sizes.argmax()] -= 1
            sizes[part] = 1
    return int(sizes[0]), int(sizes[1]), int(sizes[2])


def held_out_counts(counts: IntArray, share: float) -> IntArray:
    """Return how many samples of each client are held out: ``share`` of them, rounded, but one is left for training."""
    rounded = np.floor(share * counts + 0.5).astype(np.int64)
    held: IntArray = np.minimum(rounded, counts - 1)
    return held


def training_rows(count: int, share: float, seed: int, client: int) -> Rows:
    """Return the rows on which a client of ``count`` samples trains: with share 0 a slice, else a sorted array."""
    if share == 0:
        return slice(0, count)
    return _divided(count, share, seed, client)[1]


def held_out_rows(count: int, share: float, seed: int, client: int) -> Rows:
    """Return the other rows, on which the client's own accuracy is measured; none with share 0."""
    if share == 0:
        return slice(0, 0)
    return _divided(count, share, seed, client)[0]


def _divided(count: int, share: float, seed: int, client: int) -> tuple[IntArray, IntArray]:
    order = seeds.rng(seed, "data", "within", client).permutation(count)
    held = int(held_out_counts(np.array([count]), share)[0])
    return np.sort(order[:held]), np.sort(order[held:])
