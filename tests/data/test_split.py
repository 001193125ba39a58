"""Splits of clients, and of samples within a client."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedscale.data.split import held_out_counts, held_out_rows, split_clients, split_sizes, training_rows
from fedscale.dataset import DataConf, SplitConf
from fedscale.errors import JobError


def conf(train: float = 0.8, validation: float = 0.1, test: float = 0.1, **rest: object) -> DataConf:
    return DataConf.model_validate(
        {"name": "any", "split": {"train": train, "validation": validation, "test": test}, **rest}
    )


@pytest.mark.parametrize(
    ("clients", "shares", "train_test_validation"),
    [
        (14, (0.8, 0.1, 0.1), (11, 2, 1)),  # 11.2, 1.4, 1.4: the tie goes to test
        (10, (0.8, 0.1, 0.1), (8, 1, 1)),
        (1, (0.8, 0.1, 0.1), (1, 0, 0)),
        (2, (0.8, 0.1, 0.1), (1, 1, 0)),
        (3, (0.8, 0.1, 0.1), (1, 1, 1)),
        (5, (0.8, 0.1, 0.1), (3, 1, 1)),  # 4, 0.5, 0.5: rounding gives test 1, and validation takes one from training
        (14, (1.0, 0.0, 0.0), (14, 0, 0)),
        (14, (0.0, 0.0, 1.0), (0, 14, 0)),
        (2, (0.0, 0.5, 0.5), (0, 1, 1)),
        (1419, (0.8, 0.1, 0.1), (1135, 142, 142)),
        (3, (0.99, 0.0, 0.01), (2, 1, 0)),
    ],
)
def test_sizes_worked_out_by_hand(
    clients: int, shares: tuple[float, float, float], train_test_validation: tuple[int, int, int]
) -> None:
    train, validation, test = shares
    split = SplitConf(train=train, validation=validation, test=test)
    assert split_sizes(clients, split) == train_test_validation


@given(
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=60),
    weights=st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)).filter(any),
    seed=st.integers(0, 5),
    min_samples=st.integers(1, 10),
    max_clients=st.none() | st.integers(1, 20),
)
def test_a_split_is_a_partition_of_the_eligible(
    counts: list[int], weights: tuple[int, int, int], seed: int, min_samples: int, max_clients: int | None
) -> None:
    total = sum(weights)
    shares = [weight / total for weight in weights]
    job = conf(*shares, min_samples=min_samples, max_clients=max_clients)
    eligible = [client for client, count in enumerate(counts) if count >= min_samples]
    if not eligible:
        with pytest.raises(JobError, match=f"data.min_samples = {min_samples}: the largest client has {max(counts)}"):
            split_clients(np.array(counts), job, seed)
        return
    split = split_clients(np.array(counts), job, seed)
    parts = [split.train, split.validation, split.test]
    together = np.concatenate(parts).tolist()
    assert len(together) == len(set(together)) == min(len(eligible), max_clients or 60)
    assert set(together) <= set(eligible)
    for part, share in zip(parts, shares, strict=True):
        assert part.tolist() == sorted(part.tolist())
        assert (share > 0) or len(part) == 0
        assert abs(len(part) - share * len(together)) < 2
    if len(together) >= 3:
        assert all(len(part) > 0 for part, share in zip(parts, shares, strict=True) if share > 0)


def test_a_split_follows_from_the_seed() -> None:
    counts = np.ones(1000, dtype=np.int64)
    first, again, other = (split_clients(counts, conf(), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.test, again.test)
    assert first.test.tolist() != other.test.tolist()
    assert first.within_client == 0.0
    assert first.test.dtype == np.int64


def test_a_split_does_not_depend_on_sizes() -> None:
    counts = np.arange(1, 1001)
    split = split_clients(counts, conf(), 1)
    assert abs(counts[split.train].mean() - counts[split.test].mean()) < 100  # 2.9 standard errors


def test_all_rows_train_without_a_share() -> None:
    assert training_rows(7, 0.0, 1, 3) == slice(0, 7)
    assert held_out_rows(7, 0.0, 1, 3) == slice(0, 0)


def test_held_out_counts_by_hand() -> None:
    counts = np.array([1, 2, 3, 4, 5, 10])
    assert held_out_counts(counts, 0.2).tolist() == [0, 0, 1, 1, 1, 2]
    assert held_out_counts(counts, 0.9).tolist() == [0, 1, 2, 3, 4, 9]
    assert held_out_counts(counts, 0.0).tolist() == [0, 0, 0, 0, 0, 0]


@given(count=st.integers(1, 40), share=st.floats(0.01, 0.99), seed=st.integers(0, 3), client=st.integers(0, 9))
def test_training_and_held_out_rows_partition_a_client(count: int, share: float, seed: int, client: int) -> None:
    train, held = training_rows(count, share, seed, client), held_out_rows(count, share, seed, client)
    assert isinstance(train, np.ndarray)
    assert isinstance(held, np.ndarray)
    assert len(train) >= 1
    assert len(held) == held_out_counts(np.array([count]), share)[0]
    assert sorted([*train.tolist(), *held.tolist()]) == list(range(count))
    np.testing.assert_array_equal(train, np.sort(train))
    np.testing.assert_array_equal(train, training_rows(count, share, seed, client))


def test_clients_hold_out_different_rows() -> None:
    rows = {tuple(held_out_rows(100, 0.2, 1, client)) for client in range(20)}  # type: ignore[arg-type]
    assert len(rows) == 20
