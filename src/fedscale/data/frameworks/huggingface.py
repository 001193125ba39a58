"""Samples as a Hugging Face ``datasets.Dataset``. Needs ``pip install 'fedscale[huggingface]'``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedscale.data.arrow import client_table, whole_table
from fedscale.data.federated import FederatedDataset
from fedscale.errors import MissingExtraError

if TYPE_CHECKING:
    from datasets import Dataset


def huggingface_dataset(dataset: FederatedDataset, client: int | None = None) -> Dataset:
    """Return one client's samples, or all, with the column ``client`` beside the card's.

    Arrays are nested lists as they are stored (the card's ``x_scale`` is yours to apply); encoded images and recordings
    are bytes, which ``cast_column("x", datasets.Image())`` decodes. Samples of a store stay in its file, mapped into
    memory; those of a view are copied.

    Raises:
        MissingExtraError: the library is not installed.
        DataError: there is no such client.
    """
    try:
        from datasets import Dataset
        from datasets.table import InMemoryTable
    except ImportError:
        raise MissingExtraError("a Hugging Face dataset", "datasets", "huggingface") from None
    table = whole_table(dataset) if client is None else client_table(dataset, client)
    part = "" if client is None else f"-{client}"
    # Named by what it is: else the library would pickle all of it to know it again.
    return Dataset(InMemoryTable(table), fingerprint=f"{dataset.fingerprint}{part}")
