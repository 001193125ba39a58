"""The generator of synthetic datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedscale.data.catalogue import load_dataset
from fedscale.data.draws import dirichlet
from fedscale.data.importers import synthetic
from fedscale.data.importers.synthetic import Synthetic
from fedscale.data.notes import Notes
from fedscale.errors import JobError


def arrays(path: Path, **options: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any], npt.NDArray[Any]]:
    dataset = load_dataset("synthetic", cache=path, **options)
    blocks = list(dataset.blocks())
    x, y = (np.concatenate([block.columns[name] for block in blocks]) for name in "xy")  # type: ignore[arg-type]
    return dataset.counts, x, y


def test_exact_sizes(tmp_path: Path) -> None:
    counts, x, y = arrays(tmp_path, sizes=[100, 1, 7], shape=[2, 3], classes=4)
    assert counts.tolist() == [100, 1, 7]
    assert (x.shape, x.dtype) == ((108, 2, 3), np.float32)
    assert (y.shape, y.min(), y.max()) == ((108,), 0, 3)


def test_sizes_have_the_chosen_mean_and_skew(tmp_path: Path) -> None:
    counts, *_ = arrays(tmp_path, clients=20_000, samples=100, size_skew=0.8, shape=[1], classes=2)
    assert len(counts) == 20_000
    assert counts.mean() == pytest.approx(100, rel=0.03)  # log-normal sd 0.95: 4.5 standard errors
    assert np.log(counts).std() == pytest.approx(0.8, rel=0.03)
    equal, *_ = arrays(tmp_path, clients=5, samples=9)
    assert equal.tolist() == [9, 9, 9, 9, 9]


@pytest.mark.parametrize(("alpha", "expected"), [(0.1, 1.1 / 2), (1.0, 2 / 11), (100.0, 101 / 1001)])
def test_labels_have_the_chosen_skew(tmp_path: Path, alpha: float, expected: float) -> None:
    # E[sum of p_k^2] of a symmetric Dirichlet distribution over K classes is (alpha + 1) / (K alpha + 1)
    _, _, y = arrays(tmp_path, clients=2000, samples=400, label_skew=alpha, shape=[1])
    shares = np.apply_along_axis(np.bincount, 1, y.reshape(2000, 400), minlength=10) / 400
    unbiased = ((shares**2).sum(axis=1) - 1 / 400) / (1 - 1 / 400)
    assert unbiased.mean() == pytest.approx(expected, rel=0.05)
    assert np.bincount(y, minlength=10) / len(y) == pytest.approx(0.1, abs=0.02)


def test_labels_without_skew_are_uniform(tmp_path: Path) -> None:
    _, _, y = arrays(tmp_path, clients=100, samples=1000, shape=[1], classes=5)
    assert np.bincount(y) / len(y) == pytest.approx(0.2, abs=0.006)  # 4.7 standard errors


def test_groups_call_the_same_classes_by_other_names(tmp_path: Path) -> None:
    one, two = (arrays(tmp_path, clients=5, samples=20, classes=5, groups=groups) for groups in (1, 2))
    np.testing.assert_array_equal(one[1], two[1])
    group = np.repeat([0, 1, 0, 1, 0], 20)  # of client c: c mod 2; classes of the second are ⌊5 / 2⌋ = 2 further on
    np.testing.assert_array_equal(two[2], (one[2] + 2 * group) % 5)


def test_groups_are_the_same_whatever_block_a_client_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "BLOCK_VALUES", 64)
    _, x, y = arrays(tmp_path, clients=9, samples=16, classes=3, shape=[4], noise=0, groups=3)
    for client in range(9):  # without noise, samples of one class are all the same
        rows = slice(16 * client, 16 * client + 16)
        names = {tuple(sample): int(label) for sample, label in zip(x[rows], y[rows], strict=True)}
        first = {tuple(sample): int(label) for sample, label in zip(x[:16], y[:16], strict=True)}
        assert names == {sample: (label + client) % 3 for sample, label in first.items() if sample in names}


def test_samples_surround_the_mean_of_their_class(tmp_path: Path) -> None:
    _, x, y = arrays(tmp_path, clients=10, samples=2000, classes=3, noise=0.5, shape=[8])
    means = np.array([x[y == label].mean(axis=0) for label in range(3)])
    assert (x - means[y]).std() == pytest.approx(0.5, rel=0.01)
    nearest = ((x[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == y).mean() > 0.9


def test_the_data_follow_from_options_and_seed(tmp_path: Path) -> None:
    one = load_dataset("synthetic", cache=tmp_path / "a", seed=3, clients=4)
    same = load_dataset("synthetic", cache=tmp_path / "b", seed=3, clients=4)
    other = load_dataset("synthetic", cache=tmp_path / "a", seed=4, clients=4)
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert one.path.name == same.path.name != other.path.name


def test_data_are_generated_in_blocks_of_whole_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "BLOCK_VALUES", 40)  # 10 rows of 4 numbers
    entry = Synthetic(sizes=(9, 3, 25, 1, 1, 1), shape=(4,), classes=2)
    blocks = list(entry._blocks(entry.counts()))
    assert blocks == [(0, 2), (2, 3), (3, 6)]  # clients begin at rows 0, 9, 12, 37, 38, 39
    entry.write(tmp_path / "s", Notes())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": "many"}, "option 'classes': .*valid integer.*'many'"),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=message):
        load_dataset("synthetic", cache=tmp_path, **options)


@given(alpha=st.sampled_from([1e-6, 1e-3, 0.1, 1.0, 1e6]), seed=st.integers(0, 99))
def test_dirichlet_rows_are_distributions(alpha: float, seed: int) -> None:
    rows = dirichlet(np.random.default_rng(seed), alpha, (20, 7))
    assert np.isfinite(rows).all()
    assert (rows >= 0).all()
    assert rows.sum(axis=1) == pytest.approx(np.ones(20))
