"""Clients as partitions, with the real Flower Datasets; where it is absent, test_elsewhere.py holds the same interface.

It is not among what the tests install, since it keeps other libraries at older versions; the last test, of `make soak`,
installs it into an environment of its own and runs the others there.
"""

from __future__ import annotations

import importlib.util
import os
import pickle
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

from fedscale import load_dataset
from fedscale.data.exports import export
from fedscale.data.federated import FederatedDataset
from fedscale.data.frameworks.flower import flower_partitioner
from fedscale.data.frameworks.huggingface import huggingface_dataset
from fedscale.data.partitions import partitioned

real = pytest.mark.skipif(
    importlib.util.find_spec("flwr_datasets") is None, reason="needs Flower Datasets: pip install 'fedscale[flower]'"
)


@pytest.fixture
def digits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FederatedDataset:
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "0")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    return load_dataset("digits")


def federated(folder: Path, partitioner: Any) -> Any:
    """A Flower user's data set of a file, whose split is divided by the partitioner; its samples are shuffled."""
    from flwr_datasets import FederatedDataset as FlowerDataset

    file = str(folder / "samples.parquet")
    divided = {"train": partitioner}
    return FlowerDataset(dataset="parquet", data_files=file, partitioners=divided, cache_dir=str(folder / "cache"))


@real
def test_it_passes_for_a_partitioner_also_in_another_process(digits: FederatedDataset) -> None:
    from flwr_datasets.partitioner import Partitioner

    partitioner = flower_partitioner(digits)
    assert isinstance(partitioner, Partitioner) and issubclass(type(partitioner), Partitioner)
    public = {name for name in vars(Partitioner) if not name.startswith("_")}
    assert public == {"dataset", "load_partition", "is_dataset_assigned", "num_partitions"}
    assert public <= set(dir(partitioner))
    again = pickle.loads(pickle.dumps(partitioner))
    assert isinstance(again, Partitioner) and again.load_partition(3)[:] == partitioner.load_partition(3)[:]


@real
def test_a_flower_data_set_has_our_clients(digits: FederatedDataset, tmp_path: Path) -> None:
    folder = export(digits, tmp_path / "digits")
    ours = federated(folder, flower_partitioner(digits))
    assert ours.load_partition(3)["y"][:] == digits[3]["y"].tolist()
    assert ours.partitioners["train"].num_partitions == 14
    assert ours.load_split("train").num_rows == 1797


@real
def test_theirs_by_the_column_of_clients_is_ours(digits: FederatedDataset) -> None:
    from flwr_datasets.partitioner import NaturalIdPartitioner

    shuffled = partitioned(digits, "iid", seed=2)
    theirs = NaturalIdPartitioner(partition_by="client")
    theirs.dataset = huggingface_dataset(shuffled)
    ours = flower_partitioner(shuffled)
    assert theirs.num_partitions == ours.num_partitions == 14
    for client in (0, 5, 13):
        assert theirs.load_partition(client)[:] == ours.load_partition(client)[:]


@real
def test_their_metrics_count_our_labels(digits: FederatedDataset) -> None:
    from flwr_datasets.metrics import compute_counts

    counts = compute_counts(flower_partitioner(digits), "y", verbose_names=True, max_num_partitions=3)
    expected = [[(digits[client]["y"] == label).sum() for label in range(10)] for client in range(3)]
    assert counts.to_numpy().tolist() == expected
    assert counts.columns.tolist() == [str(label) for label in range(10)]


@real
def test_their_divisions_are_of_our_samples(digits: FederatedDataset) -> None:
    from flwr_datasets.utils import concatenate_divisions, divide_dataset

    partitioner = flower_partitioner(digits)
    assert [part.num_rows for part in divide_dataset(partitioner.load_partition(3), [0.8, 0.2])] == [104, 26]
    fifths = sum(int(0.2 * count) for count in digits.counts)  # 357: parts are rounded down, and the rest is left out
    assert concatenate_divisions(partitioner, [0.8, 0.2], division_id=1).num_rows == fifths


@pytest.mark.soak
def test_all_that_with_flower_datasets_in_an_environment_of_its_own(tmp_path: Path) -> None:
    """Beside the packages that are here (a file of paths names them), so that only what it lacks is installed."""
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    (site,) = environment.glob("lib/*/site-packages")
    (site / "beside.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    python = str(environment / "bin" / "python")
    (wanted,) = _extra("flower")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wanted]
    subprocess.run(install, check=True, timeout=900)
    tests = [python, "-m", "pytest", "-p", "no:cacheprovider", "-n", "0", "-m", "not soak", __file__]
    done = subprocess.run(tests, capture_output=True, text=True, env=os.environ, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout and "skipped" not in done.stdout


def _extra(name: str) -> list[str]:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return list(project["optional-dependencies"][name])
