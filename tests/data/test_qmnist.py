"""The importer of QMNIST, on real labels and images in the raw layout."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from image_raw import trained

from fedscale.data.catalogue import load_dataset
from fedscale.data.federated import FederatedDataset
from fedscale.errors import DataError

SAMPLES = Path(__file__).parents[2].parent / "shared" / "data" / "samples"
ROWS = {"train": 3000, "test": 1500}


def write_idx(path: Path, code: int, array: npt.NDArray[np.generic]) -> None:
    header = struct.pack(f">4B{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    content = header + array.tobytes()
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)


def write_raw(raw: Path, rows: dict[str, int] | None = None) -> None:
    """Write small raw files: writer = row modulo 3 (plus 10 in the test part), class = row modulo 10."""
    raw.mkdir(exist_ok=True, parents=True)
    for part, count in (rows or {"train": 7, "test": 4}).items():
        number = np.arange(count)
        labels = np.zeros((count, 8), dtype=">i4")
        labels[:, 0], labels[:, 2] = number % 10, number % 3 + (10 if part == "test" else 0)
        images = np.broadcast_to(number[:, None, None], (count, 28, 28)).astype(np.uint8)
        write_idx(raw / f"qmnist-{part}-images-idx3-ubyte", 0x08, images)
        write_idx(raw / f"qmnist-{part}-labels-idx2-int", 0x0C, labels)


def test_digits_are_grouped_by_writer(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw")
    dataset = load_dataset("qmnist", cache=tmp_path, raw=str(tmp_path / "raw"))
    assert dataset.counts.tolist() == [3, 2, 2, 2, 1, 1]  # training rows 0 to 6, then test rows 0 to 3
    x, y = dataset.client(0).columns["x"], dataset.client(0).columns["y"]
    assert isinstance(x, np.ndarray)
    assert isinstance(y, np.ndarray)
    assert (x.shape, x.dtype) == ((3, 28, 28), np.uint8)
    assert x[:, 5, 5].tolist() == y.tolist() == [0, 3, 6]
    again = load_dataset("qmnist", cache=tmp_path)
    assert again.fingerprint == dataset.fingerprint


def test_what_to_do_without_the_files(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"`fedscale data get qmnist` fetches it .* `fedscale data import qmnist --from"
    ):
        load_dataset("qmnist", cache=tmp_path)
    with pytest.raises(DataError, match=r"nothing of qmnist found: it should have qmnist-train-images-idx3-ubyte\.gz"):
        load_dataset("qmnist", cache=tmp_path, raw=str(tmp_path))


def test_one_part_and_labels_alone(tmp_path: Path) -> None:
    write_raw(tmp_path / "QMNIST" / "raw", {"train": 7})
    dataset = load_dataset("qmnist", cache=tmp_path / "one", raw=str(tmp_path))
    assert dataset.counts.tolist() == [3, 2, 2]
    write_raw(tmp_path / "raw")
    (tmp_path / "raw" / "qmnist-test-images-idx3-ubyte").unlink()
    dataset = load_dataset("qmnist", cache=tmp_path / "two", raw=str(tmp_path / "raw"))
    assert dataset.counts.tolist() == [3, 2, 2]
    (tmp_path / "raw" / "qmnist-train-images-idx3-ubyte").unlink()
    dataset = load_dataset("qmnist", cache=tmp_path / "three", raw=str(tmp_path / "raw"))
    assert (dataset.counts.tolist(), dataset.card.without) == ([3, 2, 2, 2, 1, 1], ("x",))
    assert list(dataset.client(0).columns) == ["y"]


@pytest.mark.parametrize(
    ("name", "code", "array", "message"),
    [
        (
            "train-images-idx3-ubyte",
            0x08,
            np.zeros((7, 28, 27), np.uint8),
            r"offset 8: images of shape \(28, 27\), not",
        ),
        ("train-images-idx3-ubyte", 0x08, np.zeros((6, 28, 28), np.uint8), "offset 4: 6 images, but .* has 7 rows"),
        (
            "train-images-idx3-ubyte",
            0x09,
            np.zeros((7, 28, 28), np.uint8),
            "offset 0: magic number 0x00000903, not 0x0000",
        ),
        ("test-labels-idx2-int", 0x0C, np.zeros((4, 7), ">i4"), "offset 8: 7 columns, not 8"),
        (
            "test-labels-idx2-int",
            0x0C,
            np.full((4, 8), 10, ">i4"),
            r"row 0 \(offset 12\): class 10, writer 10 cannot be",
        ),
        ("test-labels-idx2-int", 0x0C, -np.eye(4, 8, -1, ">i4"), r"row 1 \(offset 44\): class -1, writer 0 cannot be"),
    ],
)
def test_files_that_do_not_fit(
    tmp_path: Path, name: str, code: int, array: npt.NDArray[np.generic], message: str
) -> None:
    write_raw(tmp_path)
    write_idx(tmp_path / f"qmnist-{name}", code, array)
    with pytest.raises(DataError, match=f"qmnist-{name} {message}"):
        load_dataset("qmnist", cache=tmp_path / "cache", raw=str(tmp_path))
    assert not list((tmp_path / "cache").rglob("*.arrow"))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[FederatedDataset, dict[str, npt.NDArray[np.generic]]]:
    if not SAMPLES.is_dir():
        pytest.skip(f"{SAMPLES} is absent: no real QMNIST labels")
    raw = tmp_path_factory.mktemp("raw")
    with np.load(SAMPLES / "mnist_writers.npz", allow_pickle=False) as archive:
        arrays = {
            f"{part}_{kind}": archive[f"{part}_{kind}"][:rows]
            for part, rows in ROWS.items()
            for kind in ("images", "labels", "writer")
        }
    for part, rows in ROWS.items():
        labels = gzip.decompress((SAMPLES / f"qmnist-{part}-labels-idx2-int.gz").read_bytes())
        own = np.frombuffer(labels, dtype=">i4", offset=12).reshape(-1, 8)[:rows]
        write_idx(raw / f"qmnist-{part}-labels-idx2-int.gz", 0x0C, own)
        write_idx(raw / f"qmnist-{part}-images-idx3-ubyte.gz", 0x08, arrays[f"{part}_images"])
    return load_dataset("qmnist", cache=tmp_path_factory.mktemp("cache"), raw=str(raw)), arrays


def test_real_writers(real: tuple[FederatedDataset, dict[str, npt.NDArray[np.generic]]]) -> None:
    dataset, arrays = real
    writers, counts = np.unique(np.concatenate([arrays["train_writer"], arrays["test_writer"]]), return_counts=True)
    assert dataset.counts.tolist() == counts.tolist()
    assert int(dataset.counts.sum()) == 4500
    for client in (0, 100, len(writers) - 1):
        rows = {part: arrays[f"{part}_writer"] == writers[client] for part in ROWS}
        for column, kind in (("x", "images"), ("y", "labels")):
            expected = np.concatenate([arrays[f"{part}_{kind}"][rows[part]] for part in ROWS])
            np.testing.assert_array_equal(dataset.client(client).columns[column], expected)


def test_real_label_files_have_disjoint_writers() -> None:
    if not SAMPLES.is_dir():
        pytest.skip(f"{SAMPLES} is absent: no real QMNIST labels")
    from fedscale.data.idx import find_idx, read_idx

    paths = [find_idx(SAMPLES, f"qmnist-{part}-labels-idx2-int") for part in ROWS]
    labels = [read_idx(path, 0x0C, 2) for path in paths if path is not None]
    train, test = (set(part[:, 2].tolist()) for part in labels)
    assert [part.shape for part in labels] == [(60_000, 8), (60_000, 8)]
    assert (len(train), len(test), len(train & test)) == (539, 535, 0)


def test_two_rounds(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw")
    dataset = load_dataset("qmnist", cache=tmp_path, raw=str(tmp_path / "raw"))
    model = ["model.name=mlp", "model.hidden=4"]
    assert 0 <= trained("qmnist", dataset.path, tmp_path, *model) <= 1
