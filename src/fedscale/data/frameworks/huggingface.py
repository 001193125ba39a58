"""Samples as a Hugging Face ``datasets.Dataset``. Needs ``pip install 'fedscale[huggingface]'``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa

from fedscale.data.arrow import client_table, whole_table
from fedscale.data.card import Card
from fedscale.data.federated import FederatedDataset
from fedscale.errors import MissingExtraError

if TYPE_CHECKING:
    from datasets import ClassLabel, Dataset

NAMED: Final = 2_000
"""Classes up to which a label is a ``ClassLabel``: the library writes their names with every step, 10 ms at 2,000."""


def huggingface_dataset(dataset: FederatedDataset, client: int | None = None) -> Dataset:
    """Return one client's samples, or all, with the column ``client`` beside the card's.

    Arrays are nested lists as they are stored (the card's ``x_scale`` is yours to apply); encoded images and recordings
    are bytes, which ``cast_column("x", datasets.Image())`` decodes. The label of a classification is a ``ClassLabel``
    with the card's names, so that ``train_test_split(stratify_by_column="y")`` works; a plain number where there are
    more than `NAMED` classes. Samples of a store stay in its file, mapped into memory; those of a view are copied.

    Raises:
        MissingExtraError: the library is not installed.
        DataError: there is no such client.
    """
    try:
        from datasets import Dataset, DatasetInfo, Features
        from datasets.table import InMemoryTable
    except ImportError:
        raise MissingExtraError("a Hugging Face dataset", "datasets", "huggingface") from None
    table = whole_table(dataset) if client is None else client_table(dataset, client)
    label = _label(dataset.card)
    if label is not None:
        table = _with_numbers(table, "y")
    features = Features.from_arrow_schema(table.schema) | ({} if label is None else {"y": label})
    part = "" if client is None else f"-{client}"
    # Named by what it is: else the library would pickle all of it to know it again.
    name = f"{dataset.fingerprint}{part}"
    return Dataset(InMemoryTable(table), info=DatasetInfo(features=Features(features)), fingerprint=name)


def _label(card: Card) -> ClassLabel | None:
    from datasets import ClassLabel

    if card.task != "classification" or card.classes is None or card.classes > NAMED or "y" in card.without:
        return None
    names = card.label_names or ()
    unique = len(set(names)) == card.classes
    return ClassLabel(names=list(names)) if unique else ClassLabel(num_classes=card.classes)


def _with_numbers(table: pa.Table, name: str) -> pa.Table:
    """Return the table with whole numbers of 64 bits in a column, as the library keeps labels."""
    place = table.schema.get_field_index(name)
    return table.set_column(place, name, table.column(place).cast(pa.int64()))
