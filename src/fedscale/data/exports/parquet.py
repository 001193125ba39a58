"""Parquet: ``samples.parquet`` with one row per sample and its client, and ``card.json``."""

from __future__ import annotations

import itertools
from pathlib import Path

import pyarrow.parquet as pq

from fedscale import files
from fedscale.data.arrow import block_table
from fedscale.data.federated import FederatedDataset


class Parquet:
    """``parquet``: a row group per block of about 16 MiB; arrays are nested lists, encoded media bytes."""

    def write(self, dataset: FederatedDataset, folder: Path) -> None:
        """Write the two files."""
        blocks = dataset.blocks()
        first = block_table(next(blocks))
        with (folder / "samples.parquet").open("wb") as file, pq.ParquetWriter(file, first.schema) as writer:
            for table in itertools.chain([first], map(block_table, blocks)):
                writer.write_table(table, row_group_size=len(table))
        files.write_text(folder / "card.json", dataset.card.model_dump_json(indent=2) + "\n")
