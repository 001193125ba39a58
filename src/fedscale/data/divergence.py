"""How far apart the label distributions of clients are: the pairwise Jensen-Shannon distance (§3.1, Figure 3(b))."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fedscale import seeds
from fedscale.data.ragged import IntArray
from fedscale.data.rearranged import ranges

FloatArray = npt.NDArray[np.float64]

ENTRIES: Final = 1 << 21
"""Labels of pairs that are compared together; it bounds memory."""

ROUNDING: Final = 1e-12
"""Divergence (bits) that comes of rounding, between clients that are alike."""


@dataclass(frozen=True)
class Tallies:
    """How often clients have which label, without the zeros.

    Entry e says that label ``labels[e]`` came ``counts[e]`` times; client c has the entries ``offsets[c]`` up to
    ``offsets[c + 1]``, labels ascending.
    """

    offsets: IntArray
    labels: IntArray
    counts: IntArray

    @classmethod
    def of(cls, owners: IntArray, labels: IntArray, clients: int, classes: int) -> Tallies:
        """Count ``labels`` (below ``classes``), one for each of ``owners`` (below ``clients``)."""
        keys, counts = np.unique(owners.astype(np.int64) * classes + labels, return_counts=True)
        offsets = np.searchsorted(keys, np.arange(clients + 1) * classes)
        return cls(offsets, keys % classes, counts)

    @property
    def sizes(self) -> IntArray:
        """How many labels each client has, counted as often as they come."""
        before = np.concatenate([[0], np.cumsum(self.counts)])
        return np.diff(before[self.offsets])

    @property
    def entropies(self) -> FloatArray:
        """Entropy of each client's labels in bits, −Σ p log₂ p; not a number where a client has none."""
        sizes = self.sizes
        before = np.concatenate([[0.0], np.cumsum(self.counts * np.log2(self.counts))])
        with np.errstate(divide="ignore", invalid="ignore"):
            bits: FloatArray = np.log2(sizes) - np.diff(before[self.offsets]) / sizes
        bits[np.diff(self.offsets) == 1] = 0  # one label: not a last digit more or less
        return bits

    def take(self, clients: IntArray) -> Tallies:
        """Return the tallies of some clients."""
        lengths = np.diff(self.offsets)[clients]
        entries = ranges(self.offsets[:-1][clients], lengths)
        return Tallies(np.concatenate([[0], np.cumsum(lengths)]), self.labels[entries], self.counts[entries])


def joined(parts: list[Tallies]) -> Tallies:
    """Return the tallies of the clients of all parts, one part behind the other."""
    ends = np.cumsum([0, *(part.offsets[-1] for part in parts)])
    offsets = [part.offsets[1:] + end for part, end in zip(parts, ends, strict=False)]
    labels, counts = (np.concatenate([getattr(part, name) for part in parts]) for name in ("labels", "counts"))
    return Tallies(np.concatenate([[0], *offsets]), labels, counts)


def pairs_of(clients: int, most: int, seed: int) -> tuple[IntArray, IntArray]:
    """Return pairs of different clients: all of them, or ``most`` drawn with replacement where there are more."""
    if clients * (clients - 1) // 2 <= most:
        one, other = np.triu_indices(clients, 1)
        return one.astype(np.int64), other.astype(np.int64)
    rng = seeds.rng(seed, "data", "pairs")
    one, other = rng.integers(clients, size=most), rng.integers(clients - 1, size=most)
    return one, other + (other >= one)


def distances(tallies: Tallies, one: IntArray, other: IntArray) -> FloatArray:
    """Return the Jensen-Shannon distance of each pair of clients, from 0 (alike) to 1 (no label in common).

    √(H((p + q) / 2) − (H(p) + H(q)) / 2) with entropies H in bits: the square root of the divergence of J. Lin,
    "Divergence measures based on the Shannon entropy", IEEE Trans. Information Theory 37, 1991, which is a metric (D.
    M. Endres, J. E. Schindelin, same journal 49, 2003). Not a number where a client has no label.
    """
    lengths = np.diff(tallies.offsets)
    found = [_distances(tallies, one[some], other[some]) for some in _pieces(np.cumsum(lengths[one] + lengths[other]))]
    return np.concatenate([np.empty(0), *found])


def _pieces(ends: IntArray) -> Iterator[slice]:
    edges = np.flatnonzero(np.diff(ends // ENTRIES, prepend=-1)) if len(ends) else np.zeros(1, dtype=np.int64)
    for first, last in zip(edges, [*edges[1:], len(ends)], strict=True):
        yield slice(first, last)


def _distances(tallies: Tallies, one: IntArray, other: IntArray) -> FloatArray:
    mixed, entropies = _mixtures(tallies, one, other), tallies.entropies
    divergence = mixed - (entropies[one] + entropies[other]) / 2
    divergence[divergence < ROUNDING] = 0
    return np.sqrt(np.minimum(divergence, 1))


def _mixtures(tallies: Tallies, one: IntArray, other: IntArray) -> FloatArray:
    """Return the entropy of half of one client's distribution and half of the other's, pair by pair."""
    halves = [tallies.take(clients) for clients in (one, other)]
    pairs = [np.repeat(np.arange(len(one)), np.diff(half.offsets)) for half in halves]
    weights = [half.counts / np.repeat(2 * half.sizes, np.diff(half.offsets)) for half in halves]
    pair, label, weight = (np.concatenate(each) for each in (pairs, [half.labels for half in halves], weights))
    order = np.lexsort((label, pair))
    pair, label, weight = pair[order], label[order], weight[order]
    starts = np.flatnonzero(np.diff(label, prepend=-1) | np.diff(pair, prepend=-1))
    shares = np.add.reduceat(weight, starts) if len(starts) else weight
    return np.asarray(np.bincount(pair[starts], -shares * np.log2(shares), minlength=len(one)), dtype=np.float64)
