"""What tasks count, on samples small enough to count by hand; and the same however samples are grouped."""

import math
import sys

import numpy as np
import pytest
import torch

from fedscale.data.federated import ClientData
from fedscale.errors import DataError, MissingExtraError
from fedscale.learn.build import build_model
from fedscale.learn.samples import ClientSamples
from fedscale.learn.tasks import TASKS
from fedscale.learn.tasks.regression import haversine
from fedscale.learn.tasks.scored import binned
from fedscale.learn.tasks.synthesis import unpacked
from fedscale.learn.tasks.transcription import collapsed
from fedscale.pooled import BINS, Pooled
from fedscale.report.scores import metrics_of
from toys import TOYS, card_of, columns_of


def task_of(name, **changes):
    card = TOYS[name][0].model_copy(update=changes)
    return TASKS.build(card.task, card=card)


def metrics(sums, count, task):
    """What the log would say, were there one client."""
    pooled = {name: value.record() for name, value in sums.items() if isinstance(value, Pooled)}
    flat = {}
    for name, value in sums.items():
        if isinstance(value, np.ndarray):
            flat |= {f"{name}[{place}]": [float(part)] for place, part in enumerate(value)}
        elif name not in pooled:
            flat[name] = [value]
    return metrics_of({"count": [count], "sums": flat, "totals": pooled}, task)


@pytest.mark.parametrize(("classes", "counted"), [(19, False), (20, True)])
def test_the_best_five_are_counted_of_many_classes(classes, counted):
    task = TASKS.build("classification", card=card_of("classification", "mlp", classes=classes, sample_shape=(1,)))
    outputs = -torch.arange(classes).float().expand(3, classes)  # class 0 is likeliest, then 1, 2, ...
    count, sums = task.sums(outputs, torch.tensor([0, 4, 5]))
    assert (count, sums["correct"]) == (3, 1)
    assert ("correct5" in sums) == counted
    if counted:
        assert metrics(sums, count, "classification")["top5"] == pytest.approx(2 / 3)


def test_perplexity_is_of_tokens_only():
    """Two tokens, each with probability one half: e to the mean of ln 2."""
    card = TOYS["sentences"][0].model_copy(update={"classes": 3})
    outputs = torch.tensor([[[-1e9, 0.0, 0.0], [-1e9, 0.0, 0.0]]])
    count, sums = TASKS.build("next_token", card=card).sums(outputs, torch.tensor([[1, 2]]))
    assert metrics(sums, count, "next_token")["perplexity"] == pytest.approx(2)
    assert "perplexity" not in metrics(sums, count, "classification")


def test_labels_by_hand():
    """Bins of 0.1: logits 0.05, -0.05, 3 and 99 are in 100, 99, 130 and the last."""
    outputs = torch.tensor([[0.05, 3.0], [-0.05, 99.0]])
    counts = binned(outputs, torch.tensor([[True, False], [False, True]])).counts.reshape(2, 2, BINS)
    assert np.argwhere(counts).tolist() == [[0, 0, 99], [0, 1, 100], [1, 0, 130], [1, 1, 199]]
    task = task_of("multilabel", classes=2)
    _, targets = task.tensors(np.ones((2, 6), np.float32), np.array([[0, -1], [1, -1]]))
    assert targets.tolist() == [[1, 0], [0, 1]]
    count, sums = task.sums(outputs, targets)
    expected = [math.log1p(math.exp(value)) for value in (-0.05, 3.0, -0.05, -99.0)]
    assert sums["loss"] == pytest.approx(sum(expected), rel=1e-5)
    assert (count, sums["labels"], sums["found5"]) == (2, 2, 2)
    assert metrics(sums, count, "multilabel")["macro_ap"] == 1


def test_rows_of_filling_do_not_count_but_samples_without_a_label_do():
    task = task_of("multilabel")
    x = np.zeros((3, 6), np.float32)
    x[1] = 1
    _, targets = task.tensors(x, np.array([[2], [-1], [-1]]))
    assert targets.isnan().all(1).tolist() == [False, False, True]
    outputs = torch.zeros(3, 6)
    assert task.loss(outputs, targets).item() == pytest.approx(6 * math.log(2))
    assert task.sums(outputs, targets)[0] == 2


def test_recall_is_of_the_best_five():
    task = task_of("multilabel", classes=8)
    targets = torch.tensor([[1.0, 0, 0, 0, 1, 1, 0, 0]])
    count, sums = task.sums(-torch.arange(8.0)[None], targets)  # the best five are 0 to 4
    assert metrics(sums, count, "multilabel")["recall5"] == pytest.approx(2 / 3)


def test_clicks_by_hand():
    """Of 2 × 2 pairs the clicked one scores higher in three: the area is 3/4. The loss is −log p of each."""
    task, outputs = task_of("click"), torch.tensor([[2.0], [-1.0], [1.0], [-3.0]])
    count, sums = task.sums(outputs, torch.tensor([1, 1, 0, 0]))
    found = metrics(sums, count, "click")
    assert found["auc"] == pytest.approx(3 / 4)
    assert found["accuracy"] == pytest.approx(2 / 4)
    assert found["loss"] == pytest.approx(np.log1p(np.exp([-2.0, 1.0, 1.0, -3.0])).mean(), rel=1e-6)
    assert task.loss(outputs, torch.tensor([1, 1, 0, -100])).item() == pytest.approx(
        np.log1p(np.exp([-2.0, 1.0, 1.0])).mean(), rel=1e-6
    )


@pytest.mark.parametrize(("metric", "loss"), [("mae", 2.0), ("rmse", 5.0)])
def test_errors_of_numbers(metric, loss):
    task = task_of("numbers", metric=metric)
    outputs, targets = torch.tensor([[1.0], [5.0], [9.0]]), torch.tensor([2.0, 2.0, torch.nan])
    assert task.loss(outputs, targets).item() == loss
    count, sums = task.sums(outputs, targets)
    assert (count, sums["absolute"], sums["squared"], sums["loss"]) == (2, 4.0, 10.0, 2 * loss)
    found = metrics(sums, count, "regression")
    assert (found["mae"], found["rmse"]) == (2.0, pytest.approx(math.sqrt(5)))
    assert set(found) == {"loss", "mae", "rmse"}


def test_distances_on_the_earth():
    """A quarter of a meridian is π/2 · 6371.0088 km; Paris to London (city halls) about 344 km; nothing to itself."""
    places = torch.tensor([[0.0, 0.0], [48.8566, 2.3522], [41.15, -8.61]], dtype=torch.float64)
    others = torch.tensor([[90.0, 0.0], [51.5074, -0.1278], [41.15, -8.61]], dtype=torch.float64)
    found = haversine(places, others).tolist()
    assert found == [pytest.approx(math.pi / 2 * 6371.0088), pytest.approx(343.6, abs=0.2), 0.0]
    task = task_of("places")
    count, sums = task.sums(places.float(), others.float())
    assert metrics(sums, count, "regression")["haversine"] == pytest.approx(sum(found) / 3, rel=1e-5)
    here = places.float().requires_grad_()
    task.loss(here, others.float()).backward()
    assert torch.isfinite(here.grad).all()


def test_ways_are_measured_where_they_are_known():
    """Off by 5 and 13 at two valid times, and by 1 at the only one: mean 19/3, at the end (13 + 1)/2."""
    targets = torch.tensor(
        [[[0.0, 0, 1], [1, 1, 1], [9, 9, 0]], [[0, 0, 0], [2, 2, 1], [0, 0, 0]], [[1, 1, 0]] * 3],
    )
    outputs = torch.zeros(3, 3, 2)
    outputs[0, :, :] = torch.tensor([[3.0, 4], [6, 13], [99, 99]])
    outputs[1, 1] = torch.tensor([2.0, 3])
    task = task_of("ways")
    count, sums = task.sums(outputs.flatten(1), targets)
    found = metrics(sums, count, "regression")
    assert (count, sums["positions"], sums["finals"]) == (3, 3, 2)
    assert (found["ade"], found["fde"]) == (pytest.approx(19 / 3), pytest.approx(7.0))
    assert task.loss(outputs, targets).item() == pytest.approx((9 + 1 + 0) / 3, rel=1e-4)


def test_a_translation_is_one_row():
    """Source 1 2, separator 9, target 5 6 7, separator 9; a shorter one; and a row of filling."""
    task = task_of("translation")
    inputs, targets = task.tensors(np.array([[1, 2], [3, 0], [0, 0]]), np.array([[5, 6, 7], [8, 0, 0], [0, 0, 0]]))
    assert inputs.tolist() == [[1, 2, 9, 5, 6, 7], [3, 9, 8, 9, 0, 0], [0] * 6]
    assert targets.tolist() == [[0, 0, 5, 6, 7, 9], [0, 8, 9, 0, 0, 0], [0] * 6]
    stacked = task.tensors(np.array([[[1, 2]], [[3, 0]]]), np.array([[[5, 6, 7]], [[8, 0, 0]]]))
    assert stacked[0].tolist() == [[[1, 2, 9, 5, 6, 7]], [[3, 9, 8, 9, 0, 0]]]


class Echo(torch.nn.Module):
    """Says every token of the source plus 4, then the separator; or never stops."""

    def __init__(self, endless=False):
        super().__init__()
        self.endless = endless

    def forward(self, rows):
        wanted = torch.full_like(rows, 7)
        if not self.endless:
            for row, out in zip(rows.tolist(), wanted, strict=True):
                split = row.index(9)
                for place in range(split, len(row)):
                    said = place - split
                    out[place] = row[said] + 4 if said < split else 9
        return torch.nn.functional.one_hot(wanted, 10).float()


def test_what_is_translated_is_the_models_own():
    task = task_of("translation")
    inputs, targets = task.tensors(np.array([[1, 2, 3], [4, 0, 0]]), np.array([[5, 6, 1], [8, 0, 0]]))
    logits, said = task.predict(Echo(), inputs, targets)
    assert said == [[5, 6, 7], [8]]
    count, sums = task.sums((logits, said), targets)
    assert (count, sums["correct"]) == (6, 5)
    assert sums["matched"].tolist() == [3, 1, 0, 0]
    assert sums["possible"].tolist() == [4, 2, 1, 0]
    assert (sums["said_words"], sums["right_words"]) == (4, 4)
    endless = task.predict(Echo(endless=True), inputs, targets)[1]
    assert [len(row) for row in endless] == [2 * 3 + 8, 2 * 1 + 8]


def test_bleu_of_a_known_pair():
    """5 of 6 words, 3 of 5 pairs, 2 of 4 triples and 1 of 3 fours match, and nothing is too short: (1/12)^¼."""
    task = task_of("translation", classes=9)
    right = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 9]])
    logits = torch.nn.functional.one_hot(right, 10).float()
    count, sums = task.sums((logits, [[1, 2, 3, 4, 8, 6]]), right)
    assert sums["matched"].tolist() == [5, 3, 2, 1]
    assert metrics(sums, count, "translation")["bleu"] == pytest.approx((5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25)
    count, sums = task.sums((logits, [[1, 2, 3, 4]]), right)
    assert metrics(sums, count, "translation")["bleu"] == pytest.approx(math.exp(1 - 6 / 4))


def test_answers_by_hand():
    """Right; half of the words of the one and all of the other: F1 2/3; nothing in common."""
    task = task_of("span")
    tokens = np.array([[4, 5, 6, 0], [4, 5, 6, 7], [4, 5, 6, 7]])
    _, targets = task.tensors(tokens, np.array([[0, 1], [0, 0], [0, 0]]))
    outputs = torch.zeros(3, 4, 2)
    for row, (first, last) in enumerate([(0, 1), (0, 1), (2, 3)]):
        outputs[row, first, 0] = outputs[row, last, 1] = 5
    outputs[0, 3] = 99.0  # padding
    count, sums = task.sums(outputs, targets)
    assert (count, sums["exact"], sums["overlap"]) == (3, 1, pytest.approx(5 / 3))
    found = metrics(sums, count, "span")
    assert (found["exact_match"], found["f1"]) == (pytest.approx(1 / 3), pytest.approx(5 / 9))
    alone = task.loss(outputs[:1], targets[:1])
    assert alone.item() == pytest.approx(math.log(1 + 2 * math.exp(-5)), rel=1e-5)
    filled = torch.cat([targets[:1], torch.tensor([[-100, -100, 0, 0, 0, 0]])])
    assert task.loss(outputs[:2], filled).item() == pytest.approx(alone.item())


def test_an_answer_ends_after_it_begins():
    task, outputs = task_of("span"), torch.zeros(1, 3, 2)
    outputs[0, 2, 0] = outputs[0, 0, 1] = 5  # likeliest alone: from 2 to 0
    outputs[0, 2, 1] = 1
    targets = task.tensors(np.array([[4, 5, 6]]), np.array([[2, 2]]))[1]
    assert task.sums(outputs, targets)[1]["exact"] == 1


def test_an_answer_behind_its_text_is_refused():
    with pytest.raises(DataError, match="ends at token 2, but its row has 2 tokens"):
        task_of("span").tensors(np.array([[4, 5, 6], [4, 5, 0]]), np.array([[0, 1], [0, 2]]))


def test_errors_of_words_and_characters():
    """ "abc de" heard as "abd de": one of two words, one of six characters; repeated frames and blanks are left out."""
    task = task_of("transcription")
    frames = [2, 2, 0, 3, 5, 5, 1, 5, 6, 6]  # a a - b d d _ d e e
    assert collapsed(frames) == [2, 3, 5, 1, 5, 6]
    assert collapsed([2, 0, 2, 2]) == [2, 2]
    logits = torch.nn.functional.one_hot(torch.tensor([[*frames, 7, 7]]), 10).float()
    right = torch.tensor([[2, 3, 4, 1, 5, 6]])
    count, sums = task.sums((logits, torch.tensor([10])), right)
    assert (sums["word_errors"], sums["words"], sums["character_errors"], sums["characters"]) == (1, 2, 1, 6)
    found = metrics(sums, count, "transcription")
    assert (found["wer"], found["cer"]) == (1 / 2, pytest.approx(1 / 6))


def test_without_a_vocabulary_tokens_are_words_and_characters():
    task = task_of("transcription", vocabulary=None)
    logits = torch.nn.functional.one_hot(torch.tensor([[2, 3]]), 10).float()
    sums = task.sums((logits, torch.tensor([2])), torch.tensor([[2, 3, 4]]))[1]
    assert (sums["word_errors"], sums["words"], sums["character_errors"], sums["characters"]) == (1, 3, 1, 3)


def test_the_loss_of_a_transcription():
    """One frame per token and no choice: −log p of each, over their number; an impossible text costs nothing."""
    task = task_of("transcription")
    logits = torch.zeros(1, 2, 10)
    assert task.loss((logits, torch.tensor([2])), torch.tensor([[2, 3]])).item() == pytest.approx(math.log(10))
    assert task.loss((logits, torch.tensor([2])), torch.tensor([[2, 3, 4]])).item() == 0


def test_what_is_said_is_compared_frame_by_frame():
    """Two recordings, of 3 frames and 1: off by 1 in every band of the first, by 3 in the second, behind it by 9."""
    task = task_of("synthesis", sample_shape=(480,))
    x = np.zeros((2, 480), np.float32)
    x[0], x[1, :100] = 0.5, 0.5
    inputs, targets = task.tensors(x, np.array([[2, 3], [4, 0]]))
    assert inputs.shape == (2, 1 + 4, 40)
    tokens, frames = unpacked(inputs, 480)
    assert tokens[:, :3].tolist() == [[2, 3, 0], [4, 0, 0]]
    assert targets.isnan().all(2).tolist() == [[False, False, False, True], [False, True, True, True]]
    count, sums = task.sums(frames + torch.tensor([[[1.0]] * 4, [[3.0], [9.0], [9.0], [9.0]]]), targets)
    assert (count, sums["loss"]) == (4, pytest.approx(6))
    assert metrics(sums, count, "synthesis")["mel_l1"] == pytest.approx(4 * 6 / 4)
    assert task.loss(frames + 1, targets).item() == pytest.approx(1)


@pytest.mark.parametrize(
    "name", [name for name in TOYS if name not in ("boards", "videos", "sentences", "reviews", "commands")]
)
def test_splitting_samples_over_clients_changes_no_sum(name):
    card = TOYS[name][0]
    model = build_model(card, None, 3)
    data = ClientData(0, columns_of(name, 3, 9))
    whole = model.measure(ClientSamples(data, model.task).in_order(9))
    parts = [np.array([0, 4, 8]), np.array([1]), np.array([7, 6, 5, 3, 2])]
    each = [model.measure(ClientSamples(data.take(rows), model.task).in_order(2)) for rows in parts]
    assert sum(count for count, _ in each) == whole[0]
    for key, value in whole[1].items():
        total = sum(sums[key] for _, sums in each)
        if isinstance(value, Pooled):
            assert np.abs(total.counts - value.counts).sum() <= 2  # a score at the edge of a bin may be rounded over it
        else:
            np.testing.assert_allclose(total, value, rtol=1e-4)


@pytest.mark.parametrize("name", ["translation", "span", "transcription"])
def test_without_torchmetrics_the_extra_is_named(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    with pytest.raises(MissingExtraError, match=rf"the task '{name}' needs torchmetrics.*'fedscale\[metrics\]'"):
        task_of(name)
