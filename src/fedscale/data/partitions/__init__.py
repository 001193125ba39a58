"""Partitions: who has which samples of a dataset (§3.1: "customize their dataset")."""

from __future__ import annotations

from typing import Final

from fedscale.data.federated import FederatedDataset
from fedscale.data.partitions.base import Partition
from fedscale.section import Component
from fedscale.tables import Table

PARTITIONS: Final[Table[Partition]] = Table(
    "partition",
    {
        "natural": "fedscale.data.partitions.shuffled:Natural",
        "iid": "fedscale.data.partitions.shuffled:Iid",
        "quantity": "fedscale.data.partitions.shuffled:Quantity",
        "resampled": "fedscale.data.partitions.shuffled:Resampled",
        "dirichlet": "fedscale.data.partitions.labels:Dirichlet",
        "shards": "fedscale.data.partitions.labels:Shards",
        "feature": "fedscale.data.partitions.features:Feature",
    },
)


def partitioned(dataset: FederatedDataset, partition: Component | str, seed: int = 1) -> FederatedDataset:
    """Return ``dataset`` with its samples given to clients as a partition says: the same ones for the same ``seed``.

    Args:
        dataset: a store, or a view of one.
        partition: by name, with options: ``"iid"``, ``Component(name="dirichlet", alpha=0.3, clients=100)``.
        seed: of what is drawn; a job gives its own.

    Raises:
        JobError: an unknown name or option, or one that does not suit the dataset.
    """
    chosen = Component.model_validate(partition)
    return PARTITIONS.build(chosen.name, chosen.options).apply(dataset, seed)
