"""Baselines, and figures about datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedscale import limits
from fedscale.data import baselines as module
from fedscale.data.baselines import baselines
from fedscale.data.card import Card
from fedscale.data.census import size_quantiles
from fedscale.data.federated import FederatedDataset
from fedscale.data.ragged import Ragged
from fedscale.data.statistics import first_sample
from fedscale.data.store import StoreWriter, open_store
from fedscale.section import Component

ABOUT = dict.fromkeys(["title", "description", "client_is", "licence", "source", "citation", "verified"], "")
LABELS = Card(
    name="l",
    task="classification",
    modality="tensor",
    model=Component(name="mlp"),
    classes=3,
    sample_shape=(1,),
    **ABOUT,
)
TOKENS = Card(
    name="t", task="next_token", modality="text", model=Component(name="m"), classes=4, vocabulary=("", *"abc"), **ABOUT
)


@pytest.fixture
def letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FederatedDataset:
    """Clients "abab" "b" | "aab" | "ca" "cab" with one record batch each."""
    monkeypatch.setattr(limits, "RECORD_BATCH_BYTES", 1)
    with StoreWriter(tmp_path / "t", TOKENS) as writer:
        for client in (["abab", "b"], ["aab"], ["ca", "cab"]):
            rows = [["abc".index(letter) + 1 for letter in row] for row in client]
            writer.append(np.array([len(client)]), {"tokens": Ragged.of(rows, np.uint8)})
    return open_store(tmp_path / "t")


def test_next_tokens_by_hand(letters: FederatedDataset) -> None:
    # Fitted on clients 0 and 1: pairs ab, ba, ab, aa, ab. Next tokens: b 3 times, a 2 times; after a: b, after b: a.
    # Measured on client 2: pairs ca, ca, ab. Unigram says b: 1 of 3. Bigram says b after the new c, b after a: 1 of 3.
    assert baselines(letters, np.array([0, 1]), np.array([2])) == {"unigram": 1 / 3, "bigram": 1 / 3}
    # Fitted on client 2: next a, a, b; after c: a, after a: b. Measured on 0 and 1: ab ba ab aa ab. Unigram a: 2 of 5;
    # bigram: b after a is right 3 times of 4, a after the new b is right once.
    assert baselines(letters, np.array([2]), np.array([0, 1])) == {"unigram": 2 / 5, "bigram": 4 / 5}


def test_without_clients_there_is_nothing_to_say(letters: FederatedDataset) -> None:
    assert baselines(letters, np.array([0]), np.array([], dtype=np.int64)) == {}


def test_pairs_of_a_large_vocabulary_are_not_counted(
    letters: FederatedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST_BIGRAM", 3)
    assert baselines(letters, np.array([0, 1]), np.array([2])) == {"unigram": 1 / 3}


def test_the_majority_by_hand(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", LABELS) as writer:
        y = np.array([2, 2, 0, 1, 2, 1, 1, 1])
        writer.append(np.array([3, 2, 3]), {"x": np.zeros((8, 1), np.float32), "y": y})
    dataset = open_store(tmp_path / "s")
    assert baselines(dataset, np.array([0]), np.array([1])) == {"majority": 1 / 2}  # 2 is most frequent; of 1, 2
    assert baselines(dataset, np.array([2]), np.array([0, 1])) == {"majority": 1 / 5}  # 1 is; of 2, 2, 0, 1, 2


def test_figures_for_people(letters: FederatedDataset) -> None:
    assert size_quantiles(np.arange(1, 101)) == {
        "min": 1, "p5": 5, "p25": 25, "median": 50, "p75": 75, "p95": 95, "max": 100,
    }  # fmt: skip
    assert first_sample(letters) == {"tokens": "4 tokens: 'abab'"}


def test_the_card_checks_itself() -> None:
    with pytest.raises(ValueError, match="a classification set needs sample_shape"):
        Card.model_validate({**LABELS.model_dump(), "sample_shape": None})
    with pytest.raises(ValueError, match="2 words in the vocabulary, but classes is 4"):
        Card.model_validate({**TOKENS.model_dump(), "vocabulary": ("", "a")})
    with pytest.raises(ValueError, match="a next_token set needs classes"):
        Card.model_validate({**TOKENS.model_dump(), "classes": None, "vocabulary": None})


def of_numbers(folder: Path, card: Card, *clients: list[Any]) -> FederatedDataset:
    """A store in which each client has these targets, and inputs of 0."""
    with StoreWriter(folder / "store", card) as writer:
        for targets in clients:
            y = np.array(targets, dtype=np.uint8 if card.task == "click" else np.float32)
            x = np.zeros((len(y), 1), dtype=np.uint8)
            writer.append(np.array([len(y)]), {"x": x, "y": y})
    return open_store(folder / "store")


def regression(metric: str, shape: tuple[int, ...] = ()) -> Card:
    given = {"task": "regression", "metric": metric, "sample_shape": (1,), "target_shape": shape, **ABOUT}
    return Card(name="n", modality="tensor", model=Component(name="mlp"), **given)


@pytest.mark.parametrize(("metric", "expected"), [("mae", 2.5), ("rmse", 6.5**0.5)])
def test_the_mean_of_training_targets(metric: str, expected: float, tmp_path: Path) -> None:
    """The mean of 1, 2 and 6 is 3; 1 is off by 2 and 0 by 3: 2.5 in the mean, 13/2 of the squares."""
    dataset = of_numbers(tmp_path, regression(metric), [1, 2], [6], [1, 0])
    assert baselines(dataset, np.array([0, 1]), np.array([2])) == {"mean": pytest.approx(expected)}


def test_the_middle_of_places(tmp_path: Path) -> None:
    """From 1° to 3° of latitude on one meridian is 2/360 of 2π · 6371.0088 km."""
    dataset = of_numbers(tmp_path, regression("haversine", (2,)), [[0, 5], [2, 5]], [[3, 5]])
    expected = 2 / 360 * 2 * np.pi * 6371.0088
    assert baselines(dataset, np.array([0]), np.array([1])) == {"mean": pytest.approx(expected, rel=1e-5)}
    assert (
        baselines(of_numbers(tmp_path / "d", regression("ade", (1, 3)), [[[0, 0, 1]]]), np.array([0]), np.array([0]))
        == {}
    )


def test_the_share_of_clicks(tmp_path: Path) -> None:
    """One click of two, each counted once more: one half. Both of two are then worth ln 2."""
    given = {"task": "click", "metric": "loss", "sample_shape": (1,), "field_sizes": (2,), **ABOUT}
    card = Card(name="c", modality="tensor", model=Component(name="wide_deep"), **given)
    dataset = of_numbers(tmp_path, card, [1, 0], [1, 1])
    assert baselines(dataset, np.array([0]), np.array([1])) == {"base_rate": pytest.approx(np.log(2))}


def test_the_perplexity_of_frequencies(tmp_path: Path) -> None:
    """After the first, "aab" says a and b: (2, 2, 1) of 5 for a, b, c; so "cab" has 1/(p_a p_b)^½ = 5/2."""
    with StoreWriter(tmp_path / "t", TOKENS.model_copy(update={"metric": "perplexity"})) as writer:
        for row in ([1, 1, 2], [3, 1, 2]):
            writer.append(np.array([1]), {"tokens": Ragged.of([row], np.uint8)})
    found = baselines(open_store(tmp_path / "t"), np.array([0]), np.array([1]))
    assert found == {"unigram": pytest.approx(5 / 2)}
