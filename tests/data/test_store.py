"""Writing and opening stores."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedscale import limits
from fedscale.data.card import Card
from fedscale.data.federated import FederatedDataset
from fedscale.data.ragged import Ragged
from fedscale.data.store import StoreWriter, client_names, open_store
from fedscale.errors import DataError
from fedscale.section import Component

WORDS: dict[str, Any] = {
    "title": "",
    "description": "",
    "client_is": "a row",
    "licence": "",
    "source": "",
    "citation": "",
    "verified": "",
}
TENSORS = Card(
    name="tensors",
    task="classification",
    modality="tensor",
    model=Component(name="mlp", hidden=7),
    classes=5,
    sample_shape=(2, 3),
    x_scale=0.25,
    **WORDS,
)
TEXT = Card(name="text", task="next_token", modality="text", model=Component(name="char_gru"), classes=300, **WORDS)


def tensors(counts: list[int], seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    rows = sum(counts)
    return {
        "x": rng.integers(0, 256, (rows, 2, 3), dtype=np.uint8),
        "y": rng.integers(0, 5, rows),
    }


def write_tensors(path: Path, counts: list[int], seed: int = 0) -> FederatedDataset:
    with StoreWriter(path, TENSORS) as writer:
        writer.append(np.array(counts), tensors(counts, seed))
    return open_store(path)


def test_round_trip_of_tensors(tmp_path: Path) -> None:
    dataset = write_tensors(tmp_path / "s", [3, 1, 4])
    columns = tensors([3, 1, 4])
    assert len(dataset) == 3
    assert dataset.counts.tolist() == [3, 1, 4]
    assert dataset.card == TENSORS
    assert dataset.card.model.options == {"hidden": 7}
    data = dataset.client(2)
    assert (data.client, len(data)) == (2, 4)
    np.testing.assert_array_equal(data.columns["x"], columns["x"][4:8])
    np.testing.assert_array_equal(data.columns["y"], columns["y"][4:8])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s"]


def test_opening_does_not_import_pandas(tmp_path: Path) -> None:
    """Arrow would, to make an array; that takes longer than everything else."""
    write_tensors(tmp_path / "s", [3, 1, 4])
    code = (
        "import sys; from pathlib import Path; from fedscale.data.store import open_store; "
        f"open_store(Path({str(tmp_path / 's')!r})).client(1).columns['x'][0]; sys.exit('pandas' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_clients_columns_are_views_of_the_file(tmp_path: Path) -> None:
    dataset = write_tensors(tmp_path / "s", [3, 1, 4])
    first, again = dataset.client(2).columns["x"], dataset.client(2).take(slice(1, 3)).columns["x"]
    assert isinstance(first, np.ndarray)
    assert isinstance(again, np.ndarray)
    assert np.shares_memory(first, again)
    assert not first.flags.writeable
    assert not first.flags.owndata
    copied = dataset.client(2).take(np.array([3, 0])).columns["x"]
    np.testing.assert_array_equal(copied, first[[3, 0]])


@settings(max_examples=25, deadline=None)
@given(
    clients=st.lists(
        st.lists(st.lists(st.integers(0, 299), max_size=6), min_size=1, max_size=4), min_size=1, max_size=9
    ),
    cuts=st.sets(st.integers(1, 8)),
    batch_bytes=st.sampled_from([1, 50, 1 << 20]),
)
def test_round_trip_of_text_in_any_blocks(clients: list[list[list[int]]], cuts: set[int], batch_bytes: int) -> None:
    edges = [0, *sorted(cut for cut in cuts if cut < len(clients)), len(clients)]
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "RECORD_BATCH_BYTES", batch_bytes)
        whole, parts = Path(directory) / "whole", Path(directory) / "parts"
        write_text(whole, clients, [0, len(clients)])
        write_text(parts, clients, edges)
        dataset = open_store(parts)
        for index, rows in enumerate(clients):
            tokens = dataset.client(index).columns["tokens"]
            assert isinstance(tokens, Ragged)
            assert [tokens.row(i).tolist() for i in range(len(tokens))] == rows
        assert sum(len(block.counts) for block in dataset.blocks()) == len(clients)
        assert dataset.fingerprint == open_store(whole).fingerprint


def write_text(path: Path, clients: list[list[list[int]]], edges: list[int]) -> None:
    with StoreWriter(path, TEXT) as writer:
        for first, last in itertools.pairwise(edges):
            rows = [row for client in clients[first:last] for row in client]
            writer.append(np.array([len(client) for client in clients[first:last]]), {"tokens": Ragged.of(rows, "u2")})


def test_blocks_are_whole_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RECORD_BATCH_BYTES", 14 * 5)  # a row is 6 + 8 bytes
    with StoreWriter(tmp_path / "s", TENSORS) as writer:
        for count in (2, 2, 2, 1):
            writer.append(np.array([count]), tensors([count]))
    blocks = list(open_store(tmp_path / "s").blocks())
    assert [(block.first, block.counts.tolist(), len(block.columns["y"])) for block in blocks] == [
        (0, [2, 2, 2], 6),
        (3, [1], 1),
    ]


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    same, again = write_tensors(tmp_path / "a", [3, 1]), write_tensors(tmp_path / "b", [3, 1])
    assert same.fingerprint == again.fingerprint
    assert len(same.fingerprint) == 32
    assert write_tensors(tmp_path / "c", [1, 3]).fingerprint != same.fingerprint
    assert write_tensors(tmp_path / "d", [3, 1], seed=1).fingerprint != same.fingerprint


def test_names_of_clients(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", TENSORS) as writer:
        writer.append(np.array([1, 1]), tensors([1, 1]), names=["Ham", "Puck"])
    assert client_names(open_store(tmp_path / "s")) == ["Ham", "Puck"]
    assert client_names(write_tensors(tmp_path / "t", [1])) is None


@pytest.mark.parametrize("client", [-1, 2])
def test_a_client_that_is_not_there(tmp_path: Path, client: int) -> None:
    with pytest.raises(DataError, match=f"no client {client}: the dataset has clients 0 to 1"):
        write_tensors(tmp_path / "s", [1, 1]).client(client)


BAD_BLOCKS: list[tuple[list[int], dict[str, Any], str]] = [
    ([2], {"x": np.zeros((2, 2, 3))}, r"columns \['x'\], but a classification set has \['x', 'y'\]"),
    ([2, 0], tensors([2]), "every client needs at least one sample"),
    ([3], tensors([2]), "column 'x' has 2 rows, the clients 3 samples"),
    ([1], {"x": np.zeros((1, 6)), "y": np.zeros(1, int)}, r"x is not of sample_shape \(2, 3\)"),
    ([1], {"x": np.full((1, 2, 3), np.nan), "y": np.zeros(1, int)}, "not finite"),
    ([1], {"x": np.zeros((1, 2, 3)), "y": np.array([5])}, "y holds 5 to 5, but classes is 5"),
    ([1], {"x": np.zeros((1, 2, 3)), "y": np.array([-1])}, "y holds -1 to -1, but classes is 5"),
    ([1], {"x": np.zeros((1, 2, 3)), "y": np.array([0.5])}, "y holds float64, not integers"),
]


@pytest.mark.parametrize(("counts", "columns", "message"), BAD_BLOCKS)
def test_a_block_that_does_not_fit(tmp_path: Path, counts: list[int], columns: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message), StoreWriter(tmp_path / "s", TENSORS) as writer:
        writer.append(np.array(counts), columns)
    assert list(tmp_path.iterdir()) == []


def test_nothing_remains_of_a_write_that_fails_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RECORD_BATCH_BYTES", 1)
    with pytest.raises(DataError, match="those before it"), StoreWriter(tmp_path / "s", TENSORS) as writer:
        writer.append(np.array([1]), tensors([1]))
        assert len(list(tmp_path.iterdir())) == 1
        writer.append(np.array([1]), tensors([1]) | {"x": np.zeros((1, 2, 3), np.float32)})
    assert list(tmp_path.iterdir()) == []


def test_an_empty_dataset_and_missing_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least one client"), StoreWriter(tmp_path / "s", TENSORS):
        pass
    with pytest.raises(DataError, match="1 names for 2 clients"), StoreWriter(tmp_path / "s", TENSORS) as writer:
        writer.append(np.array([1]), tensors([1]), names=["Ham"])
        writer.append(np.array([1]), tensors([1]))


def test_the_second_writer_keeps_the_first_ones_store(tmp_path: Path) -> None:
    first = write_tensors(tmp_path / "s", [2, 2])
    assert write_tensors(tmp_path / "s", [2, 2]).fingerprint == first.fingerprint
    with pytest.raises(DataError, match="exists already and holds something else: remove it first"):
        write_tensors(tmp_path / "s", [2, 3])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s"]
    assert open_store(tmp_path / "s").counts.tolist() == [2, 2]


@pytest.mark.parametrize("file", ["samples.arrow", "clients.arrow"])
@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_file_that_is_cut_off(tmp_path: Path, file: str, keep: int) -> None:
    path = write_tensors(tmp_path / "s", [200, 300]).path
    os.truncate(path / file, keep if keep >= 0 else (path / file).stat().st_size - 1)
    with pytest.raises(DataError, match=rf"s/{file}: not an Arrow file, or cut off"):
        open_store(path)


@pytest.mark.parametrize("file", ["samples.arrow", "clients.arrow"])
def test_a_file_that_is_not_there(tmp_path: Path, file: str) -> None:
    path = write_tensors(tmp_path / "s", [2]).path
    (path / file).unlink()
    with pytest.raises(DataError, match=rf"s/{file}: no such file"):
        open_store(path)


def test_files_of_two_stores_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = write_tensors(tmp_path / "a", [2, 2]).path, write_tensors(tmp_path / "b", [2, 3]).path
    (other / "samples.arrow").replace(one / "samples.arrow")
    with pytest.raises(DataError, match=r"record batch 0: 5 rows do not fit clients.arrow"):
        open_store(one).client(0)
    monkeypatch.setattr(limits, "RECORD_BATCH_BYTES", 1)
    with StoreWriter(tmp_path / "c", TENSORS) as writer:
        writer.append(np.array([2]), tensors([2]))
        writer.append(np.array([2]), tensors([2]))
    (tmp_path / "c" / "samples.arrow").replace(one / "samples.arrow")
    with pytest.raises(DataError, match=r"samples.arrow: 2 record batches, but clients.arrow speaks of 1"):
        open_store(one)


def test_columns_that_the_card_does_not_speak_of(tmp_path: Path) -> None:
    one = write_tensors(tmp_path / "a", [2]).path
    write_text(tmp_path / "b", [[[1, 2], [3]]], [0, 1])
    (tmp_path / "b" / "samples.arrow").replace(one / "samples.arrow")
    with pytest.raises(DataError, match=r"samples.arrow: columns \['tokens'\], but the card's task reads \['x', 'y'\]"):
        open_store(one)


def rewrite(path: Path, metadata: dict[bytes, bytes], **columns: Any) -> None:
    with pa.ipc.open_file(str(path)) as reader:
        batch = reader.get_batch(0)
    kept = {name: columns.get(name, batch.column(name)) for name in batch.schema.names}
    changed = pa.record_batch(kept).replace_schema_metadata({**batch.schema.metadata, **metadata})
    with pa.ipc.new_file(str(path), changed.schema) as file:
        file.write_batch(changed)


@pytest.mark.parametrize(
    ("metadata", "columns", "message"),
    [
        ({b"fedscale.format": b"9"}, {}, "store format b'9', not 1"),
        ({b"fedscale.card": b"{}"}, {}, "damaged: .*validation error"),
        ({}, {"count": pa.array([2, 0])}, "the index of clients is inconsistent"),
        ({}, {"batch": pa.array([1, 0], pa.int32())}, "the index of clients is inconsistent"),
        ({}, {"batch": pa.array([0, 2], pa.int32())}, "the index of clients is inconsistent"),
        ({}, {"count": pa.array([2, None])}, "damaged"),
        ({}, {"count": pa.array([2.0, 2.0])}, "the index of clients is inconsistent"),
        (
            {},
            {"count": pa.array([], pa.int64()), "batch": pa.array([], pa.int32()), "offset": pa.array([], pa.int64())},
            "the index of clients is inconsistent",
        ),
    ],
)
def test_an_index_that_cannot_be(
    tmp_path: Path, metadata: dict[bytes, bytes], columns: dict[str, Any], message: str
) -> None:
    path = write_tensors(tmp_path / "s", [2, 2]).path
    rewrite(path / "clients.arrow", metadata, **columns)
    with pytest.raises(DataError, match=rf"clients.arrow: {message}"):
        open_store(path)


def test_rows_with_offsets_outside_the_values(tmp_path: Path) -> None:
    write_text(tmp_path / "s", [[[1, 2], [3]]], [0, 1])
    content = (tmp_path / "s" / "samples.arrow").read_bytes()
    offsets = np.array([0, 2, 3], dtype=np.int64).tobytes()
    assert content.count(offsets) == 1
    damaged = content.replace(offsets, np.array([0, 2, 1 << 40], dtype=np.int64).tobytes())
    (tmp_path / "s" / "samples.arrow").write_bytes(damaged)
    with pytest.raises(DataError, match=r"samples.arrow, record batch 0: damaged"):
        open_store(tmp_path / "s").client(0)


def test_opening_costs_nothing(tmp_path: Path) -> None:
    clients, each = 1_800_000, 2
    rows = clients * each
    card = TENSORS.model_copy(update={"sample_shape": (1,)})
    with StoreWriter(tmp_path / "s", card) as writer:
        x, y = np.zeros((rows, 1), np.uint8), np.zeros(rows, np.int32)
        writer.append(np.full(clients, each), {"x": x, "y": y})
    open_store(tmp_path / "s")
    took = min(_timed(lambda: open_store(tmp_path / "s")) for _ in range(5))
    assert took < 0.05
    dataset = open_store(tmp_path / "s")
    assert len(dataset.client(clients - 1)) == each


def _timed(call: Any) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
