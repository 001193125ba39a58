"""Statistics of datasets: distances worked out by hand, and those of FedScale's own client map."""

from __future__ import annotations

import csv
import json
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fedscale.cli.main import app
from fedscale.data.card import Card
from fedscale.data.divergence import Tallies, distances, joined, pairs_of
from fedscale.data.federated import FederatedDataset
from fedscale.data.ragged import Ragged
from fedscale.data.store import StoreWriter, open_store
from fedscale.data.survey import label_source, median_error, survey
from fedscale.report.surveys import density, write_surveys
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
MAP = Path(__file__).parents[3] / "shared/data/samples/fedscale_speech_commands_clientDataMap.csv.xz"


def store(path: Path, counts: list[int], columns: dict[str, Any], **card: Any) -> FederatedDataset:
    with StoreWriter(
        path, Card(**{"name": path.name, "task": "classification", "modality": "tensor"} | card | WORDS)
    ) as writer:
        writer.append(np.array(counts), columns)
    return open_store(path)


def tallies(*clients: list[int]) -> Tallies:
    owners = np.repeat(np.arange(len(clients)), [len(client) for client in clients])
    return Tallies.of(owners, np.array([label for client in clients for label in client]), len(clients), 5)


def distance(one: list[int], other: list[int]) -> float:
    return float(distances(tallies(one, other), np.array([0]), np.array([1]))[0])


def test_distances_worked_out_by_hand() -> None:
    assert distance([0, 1, 3], [3, 3, 0, 0, 1, 1]) == 0
    assert distance([0, 0], [1, 2, 4]) == pytest.approx(1)
    # p = (1, 0), q = (1/2, 1/2): H(3/4, 1/4) = 0.811278 bits, less (0 + 1) / 2, is 0.311278.
    assert distance([2, 2, 2], [2, 4]) == pytest.approx(0.311278**0.5, abs=1e-6)
    # p = (1/2, 1/2, 0), q = (0, 1/2, 1/2): H(1/4, 1/2, 1/4) = 1.5, less (1 + 1) / 2, is 0.5.
    assert distance([0, 1], [1, 2]) == pytest.approx(0.5**0.5, abs=1e-12)


def test_entropies_worked_out_by_hand() -> None:
    found = tallies([3, 3, 3], [0, 1, 2, 3], [0, 0, 1, 2], []).entropies
    assert found[:3].tolist() == pytest.approx([0, 2, 1.5])
    assert np.isnan(found[3])


@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=9), min_size=2, max_size=6))
def test_distances_agree_with_their_definition_on_dense_tables(clients: list[list[int]]) -> None:
    shares = np.array([np.bincount(client, minlength=5) / len(client) for client in clients])

    def bits(p: Any) -> float:
        return -sum(float(each) * np.log2(float(each)) for each in p if each > 0)

    one, other = pairs_of(len(clients), 100, 1)
    expected = [
        max(0, bits((shares[i] + shares[j]) / 2) - (bits(shares[i]) + bits(shares[j])) / 2) ** 0.5
        for i, j in zip(one, other, strict=True)
    ]
    assert distances(tallies(*clients), one, other).tolist() == pytest.approx(expected, abs=2e-6)
    halves = [tallies(*clients[:1]), tallies(*clients[1:])]
    assert distances(joined(halves), one, other).tolist() == pytest.approx(expected, abs=2e-6)


def test_pairs_are_all_of_them_or_so_many_and_never_a_client_with_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = pairs_of(5, 10, seed=1)
    assert sorted(zip(one.tolist(), other.tolist(), strict=True)) == [(i, j) for i in range(5) for j in range(i + 1, 5)]
    one, other = pairs_of(5, 9, seed=1)
    assert len(one) == 9
    one, other = pairs_of(4, 5, seed=1)
    one, other = (np.concatenate([pairs_of(20, 150, seed)[side] for seed in range(300)]) for side in (0, 1))
    assert (one != other).all()
    often = np.bincount(one * 20 + other, minlength=400).reshape(20, 20)
    assert often[~np.eye(20, dtype=bool)].min() > 60  # 45,000 draws of 380 ordered pairs: 118 each
    monkeypatch.setattr("fedscale.data.divergence.ENTRIES", 3)  # pieces of a pair each
    assert distances(
        tallies([0, 1], [1, 2], [0, 1]), np.array([0, 0, 1]), np.array([1, 2, 2])
    ).tolist() == pytest.approx([0.5**0.5, 0, 0.5**0.5])


def test_a_survey_worked_out_by_hand(tmp_path: Path) -> None:
    x = np.array([[1, 3], [5, 7], [4, 4], [0, 0], [2, 2]], dtype=np.uint8)  # features 2, 6, 4, 0, 2
    dataset = store(tmp_path / "s", [2, 3], {"x": x, "y": np.array([0, 1, 1, 1, 1])}, classes=2, sample_shape=(2,))
    found = survey(dataset)
    assert found.counts.tolist() == [2, 3]
    assert found.entropy is not None and found.entropy.tolist() == [1, 0]
    assert found.feature_mean is not None and found.feature_mean.tolist() == [4, 2]
    # (2, 6): sd 2; (4, 0, 2): √(8/3).
    assert found.feature_sd is not None and found.feature_sd.tolist() == pytest.approx([2, (8 / 3) ** 0.5])
    assert found.distance is not None and found.distance.tolist() == pytest.approx([0.311278**0.5], abs=1e-6)
    assert found.all_pairs
    assert found.summary()["label distance (JS)"]["median_error"] == 0


def test_texts_count_their_tokens_and_boxes_their_labels(tmp_path: Path) -> None:
    rows = Ragged.of([[1, 1], [2], [], [1, 2, 2, 2]], np.uint8)
    text = survey(store(tmp_path / "t", [2, 2], {"tokens": rows}, task="next_token", modality="text", classes=3))
    # Tokens (1, 1, 2) and (1, 2, 2, 2); lengths 2, 1 and 0, 4.
    assert text.entropy is not None and text.entropy.tolist() == pytest.approx([0.918296, 0.811278], abs=1e-6)
    assert text.feature_mean is not None and text.feature_mean.tolist() == [1.5, 2]
    boxes = Ragged.of([[0, 0.1, 0.1, 0.5, 0.5, 2, 0, 0, 1, 1], [2, 0.1, 0.1, 0.2, 0.2]], np.float32)
    x = np.zeros((2, 1), dtype=np.uint8)
    seen = store(tmp_path / "d", [1, 1], {"x": x, "boxes": boxes}, task="detection", classes=3, sample_shape=(1,))
    found = survey(seen)
    assert found.entropy is not None and found.entropy.tolist() == [1, 0]
    assert label_source(seen.card) == "boxes"


def test_numbers_to_predict_have_no_labels_and_one_client_no_pair(tmp_path: Path) -> None:
    columns = {"x": np.zeros((3, 1), dtype=np.uint8), "y": np.array([1.0, 2.0, 3.0])}
    found = survey(store(tmp_path / "r", [3], columns, task="regression", sample_shape=(1,)))
    assert list(found.quantities) == ["samples per client", "feature mean", "feature sd"]
    single = store(tmp_path / "s", [2], {"x": np.zeros((2, 1)), "y": np.array([0, 1])}, classes=2, sample_shape=(1,))
    assert "label distance (JS)" not in survey(single).summary()


def test_the_error_of_a_median_is_what_medians_vary_by() -> None:
    rng = np.random.default_rng(1)
    samples = rng.standard_normal((400, 500))
    errors = [median_error(row) for row in samples]
    assert np.mean(errors) == pytest.approx(np.median(samples, axis=1).std(), rel=0.1)


def test_a_density_adds_up_to_one() -> None:
    values = np.random.default_rng(1).normal(5, 2, 5000)
    x, y = density(values)
    assert (y.sum() * (x[1] - x[0])) == pytest.approx(1, abs=0.01)
    assert x[y.argmax()] == pytest.approx(5, abs=0.6)
    assert y.max() == pytest.approx(0.1995, rel=0.1)  # 1 / (2 √(2 π))
    x, y = density(np.array([3.0]))
    assert x[y.argmax()] == pytest.approx(3, abs=0.01)


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> FederatedDataset:
    """The labels and speakers of FedScale's Speech Commands, without the sound."""
    if not MAP.is_file():
        pytest.skip(f"{MAP} is not there: the client map of Speech Commands that FedScale published")
    with lzma.open(MAP, "rt") as file:
        rows = list(csv.DictReader(file))
    words, labels = np.unique([row["file"].split("_")[0] for row in rows], return_inverse=True)
    clients = np.array([int(row["client"]) for row in rows])
    order = np.argsort(clients, kind="stable")
    return store(
        tmp_path_factory.mktemp("s") / "commands",
        np.bincount(clients).tolist(),
        {"y": labels[order]},
        classes=len(words),
        label_names=tuple(words.tolist()),
        sample_shape=(16_000,),
        modality="audio",
        without=("x",),
    )


def test_speech_commands_are_as_uneven_as_published(commands: FederatedDataset) -> None:
    found = survey(commands).summary()
    sizes, between = found["samples per client"], found["label distance (JS)"]
    assert [sizes[name] for name in ("p5", "median", "p95")] == [21, 30, 122]
    assert between["median"] == pytest.approx(0.63, abs=0.005)
    assert 0 < between["median_error"] < 0.001
    other = survey(commands, pairs=20_000, seed=2).summary()["label distance (JS)"]
    assert abs(other["median"] - between["median"]) < 5 * other["median_error"]


def test_the_command_prints_tables_and_writes_what_other_programs_read(tmp_path: Path) -> None:
    chosen = ["digits", "{name: digits, partition: {name: dirichlet, alpha: 0.1, clients: 30}}"]
    done = CliRunner().invoke(
        app, ["data", "stats", *chosen, "--set", "max_clients=10", "--pairs", "20", "--out", str(tmp_path)]
    )
    assert done.exit_code == 0, done.output
    assert "digits (dirichlet): 10 clients" in done.output
    assert "Distances are of 20 pairs drawn at random" in done.output
    facts = json.loads((tmp_path / "statistics.json").read_text())
    assert facts["digits"]["quantities"]["samples per client"]["max"] == 130
    assert facts["digits (dirichlet)"]["clients"] == 10
    with (tmp_path / "clients.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["dataset"] for row in rows] == ["digits"] * 10 + ["digits (dirichlet)"] * 10
    assert len((tmp_path / "pairs.csv").read_text().splitlines()) == 41
    page = (tmp_path / "statistics.html").read_text()
    assert "Samples per client (Figure 3a)" in page and "digits (dirichlet)" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digit"], "unknown dataset 'digit': did you mean 'digits'"),
        (["digits", "--set", "partition=idd"], "unknown partition 'idd'"),
        (["{name: digits"], "not valid YAML"),
        (["digits", "--set", "min_samples=0"], "data.min_samples: must be greater than 0 (got 0)"),
        (["digits", "--set", "min_samples=999"], "the largest client has 130 samples"),
    ],
)
def test_what_cannot_be_shown_is_named(arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["data", "stats", *arguments])
    assert message in str(done.exception)


def test_sets_without_labels_are_drawn_beside_others(tmp_path: Path) -> None:
    columns = {"x": np.zeros((3, 1), dtype=np.uint8), "y": np.array([1.0, 2.0, 3.0])}
    plain = survey(store(tmp_path / "r", [1, 2], columns, task="regression", sample_shape=(1,)))
    written = write_surveys([plain], tmp_path / "out")
    assert [path.name for path in written] == ["statistics.html", "statistics.json", "clients.csv", "pairs.csv"]
    assert (
        (tmp_path / "out/clients.csv").read_text().splitlines()[0].startswith('"dataset","client","samples","feature')
    )
