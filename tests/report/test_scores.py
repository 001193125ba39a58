"""How sums become metrics, against torchmetrics, and that it does not matter how clients are grouped."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedscale.learn.tasks.scored import WIDTH, binned
from fedscale.learn.tasks.words import bleu
from fedscale.pooled import BINS, Pooled, pool
from fedscale.report.facts import NAME_OF, called
from fedscale.report.scores import SCORES, metrics_of, value_of

EDGES = torch.sigmoid(WIDTH * (torch.arange(BINS, dtype=torch.float64) - BINS // 2))
"""The thresholds between bins, as probabilities."""


def draws(labels):
    rng = torch.Generator().manual_seed(4)
    truth = torch.rand(300, labels, generator=rng) < 0.2
    return 3 * torch.randn(300, labels, generator=rng, dtype=torch.float64) + truth, truth


def test_the_area_under_the_curve_is_that_of_torchmetrics():
    from torchmetrics.classification import BinaryAUROC

    logits, truth = draws(1)
    expected = BinaryAUROC(thresholds=EDGES)(logits[:, 0].sigmoid(), truth[:, 0].long())
    found = value_of("auc", {"click_scores": binned(logits, truth).counts})
    assert found == pytest.approx(float(expected), abs=1e-6)
    exact = BinaryAUROC()(logits[:, 0].sigmoid(), truth[:, 0].long())
    assert found == pytest.approx(float(exact), abs=0.005)  # what bins cost


def test_average_precision_is_that_of_torchmetrics():
    from torchmetrics.classification import MultilabelAveragePrecision

    logits, truth = draws(5)
    expected = MultilabelAveragePrecision(5, thresholds=EDGES)(logits.sigmoid(), truth.long())
    found = value_of("macro_ap", {"label_scores": binned(logits, truth).counts})
    assert found == pytest.approx(float(expected), abs=1e-6)


def test_labels_that_nobody_has_are_left_out_and_without_any_there_is_no_metric():
    counts = np.zeros((2, 2, BINS), np.int64)
    counts[0, :, 7] = 3, 1
    assert value_of("macro_ap", {"label_scores": counts.reshape(-1)}) == pytest.approx(1 / 4)
    assert np.isnan(value_of("macro_ap", {"label_scores": np.zeros(4 * BINS)}))
    assert np.isnan(value_of("auc", {"click_scores": np.arange(2 * BINS) * (np.arange(2 * BINS) < BINS)}))
    line = {"count": [3], "sums": {"loss": [3.0]}, "totals": {"click_scores": Pooled(np.zeros(2 * BINS)).record()}}
    assert metrics_of(line, "click") == {"loss": 1.0}


def test_bleu_is_that_of_torchmetrics():
    from torchmetrics.functional.text import bleu_score

    rng = np.random.default_rng(3)
    right = [" ".join(map(str, rng.integers(0, 4, rng.integers(4, 12)))) for _ in range(20)]
    said = [text[: rng.integers(4, 20)] for text in right]
    sums = bleu(said, right)
    flat = {f"{name}[{n}]": float(sums[name][n]) for name in ("matched", "possible") for n in range(4)}
    found = value_of("bleu", flat | {name: float(sums[name]) for name in ("said_words", "right_words")})
    assert found == pytest.approx(float(bleu_score(said, [[text] for text in right])), rel=1e-5)
    assert 0.1 < found < 0.9


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 50), min_size=3, max_size=3), min_size=1, max_size=8), st.integers(1, 8))
def test_a_metric_does_not_depend_on_how_clients_are_grouped(clients, cut):
    """Errors, words and a count of a histogram of three places, of single clients and of two groups of them."""

    def line(groups):
        sums = [np.sum(group, axis=0) for group in groups if group]
        columns = {"word_errors": [int(one[0]) for one in sums], "words": [int(one[1]) for one in sums]}
        totals = pool({"places": Pooled(one).record()} for one in sums)
        return {"count": [int(one[2]) + 1 for one in sums], "sums": columns, "totals": totals}

    apart, together = line([[one] for one in clients]), line([clients[:cut], clients[cut:]])
    assert apart["totals"] == together["totals"]
    assert metrics_of(apart, "transcription") == metrics_of(together, "transcription")


def test_a_metric_of_many_clients_is_that_of_each():
    sums = {"count": np.array([4.0, 2.0]), "squared": np.array([16.0, 18.0]), "absolute": np.array([4.0, 6.0])}
    assert value_of("rmse", sums).tolist() == [2.0, 3.0]
    assert value_of("mae", sums).tolist() == [1.0, 3.0]
    assert value_of("bleu", sums) is None
    assert np.isnan(value_of("wer", {"word_errors": np.array([0.0]), "words": np.array([0.0])})[0])


def test_own_sums_are_divided_by_the_count_unless_a_score_is_made_of_them():
    line = {"count": [2, 2], "sums": {"mine": [1.0, 2.0], "squared": [8.0, 8.0], "correct": [1, 0]}}
    assert metrics_of(line, "regression") == {"mine": 0.75, "accuracy": 0.25, "rmse": 2.0}


def test_what_is_pooled_is_written_by_places():
    one, other = Pooled([0, 3, 0, 1]), Pooled([2, 0, 0, 1])
    assert one.record() == {"size": 4, "places": [1, 3], "counts": [3, 1]}
    assert Pooled.read(one.record()).counts.tolist() == [0, 3, 0, 1]
    assert pool([{"a": one.record()}, {}, {"a": other.record()}]) == {"a": (one + other).record()}
    with pytest.raises(ValueError, match="3 places cannot be added to 4"):
        pool([{"a": one.record()}, {"a": Pooled([0, 0, 1]).record()}])
    assert (one + other).counts.tolist() == [2, 3, 0, 2]


def test_every_score_needs_something():
    assert all(score.needs for score in SCORES.values())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"places": [1, 4]}, "a place is not from 0 to 3"),
        ({"places": [-1, 2]}, "a place is not from 0 to 3"),
        ({"size": 1 << 40}, "are possible"),
        ({"counts": [1, 2, 3]}, "broadcast|shape"),
    ],
)
def test_what_is_no_record_is_refused(changes, why):
    with pytest.raises(ValueError, match=why):
        Pooled.read({"size": 4, "places": [1, 3], "counts": [3, 1], **changes})


def test_how_reports_call_metrics():
    assert [called(name) for name in ("accuracy", "auc", "exact_match", "map")] == [
        "accuracy",
        "AUC",
        "exact match",
        "mean average precision",
    ]
    assert set(NAME_OF) <= set(SCORES)
