"""Partitions that look at nothing but the number of samples."""

from __future__ import annotations

import numpy as np

from fedscale.data.draws import dirichlet, largest_remainder
from fedscale.data.federated import FederatedDataset
from fedscale.data.partitions.base import check_clients, generator, shuffled_rows, sizes
from fedscale.data.rearranged import rearranged
from fedscale.section import NonNegative, Positive, PositiveFloat


class Natural:
    """``natural``: every client has the samples that it had where they were collected."""

    def apply(self, dataset: FederatedDataset, seed: int) -> FederatedDataset:
        """Return ``dataset`` itself."""
        return dataset


class Iid:
    """``iid``: all samples in one random order, dealt out; the "IID" of Table 4 and Figure 11.

    Args:
        clients: so many, of the same size but for one sample; by default as many as there are, of their own sizes.
    """

    def __init__(self, clients: Positive | None = None) -> None:
        self._clients = clients

    def apply(self, dataset: FederatedDataset, seed: int) -> FederatedDataset:
        """Return ``dataset`` shuffled."""
        counts = sizes(dataset, self._clients, "iid")
        return rearranged(dataset, counts, shuffled_rows(dataset, generator(seed, "iid")))


class Quantity:
    """``quantity``: clients differ in how much they have, and in nothing else.

    Shares q ~ Dirichlet(α, ..., α) over clients, as in Q. Li et al., "Federated Learning on Non-IID Data Silos: An
    Experimental Study", ICDE 2022, §4.3 (quantity skew). Everybody has one sample, and the others are
    dealt out by q, rounded by largest remainder; which ones is random.

    Args:
        alpha: α; the smaller, the more unequal.
        clients: so many; by default as many as there are.
    """

    def __init__(self, alpha: PositiveFloat = 0.5, clients: Positive | None = None) -> None:
        self._alpha = alpha
        self._clients = clients

    def apply(self, dataset: FederatedDataset, seed: int) -> FederatedDataset:
        """Return ``dataset`` dealt out unequally."""
        clients = self._clients or len(dataset)
        total = int(dataset.counts.sum())
        check_clients(clients, total, "quantity")
        rng = generator(seed, "quantity")
        shares = dirichlet(rng, self._alpha, (1, clients))[0]
        counts = 1 + largest_remainder(shares, total - clients)
        return rearranged(dataset, counts, shuffled_rows(dataset, rng))


class Resampled:
    """``resampled``: clients keep their own distributions, and get other sizes.

    A client of n samples that is to have m gets every one of its own ⌊m / n⌋ times, and a random m mod n of them once
    more: none comes twice before all came once. Sizes are lognormal with mean ``samples``:
    ``samples`` × exp(s z − s² / 2) for z ~ N(0, 1), rounded, at least 1.

    Args:
        samples: mean size.
        size_skew: s, the standard deviation of the logarithm of sizes; 0: all alike.
    """

    def __init__(self, samples: Positive = 100, size_skew: NonNegative = 0.0) -> None:
        self._samples = samples
        self._skew = size_skew

    def apply(self, dataset: FederatedDataset, seed: int) -> FederatedDataset:
        """Return ``dataset`` with clients of other sizes."""
        rng = generator(seed, "resampled")
        wanted = self._samples * np.exp(self._skew * rng.standard_normal(len(dataset)) - self._skew**2 / 2)
        counts = np.maximum(np.rint(wanted), 1).astype(np.int64)
        rows = shuffled_rows(dataset, rng)
        owners = np.repeat(np.arange(len(dataset)), dataset.counts)[rows]
        own = rows[np.argsort(owners, kind="stable")]  # of each client all rows, in random order
        starts = np.repeat(np.cumsum(dataset.counts) - dataset.counts, counts)
        places = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return rearranged(dataset, counts, own[starts + places % np.repeat(dataset.counts, counts)])
