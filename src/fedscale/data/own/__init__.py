"""Your own data as a federated dataset, in a line or two; docs/own-data.md has an example of each."""

from __future__ import annotations

from fedscale.data.own.folders import from_folders, from_mapping
from fedscale.data.own.leaf import from_leaf
from fedscale.data.own.streams import from_csv, from_parquet
from fedscale.data.own.tables import from_arrays, from_huggingface, from_table
from fedscale.data.own.tff import from_tff

__all__ = [
    "from_arrays",
    "from_csv",
    "from_folders",
    "from_huggingface",
    "from_leaf",
    "from_mapping",
    "from_parquet",
    "from_table",
    "from_tff",
]
