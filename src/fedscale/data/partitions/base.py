"""What partitions share: their interface, sizes of clients, and rows in random order."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fedscale import seeds
from fedscale.data.federated import FederatedDataset
from fedscale.data.ragged import IntArray
from fedscale.data.rearranged import row_type
from fedscale.errors import bad_option

Clients = int | None


class Partition(Protocol):
    """Gives the samples of a dataset to clients; a class whose parameters are the options of a job."""

    def apply(self, dataset: FederatedDataset, seed: int) -> FederatedDataset:
        """Return ``dataset`` with other clients; everything follows from the ``seed``.

        Raises:
            JobError: the dataset has too few samples, or lacks what the partition goes by.
        """
        ...


def sizes(dataset: FederatedDataset, clients: Clients, name: str) -> IntArray:
    """Return how many samples each client is to have: as now, or ``clients`` alike but for one sample.

    Raises:
        JobError: there are fewer samples than clients.
    """
    if clients is None:
        return dataset.counts
    total = int(dataset.counts.sum())
    check_clients(clients, total, name)
    return np.diff(np.arange(clients + 1) * total // clients)


def check_clients(clients: int, samples: int, name: str, option: str = "clients") -> None:
    """See to it that there is a sample for everybody.

    Raises:
        JobError: there is not.
    """
    if clients > samples:
        raise bad_option(f"partition {name!r}", option, f"at most {samples}, the samples", clients)


def generator(seed: int, name: str) -> np.random.Generator:
    """Return the generator that a partition draws with."""
    return seeds.rng(seed, "data", "partition", name)


def shuffled_rows(dataset: FederatedDataset, rng: np.random.Generator) -> npt.NDArray[Any]:
    """Return the numbers of all rows in random order."""
    total = int(dataset.counts.sum())
    return rng.permutation(np.arange(total, dtype=row_type(total)))
