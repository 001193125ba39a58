"""A dataset's clients as the partitions of a Flower Datasets ``Partitioner``."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from fedscale.data.federated import FederatedDataset
from fedscale.data.frameworks.huggingface import huggingface_dataset

if TYPE_CHECKING:
    from datasets import Dataset


class ClientPartitioner:
    """Partition i is client i: ``load_partition``, ``num_partitions`` and ``dataset`` of ``flwr_datasets``.

    It takes the place of a ``flwr_datasets.partitioner.Partitioner`` in a ``client_fn``; use `flower_partitioner`
    so that it also passes for one. Its dataset is there from the beginning, so it refuses another.
    """

    def __init__(self, dataset: FederatedDataset) -> None:
        self._source = dataset

    def __reduce__(self) -> tuple[Callable[[FederatedDataset], ClientPartitioner], tuple[FederatedDataset]]:
        """Say how another process has the same: it asks `flower_partitioner`, so that it passes for one there too."""
        return flower_partitioner, (self._source,)

    @property
    def num_partitions(self) -> int:
        """Number of clients."""
        return len(self._source)

    def load_partition(self, partition_id: int) -> Dataset:
        """Return the samples of client ``partition_id`` as a Hugging Face dataset.

        Raises:
            DataError: there is no such client.
        """
        return huggingface_dataset(self._source, partition_id)

    def is_dataset_assigned(self) -> bool:
        """Say that there is a dataset."""
        return True

    @property
    def dataset(self) -> Dataset:
        """All samples, with the column ``client``."""
        return self._whole

    @dataset.setter
    def dataset(self, value: Dataset) -> None:
        raise ValueError("the clients of a FedScale dataset have their samples already: no other can be assigned")

    @cached_property
    def _whole(self) -> Dataset:
        return huggingface_dataset(self._source)


def flower_partitioner(dataset: FederatedDataset) -> ClientPartitioner:
    """Return the partitioner; where ``flwr_datasets`` is installed, ``isinstance`` takes it for one of theirs."""
    if importlib.util.find_spec("flwr_datasets"):
        from flwr_datasets.partitioner import Partitioner

        Partitioner.register(ClientPartitioner)
    return ClientPartitioner(dataset)
