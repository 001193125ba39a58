"""LEAF's JSON (Caldas et al., "LEAF: A Benchmark for Federated Settings", arXiv:1812.01097, 2018).

``all_data/all_data_N.json``, from where LEAF's own scripts sample and split: ``users`` (texts), ``num_samples``, and
``user_data``, which has for every user ``x`` and ``y``, as many of one as of the other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from fedscale.data.card import Card
from fedscale.data.encoded import Samples, take_samples
from fedscale.data.federated import Block, FederatedDataset
from fedscale.data.ragged import Ragged
from fedscale.errors import DataError

DIGITS = 7
"""Decimals of an input: as many as single precision has, so that the text stays short."""


class Leaf:
    """``leaf``: inputs as a model sees them (``x * x_scale``, flat), labels as numbers; of texts x and y are tokens.

    ``y`` of a text are the tokens that follow those of ``x``. A file holds the clients of one block.
    """

    def write(self, dataset: FederatedDataset, folder: Path) -> None:
        """Write the files, one client after another."""
        if dataset.card.task not in ("classification", "multilabel", "next_token", "regression", "click"):
            raise DataError(f"LEAF's JSON has no place for what a {dataset.card.task} set holds: take parquet")
        if "x" in dataset.card.without:
            raise DataError(f"{dataset.card.name} has no inputs, which LEAF's JSON needs: take parquet")
        (folder / "all_data").mkdir()
        for number, block in enumerate(dataset.blocks()):
            path = folder / "all_data" / f"all_data_{number}.json"
            with path.open("w", encoding="utf-8") as file:
                _write_block(file, dataset.card, block)


def _write_block(file: TextIO, card: Card, block: Block) -> None:
    users = [str(client) for client in range(block.first, block.first + len(block.counts))]
    file.write(f'{{"users": {json.dumps(users)}, "num_samples": {json.dumps(block.counts.tolist())}, "user_data": {{')
    ends = np.cumsum(block.counts)
    for place, user in enumerate(users):
        rows = slice(int(ends[place] - block.counts[place]), int(ends[place]))
        data = _user(card, {name: take_samples(column, rows) for name, column in block.columns.items()})
        file.write(f"{', ' if place else ''}{json.dumps(user)}: {json.dumps(data)}")
    file.write("}}\n")


def _user(card: Card, columns: Mapping[str, Samples]) -> dict[str, list[Any]]:
    if card.task == "next_token":
        tokens = _rows(columns["tokens"])
        return {"x": [row[:-1] for row in tokens], "y": [row[1:] for row in tokens]}
    (target,) = (name for name in card.columns if name != "x")
    inputs = columns["x"]
    assert not isinstance(inputs, Ragged)
    x = inputs[:]
    flat = x.reshape(len(x), -1)
    if card.task != "click":
        flat = np.round(flat * card.x_scale, DIGITS) if card.x_scale != 1 or flat.dtype.kind == "f" else flat
    return {"x": flat.tolist(), "y": _rows(columns[target])}


def _rows(column: Samples) -> list[Any]:
    if isinstance(column, Ragged):
        return [row.tolist() for row in column.rows()]
    values: list[Any] = column[:].tolist()
    return values
