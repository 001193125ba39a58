"""Every task's model: it learns what its data are made of, and comes to the same in blocks of clients as alone."""

import sys

import numpy as np
import pytest
import torch

from fedscale.data.federated import ClientData
from fedscale.errors import DataError, JobError, MissingExtraError
from fedscale.learn.build import build_model
from fedscale.learn.conf import TrainConf
from fedscale.learn.engines import choose_engine
from fedscale.learn.model import Model
from fedscale.learn.models import MODELS
from fedscale.learn.objectives import Plain
from fedscale.learn.samples import ClientSamples
from fedscale.learn.tasks import TASKS, outputs_of
from fedscale.learn.vectorised import Assignment, Vectorised
from fedscale.section import Component
from toys import TOYS, columns_of

pytestmark = pytest.mark.usefixtures("one_thread")

TOGETHER = ("multilabel", "click", "ratings", "numbers", "places", "translation", "span", "reviews")
"""Those whose clients can be trained in one block; the others have convolutions or recurrent layers."""


def samples_of(name, client, count):
    card = TOYS[name][0]
    return ClientSamples(ClientData(client, columns_of(name, client, count)), TASKS.build(card.task, card=card))


def conf_of(name, **settings):
    given = {"task": 1, "client": 0, "version": 0, "seed": 1, "steps": 12, "epochs": None, "batch_size": 8}
    return TrainConf(**{**given, "lr": TOYS[name][2], "momentum": 0.0, "weight_decay": 0.0, **settings})


@pytest.mark.parametrize("name", TOYS)
def test_steps_lower_the_loss(name):
    samples = samples_of(name, 0, 16)
    model = build_model(TOYS[name][0], None, 3)
    model.load(model.vector.clone())
    count, before = model.measure(samples.in_order(16))
    model.fit(samples.minibatches(conf_of(name)), Plain(), conf_of(name))
    after = model.measure(samples.in_order(16))[1]
    assert after["loss"] / count < 0.92 * before["loss"] / count


@pytest.mark.parametrize("name", TOGETHER)
def test_clients_together_come_to_the_same_as_alone(name):
    card = TOYS[name][0]
    single = build_model(card, None, 3)
    model = Model(single.module.double(), single.task, torch.float64)
    clients = [samples_of(name, number, size) for number, size in enumerate((7, 1, 12, 3))]
    confs = [conf_of(name, task=number, client=number, steps=3, batch_size=4, momentum=0.5) for number in range(4)]
    start = model.vector.clone()
    deltas = Vectorised(model, Plain(), clients[2]).train(
        start, [Assignment(*pair) for pair in zip(clients, confs, strict=True)]
    )
    for number, (one, conf) in enumerate(zip(clients, confs, strict=True)):
        model.load(start)
        loss = model.fit(one.minibatches(conf), Plain(), conf)
        torch.testing.assert_close(deltas.vector(number, len(start)), model.vector - start, rtol=1e-8, atol=1e-11)
        assert deltas.losses[number] == pytest.approx(loss, rel=1e-8)
        assert (model.vector - start).norm() > 1e-6


@pytest.mark.parametrize("name", sorted(set(TOYS) - set(TOGETHER)))
def test_the_others_are_trained_one_after_another(name):
    model = build_model(TOYS[name][0], None, 3)
    assert choose_engine("vectorised", model, Plain(), samples_of(name, 0, 6), None).name in ("plain", "vectorised")
    assert choose_engine("auto", model, Plain(), samples_of(name, 0, 6), None).name == "plain"


def test_what_a_model_says_of_a_sample_follows_from_the_task():
    assert {name: outputs_of(card) for name, (card, *_) in TOYS.items()} == {
        "multilabel": 6,
        "click": 1,
        "ratings": 1,
        "numbers": 1,
        "places": 2,
        "ways": 9,
        "translation": 10,
        "span": 12,
        "transcription": 10,
        "synthesis": 10,
        "commands": 3,
        "reviews": 3,
        "boards": 26,
        "videos": 2,
        "sentences": 32,
    }


def test_a_factorization_machine_by_hand():
    """Two fields: w = (0.5, -1), v = (1, 2) and (3, -1): 3 + 0.5 - 1 + (1·3 + 2·(-1)) = 3.5."""
    card = TOYS["ratings"][0]
    model = MODELS.build("factorization_machine", {"factors": 2, "center": 3.0}, classes=1, card=card)
    with torch.no_grad():
        model.weights.embedding.weight[[4, 5 + 6], 0] = torch.tensor([0.5, -1.0])
        model.factors.embedding.weight[[4, 5 + 6]] = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    assert model(torch.tensor([[4.0, 6.0]])).tolist() == [[pytest.approx(3.5)]]


def test_padding_is_no_word_and_no_part_of_an_answer():
    bag = MODELS.build("bag_of_words", {"words": 10}, sample_shape=(4,), classes=3)
    torch.testing.assert_close(bag(torch.tensor([[3.0, 5, 0, 0]])), bag(torch.tensor([[5.0, 0, 3, 0]])))
    reader = MODELS.build("reader", {"width": 16, "heads": 2}, classes=12)
    row = torch.tensor([[3, 5, 7]])
    longer = torch.nn.functional.pad(row, (0, 4))
    torch.testing.assert_close(reader(longer)[:, :3], reader(row), rtol=0, atol=1e-5)
    changed = reader(torch.tensor([[3, 5, 8]]))
    assert (changed[:, 0] - reader(row)[:, 0]).abs().max() > 1e-4  # the first token sees the last


def test_mel_bands_are_at_the_pitch_of_a_tone():
    """A tone of 1,000 Hz is 2595 log₁₀(1 + 1000/700) = 1000 mel, of 2840 up to 8,000 Hz: about band 14 of 40."""
    from fedscale.learn.models.mel import LogMel

    mel = LogMel()
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(16000) / 16000)
    spectrum = mel(tone)
    assert spectrum.shape == (101, 40)
    assert 1000 / 2840 * 41 - 1.5 < int(spectrum[50].argmax()) < 1000 / 2840 * 41
    assert mel.frames(torch.stack([tone, tone * (torch.arange(16000) < 8000)])).tolist() == [100, 50]
    assert mel(torch.zeros(1600)).amax() == pytest.approx(np.log(1e-5) / 4 + 1)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("bag_of_words", {"sample_shape": (2, 2), "classes": 3}, r"samples \(words,\)"),
        ("go_cnn", {"sample_shape": (2, 5, 5), "classes": 30}, "30 classes are neither its 25 points"),
        ("video_cnn", {"sample_shape": (5, 5), "classes": 3}, "is for frames"),
        ("wide_deep", {"classes": 1, "card": TOYS["numbers"][0]}, "no field_sizes"),
        ("factorization_machine", {"classes": 2, "card": TOYS["ratings"][0]}, "one number of a sample, not 2"),
        ("trajectory_gru", {"sample_shape": (5,), "classes": 9}, "times, features"),
        ("ctc_gru", {"sample_shape": (5, 5), "classes": 9}, r"recordings \(samples,\)"),
        ("reader", {"sample_shape": (5,), "classes": 9}, "rows of tokens"),
        ("word_lstm", {"sample_shape": (5,), "classes": 9}, "rows of tokens"),
    ],
)
def test_what_does_not_fit_the_new_models_is_refused(name, given, message):
    with pytest.raises(JobError, match=message):
        MODELS.build(name, {}, **given)


def test_a_center_has_as_many_numbers_as_a_target():
    with pytest.raises(JobError, match=r"'center'.*2 numbers"):
        MODELS.build("coordinates_mlp", {"center": [1.0]}, sample_shape=(2,), classes=2)


def test_a_regression_is_measured_by_what_it_knows():
    card = TOYS["numbers"][0].model_copy(update={"metric": "accuracy"})
    with pytest.raises(JobError, match="measured by one of mae, rmse, haversine, ade, fde, not by 'accuracy'"):
        TASKS.build("regression", card=card)


def test_a_decoder_of_speech_sees_the_frames_before_and_the_whole_text():
    model = MODELS.build("mel_decoder", {"hidden": 8}, sample_shape=(480,), classes=10)
    packed = torch.rand(1, 5, 40)
    packed[0, 0] = torch.arange(40) % 9 + 1
    later, other = packed.clone(), packed.clone()
    later[0, 3] += 1  # the third of four frames
    other[0, 0, 30] += 1  # a letter
    changes = [(model(one) - model(packed)).abs().amax((0, 2)) > 1e-6 for one in (later, other)]
    assert [change.tolist() for change in changes] == [[False, False, False, True], [True] * 4]


@pytest.mark.soak
def test_albert_for_the_next_token_and_for_answers():
    """It takes seconds to import transformers."""
    pytest.importorskip("transformers")
    small = {"embedding": 8, "width": 16, "heads": 2, "layers": 2, "positions": 12}
    for name, causal in (("sentences", True), ("span", False)):
        card = TOYS[name][0].model_copy(update={"model": Component(name="albert", **small)})
        model = build_model(card, None, 3)
        samples = ClientSamples(ClientData(0, columns_of(name, 0, 16)), model.task)
        model.load(model.vector.clone())
        before = model.measure(samples.in_order(8))[1]["loss"]
        model.fit(samples.minibatches(conf_of(name, lr=0.5)), Plain(), conf_of(name, lr=0.5))
        assert model.measure(samples.in_order(8))[1]["loss"] < 0.95 * before
        row = torch.tensor([[3, 5, 7, 9]])
        after = row.index_fill(1, torch.tensor([3]), 8)
        assert torch.equal(model.module(row)[:, :3], model.module(after)[:, :3]) == causal
        longer = torch.nn.functional.pad(row, (0, 3))
        torch.testing.assert_close(model.module(longer)[:, :4], model.module(row), rtol=0, atol=1e-5)
        with pytest.raises(DataError, match=r"rows of 13 tokens: set model\.positions, which is 12"):
            model.module(torch.ones(1, 13, dtype=torch.int64))


def test_without_transformers_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"the model 'albert' needs transformers.*'fedscale\[text\]'"):
        MODELS.build("albert", {}, classes=9, card=TOYS["sentences"][0])
