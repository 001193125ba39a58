"""FEMNIST from each of its layouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_raw import (
    MODELS,
    by_digest,
    database,
    encoded,
    imported,
    labels,
    leaf,
    mapping,
    no_name_in,
    real,
    refused,
    text,
    tf_example,
    trained,
)
from PIL import Image

from fedscale.data import handwriting
from fedscale.data.handwriting import CHARACTERS, HEX, pixels_of, without_digits_only
from fedscale.data.importers.femnist import Femnist, character
from fedscale.data.rawfile import folder

RNG = np.random.default_rng(5)
IMAGES = RNG.integers(0, 256, (6, 28, 28), dtype=np.uint8)
FLAT = [(image / 255).reshape(-1).tolist() for image in IMAGES]


def pixels(dataset: Any, client: int) -> Any:
    return dataset.client(client).columns["x"][:]


def nist(raw: Path) -> None:
    """Three writers: two of the first one's images are in by_class, one of them twice; one image is in two classes."""
    names = ["hsf_0/f0007_14/c0007_14", "hsf_0/f0007_14/u0007_14", "hsf_4/f4099_10/d4099_10", "hsf_4/f4099_10/d4099_10"]
    for number, name in enumerate(names):
        save(raw / "by_write" / name / f"x_{number:05d}.png", encoded(IMAGES[number]))
    save(raw / "by_write/hsf_4/f4100_01/l4100_01/x_00009.png", encoded(IMAGES[4]))
    save(raw / "by_write/hsf_4/f4100_01/l4100_01/x_00010.png", encoded(IMAGES[5]))
    (raw / "by_write/readme.txt").write_text("-")
    for code, number in (("30", 0), ("5a", 1), ("61", 2), ("7a", 3), ("61", 4), ("41", 4)):
        save(raw / "by_class" / code / "hsf_0" / f"hsf_0_{number:05d}.png", encoded(IMAGES[number]))
    save(raw / "by_class/30/train_30/train_30_00000.png", encoded(IMAGES[5]))
    (raw / "by_class/30/hsf_0.mit").write_text("-")


def save(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_labels_are_those_of_the_codes() -> None:
    assert (len(CHARACTERS), len(HEX)) == (62, 62)
    assert [HEX[code] for code in ("30", "39", "41", "5a", "61", "7a")] == [0, 9, 10, 35, 36, 61]
    assert (CHARACTERS[10], CHARACTERS[61]) == ("A", "z")


@pytest.mark.parametrize("level", ["", "sd19", "by_write", "by_class"])
def test_nist_joined_by_content(tmp_path: Path, level: str) -> None:
    nist(tmp_path / "raw" / "sd19")
    named = tmp_path / "raw" if level == "" else tmp_path / "raw" / "sd19" / level.removeprefix("sd19")
    dataset, notes = imported(Femnist, named, tmp_path / "store")
    assert labels(dataset) == by_digest({"f0007_14": [0, 35], "f4099_10": [36, 61]})
    first = by_digest({"f0007_14": IMAGES[:2], "f4099_10": IMAGES[2:4]})[0]
    np.testing.assert_array_equal(pixels(dataset, 0), first)
    assert (notes.read, notes.skipped) == (6, {"an image that is not in by_class, or in several classes": 2})
    assert notes.first.popitem()[1].endswith("l4100_01/x_00009.png")
    no_name_in(tmp_path / "store", "f0007_14", "f4099_10", "f4100_01")


def test_larger_images_are_resized_as_leaf_does(tmp_path: Path) -> None:
    drawn = np.full((128, 128), 255, np.uint8)
    drawn[40:90, 60:70] = 0
    small = character(encoded(np.stack([drawn] * 3, 2)))
    expected = np.asarray(Image.fromarray(drawn).resize((28, 28), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(small, expected)
    assert (small[0, 0], small[14, 14]) == (255, 0)  # paper stays white


def test_leaf_files(tmp_path: Path) -> None:
    leaf(
        tmp_path / "raw/data/all_data/all_data_0.json", {"f0007_14": (FLAT[:2], [3, 61]), "f0001_41": (FLAT[2:3], [10])}
    )
    leaf(tmp_path / "raw/data/all_data/all_data_1.json", {"f0002_01": (FLAT[3:4], [0])})
    leaf(tmp_path / "raw/data/train/part.json", {"f0007_14": (FLAT[:1], [3])})
    dataset, notes = imported(Femnist, tmp_path / "raw", tmp_path / "store")
    assert labels(dataset) == by_digest({"f0007_14": [3, 61], "f0001_41": [10], "f0002_01": [0]})
    assert np.array_equal(
        pixels(dataset, 0), by_digest({"f0007_14": IMAGES[:2], "f0001_41": IMAGES[2:3], "f0002_01": IMAGES[3:4]})[0]
    )
    assert notes.read == 4


def test_parts_of_leaf_are_put_together(tmp_path: Path) -> None:
    leaf(tmp_path / "data/train/a.json", {"w": (FLAT[:1], [1])})
    leaf(tmp_path / "data/test/a.json", {"w": (FLAT[1:2], [2])})
    (tmp_path / "leaf").mkdir()
    (tmp_path / "leaf" / "femnist").symlink_to(tmp_path)
    for place in (tmp_path, tmp_path / "data", tmp_path / "leaf"):
        dataset, _ = imported(Femnist, place, tmp_path / f"store-{place.name}")
        assert [sorted(row) for row in labels(dataset)] == [[1, 2]]


def test_the_database_of_tensorflow_federated(tmp_path: Path) -> None:
    import lzma

    rows = [
        ("all_train", "f0_1", tf_example(pixels=IMAGES[0] / 255, label=[7])),
        ("all_test", "f0_1", tf_example(label=[8], pixels=IMAGES[1] / 255)),
        ("all_test", "f1_2", tf_example(pixels=IMAGES[2] / 255, label=[61])),
        ("digits_only_train", "f0_1", tf_example(pixels=IMAGES[0] / 255, label=[7])),
    ]
    database(tmp_path / "emnist_all.sqlite", rows)
    packed = tmp_path / "raw" / "emnist_all.sqlite.lzma"
    packed.parent.mkdir()
    packed.write_bytes(lzma.compress((tmp_path / "emnist_all.sqlite").read_bytes(), format=lzma.FORMAT_ALONE))
    dataset, notes = imported(Femnist, packed.parent, tmp_path / "store")
    assert labels(dataset) == by_digest({"f0_1": [7, 8], "f1_2": [61]})
    np.testing.assert_array_equal(pixels(dataset, 0), by_digest({"f0_1": IMAGES[:2], "f1_2": IMAGES[2:3]})[0])
    assert notes.read == 3


def test_digits_alone_are_taken_where_there_is_nothing_else() -> None:
    assert without_digits_only(["all_train", "digits_only_train"]) == ["all_train"]
    assert without_digits_only(["digits_only_test", "digits_only_train"]) == ["digits_only_test", "digits_only_train"]


def hdf5(path: Path, **clients: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for writer, parts in clients.items():
            for name, values in parts.items():
                file[f"examples/{writer}/{name}"] = values


def test_hdf5_files(tmp_path: Path) -> None:
    whole = {"pixels": (IMAGES[:2] / 255).astype(np.float32), "label": np.array([4, 5], np.int32)}
    hdf5(tmp_path / "raw/fed_emnist_train.h5", f0=whole, f1=whole)
    hdf5(tmp_path / "raw/fed_emnist_test.h5", f0={"pixels": IMAGES[2:3] / 255, "label": np.array([[6]])})
    hdf5(tmp_path / "raw/fed_emnist_digitsonly_train.h5", f0=whole)
    (tmp_path / "above/FederatedEMNIST").mkdir(parents=True)
    (tmp_path / "above/FederatedEMNIST/datasets").symlink_to(tmp_path / "raw")
    for place in ("raw", "above"):
        dataset, _ = imported(Femnist, tmp_path / place, tmp_path / f"store-{place}")
        assert [sorted(row) for row in labels(dataset)] == by_digest({"f0": [4, 5, 6], "f1": [4, 5]})


def test_fedscales_archive(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / f"femnist/data/{number}.png", encoded(IMAGES[number]))
    save(tmp_path / "femnist/data/9.png", b"not an image")
    rows = ["a,data/0.png,zero,0", "b,data/1.png,Z,35", "a,data/9.png,one,1", "a,data/8.png,one,1"]
    mapping(tmp_path / "femnist", train=rows, test=["a,data/2.png,one,1"])
    dataset, notes = imported(Femnist, tmp_path, tmp_path / "store")
    assert [sorted(row) for row in labels(dataset)] == by_digest({"a": [0, 1], "b": [35]})
    damaged = "not an image that can be read: it is cut off or of no known kind"
    assert notes.skipped == {damaged: 1, "the image is not there": 1}
    assert notes.read == 5


def test_an_archive_without_images(tmp_path: Path) -> None:
    mapping(tmp_path / "raw", train=["a,data/0.png,zero,0", "b,data/1.png,Z,35"])
    dataset, notes = imported(Femnist, tmp_path / "raw", tmp_path / "store")
    assert (dataset.card.without, labels(dataset)) == (("x",), by_digest({"a": [0], "b": [35]}))
    assert "labels and clients only" in notes.told[0]


@pytest.mark.parametrize("settings", MODELS)
def test_two_rounds(tmp_path: Path, settings: list[str]) -> None:
    nist(tmp_path / "raw")
    imported(Femnist, tmp_path / "raw", tmp_path / "store")
    assert 0 <= trained("femnist", tmp_path / "store", tmp_path, *settings) <= 1


@pytest.mark.parametrize(
    ("users", "other", "message"),
    [
        ({"w": (FLAT[:1], [62])}, {}, r"user_data\['w'\], field 'y'\[0\]: label 62 is not from 0 to 61"),
        ({"w": (FLAT[:1], [1.0])}, {}, r"'y'\[0\]: label 1.0 is not"),
        ({"w": (FLAT[:1], ["1"])}, {}, r"'y'\[0\]: label '1' is not"),
        ({"w": (FLAT[:1], [True])}, {}, r"'y'\[0\]: label True is not"),
        ({"w": (FLAT[:1], [-1])}, {}, r"label -1 is not"),
        ({"w": (FLAT[:2], [1])}, {}, r"2 images in 'x', but 1 labels in 'y'"),
        ({"w": ([FLAT[0][:-1]], [1])}, {}, r"field 'x': \(1, 783\) of float64, not images of 28 × 28"),
        ({"w": ([FLAT[0], FLAT[0][:5]], [1, 2])}, {}, r"field 'x': not images of 28 × 28"),
        ({"w": ([["a"] * 784], [1])}, {}, r"field 'x': not images"),
        ({"w": ([[1.5] * 784], [1])}, {}, r"field 'x': pixels from 1.5 to 1.5, not from 0 to 1"),
        ({"w": ([[-0.1] * 784], [1])}, {}, r"pixels from -0.1 to -0.1"),
        ({"w": ({"a": 1}, [1])}, {}, r"field 'x': \{'a': 1\} is not a list"),
        ({"w": (FLAT[:1], [1])}, {"num_samples": [2]}, r"num_samples of 'w': 2, but user_data has 1"),
        ({"w": (FLAT[:1], [1])}, {"users": ["v"]}, r"num_samples of 'v': 1, but user_data has 0"),
        ({}, {"user_data": 5}, "user_data: 5 is not an object"),
        ({}, {"user_data": []}, "no field 'user_data'"),
        ({}, {"user_data": {"w": 5}}, r"user_data\['w'\]: 5 is not an object"),
    ],
)
def test_malformed_leaf_files(tmp_path: Path, users: dict[str, Any], other: dict[str, Any], message: str) -> None:
    leaf(tmp_path / "raw" / "all_data_0.json", users, **other)
    refused(
        Femnist,
        tmp_path / "raw",
        tmp_path / "out" / "store",
        rf"all_data_0\.json, .*{message}|all_data_0\.json: {message}",
    )


GOOD = {"pixels": np.zeros((1, 28, 28), np.float32), "label": np.zeros(1, np.int32)}


@pytest.mark.parametrize(
    ("clients", "message"),
    [
        ({"w": {"pixels": GOOD["pixels"]}}, "examples/w/label: no such dataset of numbers"),
        ({"w": {"label": GOOD["label"]}}, "examples/w/pixels: no such dataset of numbers"),
        ({"w": GOOD["pixels"]}, "examples/w/pixels: no such dataset"),
        ({"w": {"label": [1], "pixels/inner": [1]}}, "examples/w/pixels: no such dataset"),
        ({"w": {**GOOD, "label": np.array([b"a"])}}, "examples/w/label: no such dataset of numbers"),
        (
            {"w": {**GOOD, "label": np.array([62])}},
            r"examples/w/label\[0\]: label (np.int64\()?62\)? is not from 0 to 61",
        ),
        ({"w": {**GOOD, "label": np.array([-1])}}, r"examples/w/label\[0\]: label"),
        ({"w": {**GOOD, "label": np.array([1.5])}}, r"examples/w/label\[0\]: label"),
        ({"w": {**GOOD, "label": np.zeros(2, int)}}, "examples/w: 1 images in pixels, but 2 labels"),
        ({"w": {**GOOD, "pixels": np.zeros((1, 27, 28))}}, r"examples/w/pixels: \(1, 27, 28\) of float64"),
        ({"w": {**GOOD, "pixels": np.zeros((1, 28, 28), "c16")}}, "examples/w/pixels: no such dataset of numbers"),
        ({"w": {**GOOD, "pixels": np.full((1, 28, 28), np.nan)}}, "examples/w/pixels: pixels from nan to nan"),
        (
            {"w": {**GOOD, "pixels": np.full((1, 28, 28), 2.0)}},
            "examples/w/pixels: pixels from 2.0 to 2.0, not from 0 to 1",
        ),
        (
            {"w": {**GOOD, "pixels": np.full((1, 28, 28), 256)}},
            "examples/w/pixels: pixels from 256 to 256, not from 0 to 255",
        ),
        ({"w": {**GOOD, "pixels": np.float32(1)}}, "examples/w/pixels"),
        ({}, "no group 'examples'"),
    ],
)
def test_malformed_hdf5_files(tmp_path: Path, clients: dict[str, Any], message: str) -> None:
    path = tmp_path / "raw" / "fed_emnist_train.h5"
    hdf5(path, **{name: parts if isinstance(parts, dict) else {} for name, parts in clients.items()})
    with h5py.File(path, "a") as file:
        for name, parts in clients.items():
            if not isinstance(parts, dict):
                file[f"examples/{name}"] = parts
    refused(Femnist, tmp_path / "raw", tmp_path / "out" / "store", rf"fed_emnist_train\.h5(, |: ){message}")


@pytest.mark.parametrize("content", [b"", b"not HDF5", None])
def test_files_that_are_not_hdf5(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "raw" / "a.h5"
    hdf5(path, w=GOOD)
    path.write_bytes(path.read_bytes()[:900] if content is None else content)
    refused(Femnist, tmp_path / "raw", tmp_path / "out" / "store", r"a\.h5: (not an HDF5 file|no group)")


def test_half_of_nist(tmp_path: Path) -> None:
    nist(tmp_path / "raw")
    (tmp_path / "raw/by_class").rename(tmp_path / "by_class")
    refused(
        Femnist, tmp_path / "raw", tmp_path / "out" / "store", "by_write without by_class: the one tells the writers"
    )
    (tmp_path / "by_class").rename(tmp_path / "raw" / "by_class")
    for path in list((tmp_path / "raw" / "by_class").iterdir()):
        path.rename(path.with_name(f"x{path.name}"))
    refused(Femnist, tmp_path / "raw", tmp_path / "out" / "store", "by_class: no images in folders called 30 to 7a")


def test_nothing_known(tmp_path: Path) -> None:
    text(tmp_path / "raw" / "readme.txt", "-")
    refused(Femnist, tmp_path / "raw", tmp_path / "out" / "store", "nothing of femnist found.*it has readme.txt")
    mapping(tmp_path / "raw", train=["a,1.png,x,62"])
    refused(
        Femnist, tmp_path / "raw", tmp_path / "out" / "store", r"train\.csv, rows from 1, column label\[0\]: label 62"
    )


def test_folders_are_found_at_any_level(tmp_path: Path) -> None:
    (tmp_path / "a/b/by_write").mkdir(parents=True)
    (tmp_path / "by_write").write_text("a file")
    for raw in (tmp_path, tmp_path / "a", tmp_path / "a/b"):
        assert folder(raw, "by_write") == tmp_path / "a/b/by_write"
    assert folder(tmp_path, "by_class") is None
    (tmp_path / "c/by_class/by_class").mkdir(parents=True)  # as archives come out that are unpacked into their name
    assert folder(tmp_path, "by_class") == tmp_path / "c/by_class/by_class"


@given(st.binary(min_size=784, max_size=784))
def test_pixels_survive_division_by_255(content: bytes) -> None:
    whole = np.frombuffer(content, np.uint8).reshape(-1, 28, 28)
    shares = whole.reshape(-1, 784) / 255
    for written in (shares.tolist(), shares.astype(np.float32), shares, whole, whole.astype(np.int64)):
        np.testing.assert_array_equal(pixels_of(written, "-"), whole)


def test_the_real_synthetic_digits(tmp_path: Path) -> None:
    dataset, _ = imported(Femnist, real("femnist"), tmp_path / "store")
    assert [sorted(row) for row in labels(dataset)] == [list(range(10))] * 2
    x = pixels(dataset, 0)
    assert (x[:, 0, 0] == 255).all() and x.min() == 0
    no_name_in(tmp_path / "store", "synthetic1", "synthetic2")


def test_real_digits_in_nists_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three writers of MNIST, known from QMNIST, by_write and by_class; then two rounds of training."""
    monkeypatch.setattr(handwriting, "BATCH", 100)
    with np.load(real("mnist_writers.npz", "samples")) as file:
        images, digits, writers = (file[name] for name in ("train_images", "train_labels", "train_writer"))
    chosen = np.unique(writers)[:3]
    expected: dict[str, list[int]] = {}
    for number in np.flatnonzero(np.isin(writers, chosen)):
        content, digit = encoded(255 - images[number].reshape(28, 28)), int(digits[number])
        writer = f"f{writers[number]:04d}_00"
        save(tmp_path / f"raw/by_write/hsf_0/{writer}/d{writer[1:]}/d_{number:05d}.png", content)
        save(tmp_path / f"raw/by_class/{0x30 + digit:x}/hsf_0/hsf_0_{number:05d}.png", content)
        expected.setdefault(writer, []).append(digit)
    dataset, notes = imported(Femnist, tmp_path / "raw", tmp_path / "store")
    assert labels(dataset) == by_digest(expected)
    assert notes.skipped == {}
    assert (
        trained("femnist", tmp_path / "store", tmp_path, "model.name=cnn", "local.steps=10", "local.batch_size=20") > 0
    )
