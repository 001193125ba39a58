"""Samples as Arrow tables that any program reads: nested lists, bytes for encoded media, and the client's number."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fedscale.data.encoded import Encoded, Samples
from fedscale.data.federated import Block, FederatedDataset
from fedscale.data.ragged import IntArray, Ragged

CLIENT = "client"
"""The column that says whose sample a row is."""


def block_table(block: Block) -> pa.Table:
    """Return a block's samples; all but the client's number over the same memory."""
    clients = np.arange(block.first, block.first + len(block.counts))
    return _table(np.repeat(clients, block.counts), block.columns)


def client_table(dataset: FederatedDataset, client: int) -> pa.Table:
    """Return one client's samples."""
    data = dataset.client(client)
    return _table(np.full(len(data), client), data.columns)


def whole_table(dataset: FederatedDataset) -> pa.Table:
    """Return all samples. Those of a store stay in its file until they are used; those of a view are copied."""
    return pa.concat_tables([block_table(block) for block in dataset.blocks()])


def _table(clients: IntArray, columns: Mapping[str, Samples]) -> pa.Table:
    return pa.table({CLIENT: clients, **{name: plain_array(column) for name, column in columns.items()}})


def plain_array(column: Samples) -> pa.Array:
    """Return a column as nested lists (of fixed length but for ragged ones) or, encoded, as bytes."""
    if isinstance(column, Encoded):
        return _binary(column.rows)
    if isinstance(column, Ragged):
        return pa.LargeListArray.from_arrays(pa.array(column.offsets), pa.array(column.values))
    flat = pa.array(np.ascontiguousarray(column).reshape(-1))
    for size in reversed(column.shape[1:]):
        flat = pa.FixedSizeListArray.from_arrays(flat, size)
    return flat


def _binary(rows: Ragged) -> pa.Array:
    offsets: npt.NDArray[np.int64] = np.ascontiguousarray(rows.offsets)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(rows.values))]
    return pa.Array.from_buffers(pa.large_binary(), len(rows), buffers)
