"""Datasets in other frameworks and in their files: what arrives is what the store holds."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from typer.testing import CliRunner

from fedscale import limits, load_dataset
from fedscale.cli.main import app
from fedscale.data.card import Card
from fedscale.data.exports import export
from fedscale.data.federated import FederatedDataset
from fedscale.data.frameworks.flower import flower_partitioner
from fedscale.data.frameworks.huggingface import huggingface_dataset
from fedscale.data.frameworks.torch import TorchClient, loader
from fedscale.data.partitions import partitioned
from fedscale.data.ragged import Ragged
from fedscale.data.rearranged import of_clients
from fedscale.data.store import StoreWriter, open_store
from fedscale.errors import DataError, JobError, MissingExtraError
from fedscale.section import Component

WORDS: dict[str, Any] = {
    "title": "",
    "description": "",
    "client_is": "a row",
    "licence": "",
    "source": "",
    "citation": "",
    "verified": "",
    "model": Component(name="mlp"),
}


def store(path: Path, counts: list[int], columns: dict[str, Any], **card: Any) -> FederatedDataset:
    whole = Card(**{"name": path.name, "task": "classification", "modality": "tensor"} | card | WORDS)
    with StoreWriter(path, whole) as writer:
        writer.append(np.array(counts), columns)
    return open_store(path)


@pytest.fixture
def tensors(tmp_path: Path) -> FederatedDataset:
    """Two clients of 2 and 3 samples of shape (2, 3): 0 to 5, 6 to 11, and so on."""
    x = np.arange(30, dtype=np.uint8).reshape(5, 2, 3)
    return store(
        tmp_path / "tensors", [2, 3], {"x": x, "y": np.arange(5)}, classes=5, sample_shape=(2, 3), x_scale=0.25
    )


@pytest.fixture
def texts(tmp_path: Path) -> FederatedDataset:
    rows = Ragged.of([[1, 2, 3], [4], [5, 6]], np.uint8)
    return store(tmp_path / "texts", [1, 2], {"tokens": rows}, task="next_token", modality="text", classes=7)


@pytest.fixture
def images(tmp_path: Path) -> FederatedDataset:
    """Two clients with one grey image each, as PNG, with the boxes in them."""
    return store(
        tmp_path / "images",
        [1, 1],
        {"x": Ragged.of([png(0), png(200)], np.uint8), "boxes": Ragged.of([[1, 0, 0, 1, 0.5], []], np.float32)},
        task="detection",
        modality="image",
        classes=2,
        sample_shape=(4, 4),
        decode=Component(name="image"),
    )


def png(shade: int) -> list[int]:
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4), shade, dtype=np.uint8)).save(buffer, "PNG")
    return list(buffer.getvalue())


def test_samples_are_tensors_as_a_model_wants_them(tensors: FederatedDataset) -> None:
    client = TorchClient(tensors, 1)
    x, y = client[2]
    assert (len(client), x.dtype, y.dtype) == (3, torch.float32, torch.int64)
    assert x.tolist() == [[6, 6.25, 6.5], [6.75, 7, 7.25]]  # 24 to 29, times 0.25
    assert y.item() == 4
    with pytest.raises(IndexError, match="sample 3: the client has 3"):
        client[3]
    batches = list(DataLoader(client, batch_size=2))  # PyTorch's own way, without ours
    assert [x.shape for x, _ in batches] == [(2, 2, 3), (1, 2, 3)]


def test_a_loader_visits_every_sample_once_in_an_order_of_its_seed() -> None:
    digits = load_dataset("digits")

    def order(seed: int, **options: Any) -> list[float]:
        return [value for x, _ in loader(digits, 2, 50, seed=seed, **options) for value in x.sum(dim=(1, 2)).tolist()]

    plain = (digits[2]["x"].sum(axis=(1, 2)) / 16).tolist()
    assert order(1, shuffle=False) == pytest.approx(plain)
    assert sorted(order(1)) == pytest.approx(sorted(plain))
    assert order(1) == order(1) != order(2)
    assert [len(y) for _, y in loader(digits, 2, 50)] == [50, 50, 30]
    again = loader(digits, 2, 200, seed=1)
    (first,), (second,) = ([y.tolist() for _, y in again] for _ in range(2))
    assert first != second  # every pass anew


def test_texts_are_filled_up_and_boxes_stay_apart(texts: FederatedDataset, images: FederatedDataset) -> None:
    (tokens,) = TorchClient(texts, 1).batch([1, 0])
    assert tokens.tolist() == [[5, 6], [4, 0]]
    x, boxes = TorchClient(images, 0).batch([0])
    assert x.shape == (1, 4, 4)
    assert boxes[0].tolist() == [[1, 0, 0, 1, 0.5]]
    assert TorchClient(images, 1)[0][1].shape == (0, 5)


def test_several_labels_are_ones_among_zeros(tmp_path: Path) -> None:
    columns = {"x": np.zeros((3, 1), dtype=np.uint8), "labels": Ragged.of([[0, 2], [], [1]], np.uint8)}
    dataset = store(tmp_path / "m", [3], columns, task="multilabel", classes=3, sample_shape=(1,))
    _, labels = TorchClient(dataset, 0).batch([0, 1, 2])
    assert labels.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]


def test_hugging_face_has_clients_and_values(tensors: FederatedDataset, texts: FederatedDataset) -> None:
    whole = huggingface_dataset(tensors)
    assert whole.column_names == ["client", "x", "y"]
    assert whole["client"][:] == [0, 0, 1, 1, 1]
    assert np.array(whole["x"][:]).tolist() == np.arange(30).reshape(5, 2, 3).tolist()
    assert huggingface_dataset(texts, 1)[:] == {"client": [1, 1], "tokens": [[4], [5, 6]]}
    shuffled = partitioned(tensors, "iid", seed=3)
    assert huggingface_dataset(shuffled)["y"][:] == [y for client in shuffled for y in client["y"].tolist()]
    with pytest.raises(DataError, match="no client 2"):
        huggingface_dataset(tensors, 2)


def test_labels_have_their_names_and_can_be_divided_evenly(tensors: FederatedDataset, tmp_path: Path) -> None:
    names = ("ant", "bee", "cat")
    columns = {"x": np.zeros((4, 1)), "y": np.array([2, 0, 2, 0], dtype=np.uint8)}
    dataset = store(tmp_path / "named", [1, 3], columns, classes=3, sample_shape=(1,), label_names=names)
    whole = huggingface_dataset(dataset)
    assert whole.features["y"] == datasets.ClassLabel(names=["ant", "bee", "cat"])
    assert whole["y"][:] == [2, 0, 2, 0]
    assert whole.features["y"].int2str(2) == "cat"
    halves = whole.train_test_split(test_size=2, stratify_by_column="y", seed=1)
    assert [sorted(half["y"][:]) for half in halves.values()] == [[0, 2], [0, 2]]
    assert huggingface_dataset(tensors, 1).features["y"].names == ["0", "1", "2", "3", "4"]
    twice = replace(dataset, card=dataset.card.model_copy(update={"label_names": ("ant", "ant", "cat")}))
    assert huggingface_dataset(twice).features["y"].names == ["0", "1", "2"]  # the library takes no name twice
    many = replace(dataset, card=dataset.card.model_copy(update={"classes": 2001, "label_names": None}))
    assert huggingface_dataset(many).features["y"] == datasets.Value("uint8")


def test_other_processes_open_the_store_and_copy_nothing(tensors: FederatedDataset, images: FederatedDataset) -> None:
    for dataset in (tensors, partitioned(tensors, "iid", seed=3), images, of_clients(images, np.array([1, 0]))):
        again = pickle.loads(pickle.dumps(dataset))
        assert again.fingerprint == dataset.fingerprint
        for there, here in zip(again, dataset, strict=True):
            assert np.array_equal(there["x"], here["x"])
        there, here = (next(iter(DataLoader(TorchClient(kind, 1)))) for kind in (again, dataset))
        assert torch.equal(there[0], here[0])
    client = pickle.loads(pickle.dumps(TorchClient(images, 1)))
    assert torch.equal(client[0][0], TorchClient(images, 1)[0][0])
    long = np.arange(200_000)
    columns = {"x": np.zeros((200_000, 1)), "y": long % 2}
    big = store(tensors.path.parent / "big", [200_000], columns, classes=2, sample_shape=(1,))
    assert len(pickle.dumps(big)) < 10_000
    assert pickle.loads(pickle.dumps(flower_partitioner(tensors))).load_partition(1)["y"][:] == [2, 3, 4]


def test_hugging_face_decodes_what_stays_encoded(images: FederatedDataset) -> None:
    decoded = huggingface_dataset(images).cast_column("x", datasets.Image())
    assert np.asarray(decoded[1]["x"]).tolist() == [[200] * 4] * 4


def test_a_store_is_not_copied_to_be_seen_by_hugging_face(tensors: FederatedDataset) -> None:
    column = huggingface_dataset(tensors).data.table.column("x").chunk(0)
    (x,) = (block.columns["x"] for block in tensors.blocks())
    assert column.values.values.buffers()[1].address == x.__array_interface__["data"][0]


def test_flower_partitions_are_clients(tensors: FederatedDataset) -> None:
    partitioner = flower_partitioner(tensors)
    assert partitioner.num_partitions == 2
    assert partitioner.load_partition(1)["y"][:] == [2, 3, 4]
    assert partitioner.load_partition(partition_id=0).num_rows == 2
    assert partitioner.is_dataset_assigned()
    assert partitioner.dataset.num_rows == 5
    with pytest.raises(ValueError, match="no other can be assigned"):
        partitioner.dataset = partitioner.load_partition(0)


def test_without_the_library_the_extra_is_named(tensors: FederatedDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"needs datasets, .* pip install 'fedscale\[huggingface\]'"):
        huggingface_dataset(tensors)


def test_parquet_is_read_by_others(tensors: FederatedDataset, images: FederatedDataset, tmp_path: Path) -> None:
    folder = export(tensors, tmp_path / "out" / "tensors")
    frame = pd.read_parquet(folder / "samples.parquet")
    assert frame["client"].tolist() == [0, 0, 1, 1, 1]
    assert np.stack([np.stack(x) for x in frame["x"]]).tolist() == np.arange(30).reshape(5, 2, 3).tolist()
    assert Card.model_validate_json((folder / "card.json").read_text()) == tensors.card
    loaded = datasets.load_dataset(
        "parquet", data_files=str(folder / "samples.parquet"), split="train", cache_dir=str(tmp_path / "hf")
    )
    assert loaded["y"][:] == [0, 1, 2, 3, 4]
    encoded = pq.read_table(export(images, tmp_path / "images-out") / "samples.parquet").column("x")
    assert Image.open(io.BytesIO(encoded[1].as_py())).getpixel((0, 0)) == 200


def test_leaf_holds_inputs_as_a_model_sees_them(
    tensors: FederatedDataset, texts: FederatedDataset, tmp_path: Path
) -> None:
    data = json.loads((export(tensors, tmp_path / "leaf", "leaf") / "all_data" / "all_data_0.json").read_text())
    assert data["users"] == ["0", "1"]
    assert data["num_samples"] == [2, 3]
    assert data["user_data"]["0"] == {
        "x": [[0, 0.25, 0.5, 0.75, 1, 1.25], [1.5, 1.75, 2, 2.25, 2.5, 2.75]],
        "y": [0, 1],
    }
    words = json.loads((export(texts, tmp_path / "words", "leaf") / "all_data" / "all_data_0.json").read_text())
    assert words["user_data"] == {"0": {"x": [[1, 2]], "y": [[2, 3]]}, "1": {"x": [[], [5]], "y": [[], [6]]}}


def test_exports_are_streams_of_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digits = load_dataset("digits")
    monkeypatch.setattr(limits, "RECORD_BATCH_BYTES", 20_000)
    view = partitioned(digits, "iid")
    file = pq.ParquetFile(export(view, tmp_path / "p") / "samples.parquet")
    assert file.num_row_groups > 5
    assert max(file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)) < 500
    assert file.read().column("y").to_pylist() == [y for client in view for y in client["y"].tolist()]
    pieces = sorted((export(view, tmp_path / "l", "leaf") / "all_data").iterdir(), key=lambda path: int(path.stem[9:]))
    assert len(pieces) == file.num_row_groups
    users = [user for piece in pieces for user in json.loads(piece.read_text())["users"]]
    assert users == [str(client) for client in range(14)]


def test_an_export_appears_whole_or_not_at_all(
    tensors: FederatedDataset, images: FederatedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with pytest.raises(DataError, match="no place for what a detection set holds: take parquet"):
        export(images, out, "leaf")
    with pytest.raises(JobError, match="unknown export format 'csv'"):
        export(tensors, out, "csv")
    monkeypatch.setattr(tensors.rows, "blocks", lambda: (_ for _ in ()).throw(RuntimeError("cut")))
    with pytest.raises(RuntimeError, match="cut"):
        export(tensors, out)
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []
    export(of_clients(images, np.array([1])), out)
    with pytest.raises(DataError, match="out: exists already"):
        export(images, out)


def test_the_command_exports_what_a_job_would_see(tmp_path: Path) -> None:
    arguments = ["data", "export", "digits", str(tmp_path / "out"), "--set", "max_clients=3", "--set", "partition=iid"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "wrote 3 clients" in done.output
    assert pd.read_parquet(tmp_path / "out" / "samples.parquet")["client"].nunique() == 3
    wrong = CliRunner().invoke(app, [*arguments, "--to", "leav"])
    assert "unknown export format 'leav'" in str(wrong.exception)


def test_nothing_imports_frameworks_but_who_wants_them() -> None:
    code = "import sys, fedscale.data.catalogue, fedscale.data.exports; print({'torch', 'datasets'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "set()"
