"""Own data: every source gives the same store, and what is wrong is named."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import datasets
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fedscale import Job, load_dataset, simulate
from fedscale.data import own
from fedscale.data.exports import export
from fedscale.data.federated import FederatedDataset
from fedscale.data.identity import client_order
from fedscale.data.own import rows as own_rows
from fedscale.data.own import tables as own_tables
from fedscale.data.store import client_names
from fedscale.errors import DataError
from fedscale.report.check import check_log

WALKS = pd.DataFrame(
    {
        "user": ["ann", "bob", "ann", "cid", "bob", "bob"],
        "ax": [0.5, 1.0, 1.5, 2.0, 2.5, 3.0],
        "ay": [1, 2, 3, 4, 5, 6],
        "activity": ["walk", "run", "walk", "sit", "sit", "run"],
    }
)
ORDER = [["ann", "bob", "cid"][place] for place in client_order(["ann", "bob", "cid"])]
"""The clients in the order of their numbers."""
EXPECTED = {
    "ann": ([[0.5, 1], [1.5, 3]], [2, 2]),
    "bob": ([[1, 2], [2.5, 5], [3, 6]], [0, 1, 0]),
    "cid": ([[2, 4]], [1]),
}
"""Inputs and labels; run, sit, walk."""


def content(dataset: FederatedDataset) -> list[Any]:
    return [tuple(np.asarray(column).tolist() for column in client.values()) for client in dataset]


def texts(dataset: FederatedDataset) -> list[list[str]]:
    words = dataset.card.vocabulary
    return [["".join(words[token] for token in row) for row in client["tokens"]] for client in dataset]


def walks(path: Path, frame: Any = WALKS, **options: Any) -> FederatedDataset:
    return own.from_table(frame, path, **({"client": "user", "x": ["ax", "ay"], "y": "activity"} | options))


def test_a_data_frame_becomes_clients_in_the_order_of_their_digests(tmp_path: Path) -> None:
    dataset = walks(tmp_path / "walks", licence="CC0")
    assert content(dataset) == [EXPECTED[name] for name in ORDER]
    card = dataset.card
    assert (card.name, card.task, card.classes, card.sample_shape) == ("walks", "classification", 3, (2,))
    assert card.label_names == ("run", "sit", "walk")
    assert (card.client_is, card.licence, card.citation) == ("user", "CC0", "not told")
    assert client_names(dataset) is None
    assert (
        b"ann"
        not in (tmp_path / "walks" / "clients.arrow").read_bytes() + (tmp_path / "walks" / "samples.arrow").read_bytes()
    )


@settings(max_examples=10)
@given(order=st.permutations(range(6)))
def test_clients_have_the_same_numbers_in_whatever_order_they_come(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    dataset = walks(tmp_path_factory.mktemp("w") / "walks", WALKS.iloc[order])
    assert [sorted(zip(x, y, strict=True)) for x, y in content(dataset)] == [
        sorted(zip(*EXPECTED[name], strict=True)) for name in ORDER
    ]


def test_arrow_tables_categories_and_arrays_are_the_same(tmp_path: Path) -> None:
    whole = walks(tmp_path / "a" / "walks")
    table = pa.Table.from_pandas(WALKS.assign(user=WALKS["user"].astype("category")))
    assert walks(tmp_path / "b" / "walks", table).fingerprint == whole.fingerprint
    x = WALKS[["ax", "ay"]].to_numpy()
    arrays = own.from_arrays(tmp_path / "c" / "walks", WALKS["user"].tolist(), x, WALKS["activity"].tolist())
    assert arrays.fingerprint == whole.fingerprint
    nested = WALKS.assign(x=list(x))
    assert walks(tmp_path / "d" / "walks", nested, x="x").fingerprint == whole.fingerprint


def test_whole_numbers_are_clients_by_their_digits(tmp_path: Path) -> None:
    numbered = WALKS.assign(user=[7, 10, 7, 300, 10, 10])
    written = WALKS.assign(user=["7", "10", "7", "300", "10", "10"])
    assert walks(tmp_path / "n", numbered).fingerprint == walks(tmp_path / "w", written).fingerprint


def test_pieces_of_a_table_are_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = walks(tmp_path / "whole").fingerprint
    monkeypatch.setattr(own_tables, "ROWS", 2)
    assert walks(tmp_path / "pieces").fingerprint == whole
    with pytest.raises(DataError, match="row 4: ay has a missing number"):
        walks(tmp_path / "hole", WALKS.assign(ay=[1, 2, 3, 4, None, 6]))


def test_images_in_arrays_keep_their_shape_and_type(tmp_path: Path) -> None:
    x = np.arange(4 * 2 * 3, dtype=np.uint8).reshape(4, 2, 3)
    dataset = own.from_arrays(tmp_path / "i", [0, 0, 0, 0], x, [5, 0, 1, 1], model="cnn")
    assert dataset[0]["x"].tolist() == x.tolist()
    assert dataset[0]["x"].dtype == np.uint8
    assert (dataset.card.sample_shape, dataset.card.x_scale, dataset.card.classes) == ((2, 3), 1 / 255, 6)


def test_numbers_to_predict(tmp_path: Path) -> None:
    dataset = walks(tmp_path / "r", y="ax", x=["ay"])
    assert (dataset.card.task, dataset.card.metric) == ("regression", "mae")
    assert [y for _, y in content(dataset)] == [[x[0] for x in EXPECTED[name][0]] for name in ORDER]


def test_texts_are_cut_into_windows_that_share_a_character(tmp_path: Path) -> None:
    long = "".join(chr(97 + place % 26) for place in range(161))
    frame = pd.DataFrame({"user": ["a", "a", "a"], "said": [long, "", "éh"]})
    dataset = own.from_table(frame, tmp_path / "t", client="user", text="said")
    assert texts(dataset) == [[long[:81], long[80:], "éh"]]
    assert dataset.card.vocabulary == ("", *map(chr, range(97, 123)), "é")
    tokens = own.from_table(pd.DataFrame({"u": [1, 1], "t": [[3, 1], [2]]}), tmp_path / "k", client="u", tokens="t")
    assert [row.tolist() for row in tokens[0]["tokens"]] == [[3, 1], [2]]
    assert tokens.card.classes == 4


def test_a_client_without_a_character_is_left_out(tmp_path: Path) -> None:
    frame = pd.DataFrame({"user": ["a", "b", "c"], "said": ["hi", "", "x"]})
    dataset = own.from_table(frame, tmp_path / "t", client="user", text="said")
    assert sorted(texts(dataset)) == [["hi"], ["x"]]


def test_hugging_face_sets_in_memory_and_streamed(tmp_path: Path) -> None:
    whole = walks(tmp_path / "a" / "walks")
    held = datasets.Dataset.from_pandas(WALKS)
    options: dict[str, Any] = {"client": "user", "x": ["ax", "ay"], "y": "activity"}
    assert own.from_huggingface(held, tmp_path / "b" / "walks", **options).fingerprint == whole.fingerprint
    streamed = held.to_iterable_dataset()
    assert own.from_huggingface(streamed, tmp_path / "c" / "walks", **options).fingerprint == whole.fingerprint
    named = held.cast_column("activity", datasets.ClassLabel(names=["run", "sit", "walk"]))
    dataset = own.from_huggingface(named, tmp_path / "d" / "walks", **options)
    assert (content(dataset), dataset.card.label_names) == (content(whole), ("run", "sit", "walk"))
    with pytest.raises(DataError, match=r"a set of splits: give one of them, dataset\['train'\]"):
        own.from_huggingface(datasets.DatasetDict({"train": held}), tmp_path / "e", **options)


def picture(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4), shade, dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_hugging_face_images_stay_encoded(tmp_path: Path) -> None:
    rows = {
        "who": ["a", "b"],
        "image": [{"bytes": picture(9), "path": None}, {"bytes": picture(200), "path": None}],
        "label": [1, 0],
    }
    features = datasets.Features(
        {"who": datasets.Value("string"), "image": datasets.Image(), "label": datasets.Value("int64")}
    )
    held = datasets.Dataset.from_dict(rows, features=features)
    options: dict[str, Any] = {"client": "who", "x": "image", "y": "label"}
    dataset = own.from_huggingface(held, tmp_path / "i", shape=(2, 2), **options)
    assert sorted(content(dataset)) == sorted([([[[9, 9], [9, 9]]], [1]), ([[[200, 200], [200, 200]]], [0])])
    with pytest.raises(DataError, match=r"column 'image' holds images: give their shape, such as shape=\(3, 64, 64\)"):
        own.from_huggingface(held, tmp_path / "j", **options)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Two clients; one cat of one, a cat and a dog of the other."""
    for place, shade in (("p/cat/1.png", 10), ("q/cat/a.png", 20), ("q/dog/b.png", 30)):
        file = tmp_path / "pets" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture(shade))
    (tmp_path / "pets" / ".DS_Store").write_bytes(b"")
    return tmp_path / "pets"


def test_folders_of_clients_and_labels(folders: Path, tmp_path: Path) -> None:
    dataset = own.from_folders(folders, tmp_path / "s", shape=(4, 4))
    found = {"p": [(10, 0)], "q": [(20, 0), (30, 1)]}
    expected = [found[["p", "q"][place]] for place in client_order(["p", "q"])]
    assert [[(x[0][0], y) for x, y in zip(*client, strict=True)] for client in content(dataset)] == expected
    assert dataset.card.label_names == ("cat", "dog")


def test_folders_of_arrays_and_of_texts(tmp_path: Path) -> None:
    for place, values in (("u/0/x.npy", [1.5, 2]), ("u/1/y.npy", [3, 4])):
        (tmp_path / "arrays" / place).parent.mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "arrays" / place, np.array(values, dtype=np.float32))
    assert content(own.from_folders(tmp_path / "arrays", tmp_path / "a")) == [([[1.5, 2], [3, 4]], [0, 1])]
    (tmp_path / "notes" / "u").mkdir(parents=True)
    (tmp_path / "notes" / "u" / "1.txt").write_text("abc", encoding="utf-8")
    assert texts(own.from_folders(tmp_path / "notes", tmp_path / "t", layout="client/file")) == [["abc"]]


def test_leaf_files_of_numbers_and_of_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "leaf" / "train"
    folder.mkdir(parents=True)
    users = {"ann": {"x": [[0, 1, 2, 3]], "y": [1]}, "bob": {"x": [[4.5, 5, 6, 7], [8, 8, 8, 8]], "y": [0, 2]}}
    for number, name in enumerate(users):
        data = {"users": [name], "num_samples": [len(users[name]["y"])], "user_data": {name: users[name]}}
        (folder / f"all_data_{number}.json").write_text(json.dumps(data))
    for rows in (10_000, 1):
        monkeypatch.setattr(own_rows, "ROWS", rows)
        dataset = own.from_leaf(tmp_path / "leaf", tmp_path / f"s{rows}", shape=(2, 2))
        expected = {"ann": ([[[0, 1], [2, 3]]], [1]), "bob": ([[[4.5, 5], [6, 7]], [[8, 8], [8, 8]]], [0, 2])}
        assert content(dataset) == [expected[name] for name in ORDER if name != "cid"]
    said = {"users": ["r"], "num_samples": [2], "user_data": {"r": {"x": ["the ", "he q"], "y": ["q", "u"]}}}
    (tmp_path / "play.json").write_text(json.dumps(said))
    assert texts(own.from_leaf(tmp_path / "play.json", tmp_path / "p")) == [["the q", "he qu"]]


def test_what_is_exported_for_leaf_comes_back(tmp_path: Path) -> None:
    digits = load_dataset("digits")
    export(digits, tmp_path / "leaf", "leaf")
    back = own.from_leaf(tmp_path / "leaf", tmp_path / "back", shape=(8, 8))
    order = client_order([str(client) for client in range(14)])
    for number, client in enumerate(order):
        np.testing.assert_allclose(back[number]["x"], digits[client]["x"] / 16, atol=1e-6)
        assert (back[number]["y"] == digits[client]["y"]).all()


def hdf5(path: Path, clients: dict[str, dict[str, Any]]) -> Path:
    with h5py.File(path, "w") as file:
        for name, columns in clients.items():
            for column, values in columns.items():
                file[f"examples/{name}/{column}"] = values
    return path


def test_hdf5_of_tensorflow_federated(tmp_path: Path) -> None:
    pixels = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    file = hdf5(
        tmp_path / "f.h5", {"ann": {"pixels": pixels[:1], "label": [4]}, "bob": {"pixels": pixels[1:], "label": [0, 1]}}
    )
    dataset = own.from_tff(file, tmp_path / "s", x="pixels", y="label")
    expected = {"ann": (pixels[:1].tolist(), [4]), "bob": (pixels[1:].tolist(), [0, 1])}
    assert content(dataset) == [expected[name] for name in ORDER if name != "cid"]
    said = hdf5(tmp_path / "t.h5", {"r": {"snippets": [b"to be", "né".encode()]}})
    assert texts(own.from_tff(said, tmp_path / "t", text="snippets")) == [["to be", "né"]]


def archive(root: Path, rows: list[list[Any]]) -> Path:
    (root / "client_data_mapping").mkdir(parents=True)
    with (root / "client_data_mapping" / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["client_id", "sample_path", "label_name", "label_id"], *rows])
    return root


def test_a_mapping_of_fedscale_and_its_files(folders: Path, tmp_path: Path) -> None:
    root = archive(tmp_path / "old", [["u9", "a.png", "dog", 3], ["u1", "b.png", "cat", 0], ["u9", "b.png", "cat", 0]])
    (root / "train").mkdir()
    for name, shade in (("a", 50), ("b", 60)):
        (root / "train" / f"{name}.png").write_bytes(picture(shade))
    dataset = own.from_mapping(root, tmp_path / "s", shape=(4, 4))
    found = {"u9": [(50, 3), (60, 0)], "u1": [(60, 0)]}
    expected = [found[["u9", "u1"][place]] for place in client_order(["u9", "u1"])]
    assert [[(x[0][0], y) for x, y in zip(*client, strict=True)] for client in content(dataset)] == expected
    assert dataset.card.classes == 4
    elsewhere = own.from_mapping(root, tmp_path / "e", data=root / "train", shape=(4, 4))
    assert elsewhere.fingerprint == dataset.fingerprint


def test_numbers_of_clients_begin_anew_in_each_list(tmp_path: Path) -> None:
    for split, grey in (("train", 50), ("test", 60)):
        table = tmp_path / "set" / "client_data_mapping" / f"{split}.csv"
        table.parent.mkdir(parents=True, exist_ok=True)
        table.write_text("client_id,sample_path,label_name,label_id\n0,a.png,x,0\n")
        (tmp_path / "set" / split).mkdir()
        Image.new("L", (4, 4), grey).save(tmp_path / "set" / split / "a.png")
    dataset = own.from_mapping(tmp_path / "set", tmp_path / "s", shape=(4, 4))
    assert sorted(client[0][0][0][0] for client in content(dataset)) == [50, 60]


def test_a_job_trains_on_own_data(tmp_path: Path) -> None:
    digits = load_dataset("digits")
    whole = [digits[client] for client in range(14)]
    clients = np.repeat(np.arange(14), digits.counts)
    x, y = (np.concatenate([client[name] for client in whole]) for name in ("x", "y"))
    own.from_arrays(tmp_path / "mine", clients, x, y, model="mlp", x_scale=1 / 16)
    job = Job.parse(
        {
            "data": str(tmp_path / "mine"),
            "local": {"steps": 10, "lr": 0.1},
            "rounds": {"participants": 4, "count": 2},
            "engine": "plain",
        }
    )
    run = simulate(job, tmp_path / "run", workers=1)
    assert check_log(run.log).ok
    assert run.metrics.evaluations["accuracy"].to_pylist()[-1] > 0.3


BROKEN: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"user": ["ann", None, "ann", "cid", "bob", "bob"]}, {}, "row 1: user is missing: every sample is some client's"),
    ({"user": ["ann", "bob", "", "cid", "bob", "bob"]}, {}, "row 2: user '' is empty"),
    ({"user": [1, 2, 3, 4, 5, None]}, {}, "row 5: user is missing"),
    ({"user": [1.5] * 6}, {}, "row 0: user is double; a client is a text or a whole number"),
    ({"activity": ["a", "b", "c", None, "d", "e"]}, {}, "row 3: activity is missing"),
    ({"activity": [0, 1, 2, -1, 0, 0]}, {}, "row 3: activity -1 is negative: number labels from 0"),
    ({"activity": [0.5, 1, 2, float("inf"), 0, 0]}, {}, "row 3: activity inf is not finite"),
    ({"activity": [["a"]] * 6}, {}, "row 0: activity is list<.*>; a label is a text or a whole number"),
    ({"ax": [0, 1, float("inf"), 3, 4, 5]}, {}, "row 2: ax, ay holds a number that is not finite"),
    ({"ax": ["a", "b", "c", "d", "e", "f"]}, {}, "row 0: ax is .*string, which is no number: convert it first"),
    ({}, {"x": ["ax", "az"]}, "there is no column 'az': did you mean 'ay', 'ax'"),
    ({}, {"client": "usr"}, "there is no column 'usr': did you mean 'user'"),
    ({}, {"y": None}, "name the columns of x and y, or that of tokens, or that of text"),
    ({}, {"text": "activity"}, "one of the three"),
    ({"w": [[1, 2], [3, 4], [5], [6, 7], [8, 9], [1, 1]]}, {"x": "w"}, "row 2: w has 1 numbers, not 2, as before"),
    ({"w": [[1, 2], [3, 4], None, [6, 7], [8, 9], [1, 1]]}, {"x": "w"}, "row 2: w has a missing list"),
    ({}, {"shape": (3,)}, r"row 0: ax, ay is of shape \(2,\), not \(3,\)"),
    ({}, {"label_names": ("run", "sit")}, "2 words in the label_names, but classes is 3"),
    ({"t": ["a"] * 6}, {"x": None, "y": None, "tokens": "t"}, "tokens are lists of whole numbers"),
    ({"t": [[1], [2], [-1], [3], [4], [5]]}, {"x": None, "y": None, "tokens": "t"}, "row 2: t has a negative token"),
    ({"t": [1] * 6}, {"x": None, "y": None, "text": "t"}, "row 0: t is int64, not text"),
]


@pytest.mark.parametrize(("columns", "options", "message"), BROKEN, ids=[message[:30] for *_, message in BROKEN])
def test_what_does_not_fit_in_a_table_is_named(
    tmp_path: Path, columns: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    table = pa.Table.from_pandas(WALKS)
    for name, values in columns.items():
        table = table.drop_columns([name] if name in table.column_names else []).append_column(name, pa.array(values))
    with pytest.raises(DataError, match=message):
        walks(tmp_path / "out", table, **options)
    assert list(tmp_path.iterdir()) == []


LEAF: list[tuple[Any, str]] = [
    ("{", "not JSON, or cut off"),
    ("", "not JSON, or cut off"),
    ([1], "not JSON, or cut off"),
    ({"users": ["a"]}, "user_data: no user has a sample"),
    ({"user_data": [{"x": [], "y": []}]}, "user_data: it must be an object, with what each user has"),
    ({"user_data": {"a": 5}}, r"user_data\['a'\]: 5 is not an object"),
    ({"user_data": {"a": {"x": [[1]]}}}, r"user_data\['a'\], field 'y': None is not a list"),
    ({"user_data": {"a": {"x": [[1]], "y": []}}}, r"user_data\['a'\]: 1 of x and 0 of y"),
    ({"user_data": {"a": {"x": [], "y": []}}}, "no user has a sample"),
    ({"user_data": {"a": {"x": [[1], ["b"]], "y": [0, 0]}}}, r"user_data\['a'\]: x and y are not lists of numbers"),
    ({"user_data": {"a": {"x": [[1], [1, 2]], "y": [0, 0]}}}, r"user_data\['a'\], sample 1: x has 2 numbers"),
    (
        {"user_data": {"a": {"x": [[1]], "y": [0]}, "b": {"x": [[1], [2]], "y": [0, -3]}}},
        r"user_data\['b'\], sample 1: y -3 is negative",
    ),
    (
        {"user_data": {"a": {"x": [[1]], "y": [0]}, "b": {"x": [[1]], "y": ["no"]}}},
        r"user_data\['b'\]: it has client string, .* y string, unlike .*user_data\['a'\]",
    ),
    ({"user_data": {"a": {"x": ["abc"], "y": [7]}}}, r"user_data\['a'\]: x and y are not texts"),
]


@pytest.mark.parametrize(("data", "message"), LEAF, ids=[message[:30] for _, message in LEAF])
def test_what_does_not_fit_in_leaf_is_named(tmp_path: Path, data: Any, message: str) -> None:
    (tmp_path / "d.json").write_text(data if isinstance(data, str) else json.dumps(data))
    with pytest.raises(DataError, match=rf"d\.json.*{message}"):
        own.from_leaf(tmp_path / "d.json", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["d.json"]


TFF: list[tuple[dict[str, Any], str]] = [
    ({"a": {"pixels": [[1.0]]}}, "client 'a': no column 'label': known: 'pixels'"),
    ({"a": {"pixels": [[1.0]], "label": [1, 2]}}, "client 'a': its columns have different numbers of rows"),
    ({"a": {"pixels": [[1.0]], "label": 1}}, "client 'a', column 'label': one value, not a row for each sample"),
    ({"a": {"pixels": [[float("nan")]], "label": [1]}}, "client 'a', sample 0: x holds a number|pixels holds a number"),
    (
        {"a": {"pixels": [[1.0]], "label": [1]}, "b": {"pixels": [[1.0, 2.0]], "label": [1]}},
        "client 'b': it has .*, unlike .*client 'a'",
    ),
]


@pytest.mark.parametrize(("clients", "message"), TFF, ids=[message[:30] for _, message in TFF])
def test_what_does_not_fit_in_hdf5_is_named(tmp_path: Path, clients: dict[str, Any], message: str) -> None:
    file = hdf5(tmp_path / "f.h5", clients)
    with pytest.raises(DataError, match=rf"f\.h5.*({message})"):
        own.from_tff(file, tmp_path / "out", x="pixels", y="label")
    for broken, wanted in ((b"", "cannot be read as HDF5"), (file.read_bytes()[:100], "cannot be read as HDF5")):
        (tmp_path / "b.h5").write_bytes(broken)
        with pytest.raises(DataError, match=wanted):
            own.from_tff(tmp_path / "b.h5", tmp_path / "out", x="pixels", y="label")
    with h5py.File(tmp_path / "e.h5", "w") as other:
        other["train"] = [1]
    with pytest.raises(DataError, match="no group 'examples' of clients; it has train"):
        own.from_tff(tmp_path / "e.h5", tmp_path / "out", x="pixels", y="label")


def test_what_does_not_fit_in_folders_is_named(folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (folders / "q" / "dog" / "b.png").write_bytes(picture(1)[:40])
    with pytest.raises(DataError, match=r"b\.png: not an image that can be read"):
        own.from_folders(folders, out, shape=(4, 4))
    (folders / "q" / "dog" / "b.png").rename(folders / "q" / "dog" / "b.doc")
    with pytest.raises(DataError, match=r"b\.doc: not an image: move it away"):
        own.from_folders(folders, out, shape=(4, 4))
    with pytest.raises(DataError, match=r"q/(cat|dog): a file should be here|p/cat: a file should be here"):
        own.from_folders(folders, out, layout="client/file")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="no files client/label/file there"):
        own.from_folders(tmp_path / "none", out)
    (folders / "stray.png").write_bytes(picture(1))
    with pytest.raises(DataError, match=r"stray\.png: a folder should be here: move it, or choose another layout"):
        own.from_folders(folders, out, shape=(4, 4))
    assert not out.exists()


def test_arrays_in_folders_that_differ_are_named(tmp_path: Path) -> None:
    for place, values in (("u/0/a.npy", np.zeros(2)), ("u/0/b.npy", np.zeros(3))):
        (tmp_path / "arrays" / place).parent.mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "arrays" / place, values)
    with pytest.raises(DataError, match=r"b\.npy: float64 of shape \(3,\); the first has shape \(2,\)"):
        own.from_folders(tmp_path / "arrays", tmp_path / "out")
    np.save(tmp_path / "arrays/u/0/b.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"b\.npy: not an array as NumPy writes it"):
        own.from_folders(tmp_path / "arrays", tmp_path / "out")


def test_what_does_not_fit_in_a_mapping_is_named(tmp_path: Path) -> None:
    root = archive(tmp_path / "old", [["u9", "a.png", "dog", 3]])
    with pytest.raises(DataError, match=r"train\.csv row 1: there is no file 'a\.png' in .*old: say where in data="):
        own.from_mapping(root, tmp_path / "s", shape=(4, 4))
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"no client_data_mapping/\*\.csv there"):
        own.from_mapping(tmp_path / "none", tmp_path / "s")


def test_a_store_that_is_there_is_left_alone(tmp_path: Path) -> None:
    walks(tmp_path / "s")
    with pytest.raises(DataError, match="s: exists already: remove it, or choose another place"):
        walks(tmp_path / "s")
    with pytest.raises(DataError, match="there are no samples to write"):
        walks(tmp_path / "empty", WALKS.iloc[:0])
