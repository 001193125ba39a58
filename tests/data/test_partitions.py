"""Partitions: who has which samples, by every rule, and what a job does with it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fedscale import Job, limits, load_dataset, simulate
from fedscale.data.card import Card
from fedscale.data.catalogue import open_data
from fedscale.data.draws import largest_remainder
from fedscale.data.encoded import Encoded
from fedscale.data.federated import FederatedDataset
from fedscale.data.partitions import PARTITIONS, partitioned
from fedscale.data.ragged import Ragged
from fedscale.data.rearranged import of_clients, ranges
from fedscale.data.split import taking_part
from fedscale.data.store import StoreWriter, client_names, open_store
from fedscale.data.survey import survey
from fedscale.dataset import DataConf
from fedscale.errors import DataError, JobError
from fedscale.report.check import check_log
from fedscale.report.log import read_log
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
DEALT = ["iid", "quantity", "dirichlet", "shards", "feature"]
"""Partitions that deal out every sample once."""


def labelled(path: Path, counts: list[int], labels: list[int], values: Any = None) -> FederatedDataset:
    """Write a store whose ``x`` is the row's number, or one of the values given."""
    card = Card(
        name="rows",
        task="classification",
        modality="tensor",
        model=Component(name="mlp"),
        classes=max(labels) + 1,
        sample_shape=(1,),
        **WORDS,
    )
    x = np.arange(len(labels), dtype=np.float64) if values is None else np.asarray(values, dtype=np.float64)
    with StoreWriter(path, card) as writer:
        writer.append(np.array(counts), {"x": x[:, None], "y": np.array(labels, dtype=np.int16)})
    return open_store(path)


def texts(path: Path, lengths: list[int]) -> FederatedDataset:
    """Write a store of one row per client; row i consists of the token i + 1."""
    card = Card(name="texts", task="next_token", modality="text", model=Component(name="char_gru"), classes=99, **WORDS)
    rows = Ragged.of([[place + 1] * length for place, length in enumerate(lengths)], np.uint8)
    with StoreWriter(path, card) as writer:
        for place in range(len(lengths)):
            writer.append(np.ones(1, dtype=np.int64), {"tokens": rows.take(slice(place, place + 1))})
    return open_store(path)


def rows_of(dataset: FederatedDataset) -> list[list[int]]:
    """Return which rows every client has."""
    return [client["x"][:, 0].astype(int).tolist() for client in dataset]


def labels_of(dataset: FederatedDataset) -> list[Any]:
    return [client["y"] for client in dataset]


@pytest.fixture
def small(tmp_path: Path) -> FederatedDataset:
    """Four clients of 3, 5, 1 and 8 samples; the label is the row's number modulo 3."""
    return labelled(tmp_path / "small", [3, 5, 1, 8], [row % 3 for row in range(17)])


@pytest.mark.parametrize("name", DEALT)
@pytest.mark.parametrize("clients", [None, 5, 17])
def test_every_sample_is_dealt_out_once_with_its_label(small: FederatedDataset, name: str, clients: int | None) -> None:
    options = {} if clients is None else {"clients": clients}
    if name == "shards":
        options["per_client"] = 1
    view = partitioned(small, Component(name=name, **options), seed=4)
    assert len(view) == (clients or 4)
    assert sorted(row for rows in rows_of(view) for row in rows) == list(range(17))
    assert all(
        (rows % 3 == labels).all() for rows, labels in zip(map(np.array, rows_of(view)), labels_of(view), strict=True)
    )
    assert [len(rows) for rows in rows_of(view)] == view.counts.tolist()


@pytest.mark.parametrize("name", ["iid", "dirichlet", "feature"])
def test_sizes_stay_or_are_alike(small: FederatedDataset, name: str) -> None:
    assert partitioned(small, name).counts.tolist() == [3, 5, 1, 8]
    # 17 samples on 5 clients end at ⌊17 k / 5⌋ = 3, 6, 10, 13, 17.
    assert partitioned(small, Component(name=name, clients=5)).counts.tolist() == [3, 3, 4, 3, 4]


@pytest.mark.parametrize("name", PARTITIONS.names())
def test_a_partition_is_that_of_its_seed(small: FederatedDataset, name: str) -> None:
    once, again = partitioned(small, name, seed=2), partitioned(open_store(small.path), name, seed=2)
    assert once.fingerprint == again.fingerprint
    assert rows_of(once) == rows_of(again)
    other = partitioned(small, name, seed=3)
    same = name == "natural" or name == "feature"  # at strength 1, nothing of a feature's order is drawn
    assert (other.fingerprint == once.fingerprint) == same
    assert (rows_of(other) == rows_of(once)) == same
    assert (once.fingerprint == small.fingerprint) == (name == "natural")


def test_iid_clients_have_samples_of_everybody(tmp_path: Path) -> None:
    dataset = labelled(tmp_path / "s", [100] * 20, [client for client in range(20) for _ in range(100)])
    for labels in labels_of(partitioned(dataset, "iid")):
        # Of 20 labels, 100 draws out of 2,000 leave out e⁻⁵ of them each on average.
        assert len(np.unique(labels)) >= 16


def collisions(dataset: FederatedDataset, classes: int) -> float:
    """Return the mean chance over clients that two different samples of one have the same label."""
    tallies = np.array([np.bincount(labels, minlength=classes) for labels in labels_of(dataset)])
    sizes = dataset.counts
    return float(np.mean((tallies * (tallies - 1)).sum(axis=1) / (sizes * (sizes - 1))))


@pytest.mark.parametrize("alpha", [0.1, 0.5, 10.0])
@pytest.mark.parametrize("shares", [[5, 5, 5, 5], [10, 5, 3, 2]])
def test_dirichlet_clients_are_as_alike_as_alpha_says(tmp_path: Path, alpha: float, shares: list[int]) -> None:
    labels = [label for label, share in enumerate(shares) for _ in range(share)] * 1000
    dataset = labelled(tmp_path / "s", [10] * 2000, labels)
    # E Σ q_k² = Σ a_k (a_k + 1) / A (A + 1), for a_k = α C p_k and A = α C.
    a = alpha * 4 * np.array(shares) / 20
    expected = (a * (a + 1)).sum() / (a.sum() * (a.sum() + 1))
    view = partitioned(dataset, Component(name="dirichlet", alpha=alpha))
    assert collisions(view, 4) == pytest.approx(expected, abs=0.025)


def test_shards_of_one_label_each(tmp_path: Path) -> None:
    dataset = labelled(tmp_path / "s", [200], [row % 10 for row in range(200)])
    view = partitioned(dataset, Component(name="shards", clients=10))
    assert view.counts.tolist() == [20] * 10
    assert {len(np.unique(labels)) for labels in labels_of(view)} <= {1, 2}
    assert sum(len(np.unique(labels)) for labels in labels_of(view)) > 10


def test_remainders_worked_out_by_hand() -> None:
    # 3.5, 2.1 and 1.4 are rounded down, and the first has the largest remainder.
    assert largest_remainder(np.array([0.5, 0.3, 0.2]), 7).tolist() == [4, 2, 1]
    assert largest_remainder(np.array([0.25, 0.25, 0.25, 0.25]), 2).tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("alpha", [0.2, 5.0])
def test_quantities_spread_as_alpha_says(tmp_path: Path, alpha: float) -> None:
    dataset = labelled(tmp_path / "s", [40_000], [0] * 40_000)
    view = partitioned(dataset, Component(name="quantity", alpha=alpha, clients=400))
    shares = (view.counts - 1) / 39_600
    assert view.counts.min() >= 1
    # E Σ q² over 400 clients is (α + 1) / (400 α + 1).
    assert (shares**2).sum() == pytest.approx((alpha + 1) / (400 * alpha + 1), rel=0.2)


def test_resampled_clients_keep_to_their_own(tmp_path: Path) -> None:
    dataset = labelled(tmp_path / "s", [3, 10, 7], [0] * 20)
    few, many, same = rows_of(partitioned(dataset, Component(name="resampled", samples=7)))
    assert sorted(np.bincount(few, minlength=3)) == [2, 2, 3]
    assert len(set(many)) == 7
    assert set(many) < set(range(3, 13))
    assert sorted(same) == list(range(13, 20))


def test_resampled_sizes_are_lognormal(tmp_path: Path) -> None:
    dataset = labelled(tmp_path / "s", [1] * 3000, [0] * 3000)
    counts = partitioned(dataset, Component(name="resampled", samples=200, size_skew=0.5)).counts
    assert np.log(counts).std() == pytest.approx(0.5, abs=0.03)
    assert counts.mean() == pytest.approx(200, rel=0.04)


def test_features_are_ranges_at_strength_1(tmp_path: Path) -> None:
    values = np.random.default_rng(1).standard_normal(60)
    view = partitioned(labelled(tmp_path / "s", [60], [0] * 60, values), Component(name="feature", clients=6))
    ranked = np.concatenate([client["x"][:, 0] for client in view])
    assert (np.diff(ranked) > 0).all()


@pytest.mark.parametrize("strength", [0.0, 0.6])
def test_features_correlate_with_the_order_as_asked(tmp_path: Path, strength: float) -> None:
    values = 5 + 3 * np.random.default_rng(1).standard_normal(20_000)
    dataset = labelled(tmp_path / "s", [20_000], [0] * 20_000, values)
    view = partitioned(dataset, Component(name="feature", clients=20_000, strength=strength))
    ranked = np.concatenate([block.columns["x"][:, 0] for block in view.blocks()])
    normal = np.sort(np.random.default_rng(2).standard_normal(20_000))
    assert np.corrcoef(ranked, normal)[0, 1] == pytest.approx(strength, abs=0.02)


def test_texts_go_by_their_length_and_have_no_labels(tmp_path: Path) -> None:
    dataset = texts(tmp_path / "t", [9, 2, 7, 4, 1, 8])
    view = partitioned(dataset, Component(name="feature", clients=3))
    assert [[len(row) for row in client["tokens"]] for client in view] == [[1, 2], [4, 7], [8, 9]]
    assert [row.tolist() for row in view[1]["tokens"]] == [[4] * 4, [3] * 7]
    for name in ("dirichlet", "shards"):
        with pytest.raises(JobError, match=f"partition '{name}' goes by one label per sample, which a next_token set"):
            partitioned(dataset, name)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("iid", {"clients": 18}, r"partition 'iid', option 'clients': must be at most 17, the samples \(got 18\)"),
        ("quantity", {"clients": 18}, "must be at most 17, the samples"),
        ("shards", {"clients": 9}, r"'clients × per_client': must be at most 17, the samples \(got 18\)"),
        ("dirichlet", {"alpha": 0}, r"option 'alpha': must be .*\(got 0\)"),
        ("feature", {"strength": 2}, r"option 'strength': must be from 0 to 1 \(got 2\)"),
        ("resampled", {"samples": 0}, r"option 'samples': must be greater than 0 \(got 0\)"),
        ("natural", {"clients": 3}, "'dirichlet', 'feature', 'iid', 'quantity', 'shards' have it"),
        ("idd", {}, "unknown partition 'idd': did you mean 'iid'"),
    ],
)
def test_errors_name_option_value_and_range(
    small: FederatedDataset, name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(JobError, match=message):
        partitioned(small, Component(name=name, **options))


def test_tables_that_would_not_fit_are_refused(small: FederatedDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PARTITION_CELLS", 12)
    assert len(partitioned(small, "dirichlet")) == 4
    with pytest.raises(JobError, match=r"'clients': must be at most 4 with 3 labels \(got 5\)"):
        partitioned(small, Component(name="dirichlet", clients=5))


@settings(max_examples=25)
@given(counts=st.lists(st.integers(1, 6), min_size=1, max_size=12), seed=st.integers(0, 9), clients=st.integers(1, 5))
def test_rows_come_from_any_record_batch(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], seed: int, clients: int
) -> None:
    total = sum(counts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "RECORD_BATCH_BYTES", 40)
        dataset = texts(tmp_path_factory.mktemp("t") / "t", counts)
        rows = np.random.default_rng(seed).integers(0, len(counts), 2 * len(counts))
        taken = dataset.rows.take(rows)["tokens"]
        assert [row.tolist() for row in taken.rows()] == [[row + 1] * counts[row] for row in rows]
        view = partitioned(dataset, Component(name="iid", clients=min(clients, len(counts))), seed)
        blocks = list(view.blocks())
        ends = np.cumsum([len(block.counts) for block in blocks]).tolist()
        assert [block.first for block in blocks] == [0, *ends[:-1]]
        whole = [row.tolist() for block in blocks for row in block.columns["tokens"].rows()]
        assert whole == [row.tolist() for client in view for row in client["tokens"]]
        assert sum(map(len, whole)) == total


def test_images_of_a_small_view_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = []
    for shade in (10, 20, 30):
        buffer = io.BytesIO()
        Image.fromarray(np.full((2, 2), shade, dtype=np.uint8)).save(buffer, "PNG")
        contents.append(list(buffer.getvalue()))
    card = Card(
        name="images",
        task="classification",
        modality="image",
        model=Component(name="cnn"),
        classes=3,
        sample_shape=(2, 2),
        decode=Component(name="image"),
        **WORDS,
    )
    with StoreWriter(tmp_path / "i", card) as writer:
        writer.append(np.array([2, 1]), {"x": Ragged.of(contents, np.uint8), "y": np.arange(3)})
    view = partitioned(open_store(tmp_path / "i"), Component(name="iid", clients=1))
    first = view.client(0).columns["x"]
    assert [image.tolist() for image in first] == [[[10 + 10 * label] * 2] * 2 for label in view[0]["y"]]
    assert view.client(0).columns["x"] is first
    assert survey(view).feature_mean is not None  # by the length of what is encoded
    monkeypatch.setattr(limits, "DECODED_BYTES", 11)
    large = partitioned(open_store(tmp_path / "i"), Component(name="iid", clients=1))
    assert isinstance(large.client(0).columns["x"], Encoded)
    assert large[0]["x"].tolist() == first.tolist()


def test_ranges_worked_out_by_hand() -> None:
    assert ranges(np.array([5, 0, 9]), np.array([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]


def test_some_of_the_clients(small: FederatedDataset) -> None:
    assert rows_of(of_clients(small, np.array([3, 2]))) == [list(range(9, 17)), [8]]
    conf = DataConf(name="any", min_samples=2, max_samples=5)
    assert rows_of(taking_part(small, conf)) == [[0, 1, 2], [3, 4, 5, 6, 7]]
    assert taking_part(small, DataConf(name="any")) is small
    some = taking_part(small, DataConf(name="any", max_clients=2), seed=3)
    assert len(some) == 2
    assert all(rows in rows_of(small) for rows in rows_of(some))
    # A view of a view: the iid samples of clients 1 and 3.
    shuffled = partitioned(small, "iid")
    assert rows_of(of_clients(shuffled, np.array([1, 3]))) == [rows_of(shuffled)[1], rows_of(shuffled)[3]]
    message = "data.min_samples = 6, data.max_samples = 7: no client has so many; they have 1 to 8"
    with pytest.raises(JobError, match=message):
        taking_part(small, DataConf(name="any", min_samples=6, max_samples=7))
    with pytest.raises(JobError, match="max_samples is 3, below min_samples, which is 4"):
        Job.parse({"data": {"name": "digits", "min_samples": 4, "max_samples": 3}})


def test_clients_as_arrays(small: FederatedDataset) -> None:
    assert small[0]["y"].tolist() == [0, 1, 2]
    assert not np.asarray(small[0]["x"]).flags.owndata  # natural clients are views of the file
    with pytest.raises(DataError, match="no client 4"):
        small[4]
    with pytest.raises(DataError, match="no client -1"):
        small[-1]


def test_views_have_no_names(tmp_path: Path) -> None:
    dataset = labelled(tmp_path / "s", [1, 1], [0, 1])
    with StoreWriter(tmp_path / "n", dataset.card) as writer:
        writer.append(np.array([1, 1]), {"x": np.zeros((2, 1)), "y": np.array([0, 1])}, names=["Ham", "Puck"])
    named = open_store(tmp_path / "n")
    assert client_names(named) == ["Ham", "Puck"]
    assert client_names(partitioned(named, "iid")) is None


def test_a_job_on_one_worker_or_two_has_the_same_log(tmp_path: Path) -> None:
    values = {
        "data": {"name": "digits", "partition": {"name": "dirichlet", "alpha": 0.1, "clients": 12}},
        "local": {"steps": 2},
        "rounds": {"participants": 4, "count": 1},
        "engine": "plain",
    }
    job = Job.parse(values)
    one, two = (simulate(job, tmp_path / str(workers), workers=workers) for workers in (1, 2))
    assert one.log.read_bytes() == two.log.read_bytes()
    assert check_log(one.log).ok
    (population,) = [record for record in read_log(one.log) if record["kind"] == "population"]
    assert sum(population["clients"].values()) == 12
    assert open_data(job.data, job.seed).fingerprint.encode() in one.log.read_bytes()


def test_a_job_that_names_no_partition_is_what_it_was() -> None:
    plain, named = Job.parse({"data": "digits"}), Job.parse({"data": {"name": "digits", "partition": "natural"}})
    assert plain.digest == named.digest
    assert {"partition", "max_samples"}.isdisjoint(plain.facts()["data"])
    other = Job.parse({"data": {"name": "digits", "partition": "iid", "max_samples": 9}})
    assert other.facts()["data"]["partition"] == {"name": "iid"}
    assert other.facts()["data"]["max_samples"] == 9
    assert Job.parse(other.facts()) == other


def test_blocks_of_a_view_are_as_large_as_those_of_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    view = partitioned(load_dataset("digits"), Component(name="iid", clients=599))
    assert len(list(view.blocks())) == 1
    monkeypatch.setattr(limits, "RECORD_BATCH_BYTES", 7200)  # 100 rows of 64 bytes and a label of 8: 33 clients of 3
    sizes = [len(block.counts) for block in view.blocks()]
    assert set(sizes[:-1]) == {33}
