"""Partition by feature: clients differ in what their samples look like."""

from __future__ import annotations

import numpy as np

from fedscale.data.features import feature_column, feature_of
from fedscale.data.federated import FederatedDataset
from fedscale.data.partitions.base import generator, sizes
from fedscale.data.rearranged import rearranged
from fedscale.errors import JobError
from fedscale.section import Positive, Share


class Feature:
    """``feature``: clients have samples of like brightness, loudness or length.

    A sample's feature f is the mean of its input's numbers, or where rows vary in length (texts, encoded media) the
    length of its row. Samples are sorted by ρ z + √(1 − ρ²) ε, where z is f less its mean, in standard deviations, and
    ε ~ N(0, 1); neighbours in this order go to the same client. So ρ is the correlation of the order with
    the feature: at 1 clients are ranges of f, at 0 they are alike. The idea is that of Flower Datasets'
    ``ContinuousPartitioner`` (D. J. Beutel et al., arXiv:2007.14390), which has weights ρ and 1 − ρ.

    Args:
        strength: ρ.
        clients: so many, of the same size but for one sample; by default as many as there are, of their own sizes.
    """

    def __init__(self, strength: Share = 1.0, clients: Positive | None = None) -> None:
        self._strength = strength
        self._clients = clients

    def apply(self, dataset: FederatedDataset, seed: int) -> FederatedDataset:
        """Return ``dataset`` with like samples together."""
        column = feature_column(dataset.card)
        if column is None:
            raise JobError(f"partition 'feature': {dataset.card.name} has no inputs to go by: take another partition")
        values = np.concatenate([feature_of(block.columns[column]) for block in dataset.blocks()])
        spread = values.std()
        z = (values - values.mean()) / spread if spread > 0 else np.zeros(len(values))
        noise = generator(seed, "feature").standard_normal(len(values))
        order = np.argsort(self._strength * z + np.sqrt(1 - self._strength**2) * noise, kind="stable")
        counts = sizes(dataset, self._clients, "feature")
        return rearranged(dataset, counts, order)
