"""The catalogue and its cache; the digits."""

from __future__ import annotations

import builtins
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedscale.data.catalogue import DATASETS, load_dataset, store_path
from fedscale.data.split import split_clients
from fedscale.data.store import open_store
from fedscale.dataset import DataConf
from fedscale.errors import DataError, JobError, MissingExtraError


def test_every_entry_has_a_complete_card() -> None:
    assert len(DATASETS.names()) >= 5
    for name in DATASETS.names():
        card = DATASETS.build(name).card
        assert card.name == name
        assert all([card.title, card.client_is, card.licence, card.source, card.citation, card.verified])


def test_digits(tmp_path: Path) -> None:
    dataset = load_dataset("digits", cache=tmp_path)
    assert dataset.path == tmp_path / "datasets-1" / "digits"
    assert dataset.counts.tolist() == [130, 126, 130, 130, 130, 130, 130, 123, 128, 130, 128, 130, 122, 130]
    x, y = dataset.client(4).columns["x"], dataset.client(4).columns["y"]
    assert isinstance(x, np.ndarray)
    assert isinstance(y, np.ndarray)
    assert (x.dtype, x.shape, y.dtype) == (np.uint8, (130, 8, 8), np.int64)
    assert y[:20].tolist() == [*range(10), *range(10)]
    assert x.max() * dataset.card.x_scale == 1.0


def test_digits_are_the_rows_of_the_source(tmp_path: Path) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    bunch = datasets.load_digits()
    dataset = load_dataset("digits", cache=tmp_path)
    x = np.concatenate([dataset.client(client).columns["x"] for client in range(14)])  # type: ignore[arg-type]
    np.testing.assert_array_equal(x, bunch.images)


def test_digits_split_into_sensible_small_numbers(tmp_path: Path) -> None:
    split = split_clients(load_dataset("digits", cache=tmp_path).counts, DataConf(name="digits"), seed=1)
    assert [len(split.train), len(split.validation), len(split.test)] == [11, 1, 2]


def test_digits_without_scikit_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"needs scikit-learn, .* pip install 'fedscale\[digits\]'"):
        load_dataset("digits", cache=tmp_path)


def test_a_dataset_is_made_once(tmp_path: Path) -> None:
    path = load_dataset("digits", cache=tmp_path).path
    written = (path / "samples.arrow").stat()
    load_dataset("digits", cache=tmp_path)
    assert (path / "samples.arrow").stat().st_ino == written.st_ino


def test_a_directory_opens_as_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load_dataset("digits", cache=tmp_path)
    assert load_dataset(str(dataset.path)).fingerprint == dataset.fingerprint
    monkeypatch.chdir(dataset.path.parent)
    dataset.path.rename("mine")
    assert load_dataset("mine").fingerprint == dataset.fingerprint
    with pytest.raises(DataError, match="a store takes no options, but clients given"):
        load_dataset("mine", clients=3)
    with pytest.raises(DataError, match=r"no such file: a store has clients\.arrow"):
        load_dataset("./none")


def test_the_catalogue_comes_before_a_directory_of_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert len(load_dataset("digits", cache=tmp_path)) == 14


def test_unknown_names_and_options(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="unknown dataset 'digit': did you mean 'digits'"):
        load_dataset("digit", cache=tmp_path)
    with pytest.raises(JobError, match="dataset 'synthetic' has no option 'client': did you mean 'clients'"):
        load_dataset("synthetic", cache=tmp_path, client=3)


def test_two_processes_may_get_the_same_dataset_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from fedscale.data.catalogue import load_dataset;"
        "d = load_dataset('synthetic', cache=pathlib.Path(sys.argv[1]), clients=20000); print(d.fingerprint)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    results = [process.communicate(timeout=60)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(set(results)) == 1
    path = store_path(DATASETS.build("synthetic", {"clients": 20000}, seed=1), tmp_path)
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    assert open_store(path).fingerprint == results[0].strip()
