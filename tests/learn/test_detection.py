"""Boxes: matching worked out by hand, precision against COCO's own program, and torchvision's detector."""

import importlib

import numpy as np
import pytest
import torch

from fedscale.data.federated import ClientData
from fedscale.data.ragged import Ragged
from fedscale.errors import JobError
from fedscale.learn.build import build_model
from fedscale.learn.conf import TrainConf
from fedscale.learn.objectives import Plain
from fedscale.learn.samples import ClientSamples
from fedscale.learn.tasks import TASKS
from fedscale.learn.tasks.detection import matched, overlaps
from fedscale.learn.tasks.scored import WIDTH
from fedscale.pooled import BINS, OVERLAPS
from fedscale.report.scores import metrics_of
from toys import DETECTION, scenes

pytestmark = pytest.mark.usefixtures("one_thread")


class Seen:
    """A model that found these boxes."""

    def __init__(self, *images):
        self.images = [tuple(torch.tensor(part, dtype=torch.float64) for part in image) for image in images]

    def losses(self, boxes):
        return torch.arange(len(boxes)).float()

    def found(self):
        return self.images


def measured(seen, images):
    task = TASKS.build("detection", card=DETECTION)
    rows = Ragged.of([np.ravel(image) for image in images], np.float32)
    _, targets = task.tensors(np.zeros((len(images), 3, 2, 2)), rows.padded(np.arange(len(images)), np.nan))
    count, sums = task.sums(seen, targets)
    line = {"count": [count], "sums": {"loss": [sums["loss"]]}, "totals": {"box_scores": sums["box_scores"].record()}}
    return sums, metrics_of(line, "detection")


def test_overlaps_by_hand():
    """Half of one in the other: 1/2; a quarter in common of two: (1/4) / (7/4); nothing in common."""
    boxes = np.array([[0.0, 0, 2, 2]])
    others = np.array([[0.0, 0, 2, 1], [1, 1, 3, 3], [2, 2, 3, 3]])
    assert overlaps(boxes, others).tolist() == [[0.5, pytest.approx(1 / 7), 0.0]]
    assert overlaps(np.zeros((0, 4)), others).shape == (0, 3)


def test_the_likeliest_chooses_first_and_each_box_is_found_once():
    """The first takes the second box, which it overlaps most; the second one wants it too, and gets the first."""
    share = np.array([[0.6, 0.8], [0.55, 0.9], [0.7, 0.7]])
    assert matched(share, 0.5).tolist() == [True, True, False]
    assert matched(share, 0.58).tolist() == [True, False, True]
    assert matched(share[:, :0], 0.5).tolist() == [False] * 3


def test_precision_of_four_boxes_by_hand():
    """Two true boxes of label 1. By score: right, wrong, right, wrong: precision 1 up to recall 1/2, then 2/3.

    51 of the 101 recalls are at most 1/2: (51 + 50 · 2/3) / 101. The one found is off: it overlaps by 0.8/1 = .8 only.
    """
    true = [[[1, 0, 0, 0.5, 1], [1, 0.5, 0, 1, 1]]]
    places = [[0, 0, 0.5, 1], [0.2, 0.2, 0.3, 0.3], [0.5, 0, 0.9, 1], [0.6, 0.2, 0.7, 0.3]]
    seen = Seen((places, [0.9, 0.8, 0.7, 0.6], [1, 1, 1, 1]))
    sums, found = measured(seen, true)
    whole, half = (51 + 50 * 2 / 3) / 101, 51 / 101
    assert (sums["boxes"], found["map50"]) == (2, pytest.approx(whole))
    assert found["map"] == pytest.approx((7 * whole + 3 * half) / 10)  # .5 to .8, and .85 to .95
    counts = sums["box_scores"].counts.reshape(3, len(OVERLAPS) + 1, BINS + 1)
    assert (counts[1, 0].sum(), counts[1, -1, :BINS].sum(), counts[1, -1, BINS], counts[[0, 2]].sum()) == (2, 4, 2, 0)


def test_images_without_boxes_count_what_is_found_in_them():
    true = [[[0, 0, 0, 1, 1]], np.zeros((0, 5))]
    box = [[0.0, 0, 1, 1]]
    assert measured(Seen((box, [0.9], [0]), ([], [], [])), true)[1]["map"] == pytest.approx(1)
    worse = measured(Seen((box, [0.6], [0]), (box, [0.9], [0])), true)[1]
    assert worse["map"] == pytest.approx(1 / 2)
    assert "map" not in measured(Seen((box, [0.9], [0])), true[1:])[1]


def test_precision_is_that_of_cocos_own_program():
    """20 images of 3 labels. Every score is in a bin of its own, so that bins cost nothing."""
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = importlib.import_module("pycocotools.cocoeval")
    rng = np.random.default_rng(6)
    true, images, annotations, results = [], [], [], []
    bins = iter(rng.permutation(BINS))
    for image in range(20):
        low = rng.uniform(0, 0.6, (rng.integers(0, 5), 2))
        boxes = np.hstack([rng.integers(0, 3, (len(low), 1)), low, low + rng.uniform(0.1, 0.4, low.shape)])
        near = np.repeat(boxes[:, 1:], 2, 0) + rng.normal(0, 0.03, (2 * len(boxes), 4))
        labels = np.where(rng.random(len(near)) < 0.8, np.repeat(boxes[:, 0], 2), rng.integers(0, 3, len(near)))
        logits = np.array([(next(bins) - BINS // 2) * WIDTH + WIDTH / 2 for _ in near])
        scores = 1 / (1 + np.exp(-logits))
        true.append(boxes.astype(np.float32))
        images.append((near, scores, labels.astype(int)))
        annotations += [as_coco(image, box[1:], box[0]) for box in true[-1].astype(float)]
        results += [
            as_coco(image, *pair) | {"score": float(score)} for *pair, score in zip(near, labels, scores, strict=True)
        ]
    truth = coco.COCO()
    truth.dataset = {
        "images": [{"id": image} for image in range(20)],
        "categories": [{"id": label} for label in range(3)],
        "annotations": [{**one, "id": place + 1, "iscrowd": 0} for place, one in enumerate(annotations)],
    }
    truth.createIndex()
    judge = evaluation.COCOeval(truth, truth.loadRes(results), "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    found = measured(Seen(*images), true)[1]
    assert 0.1 < judge.stats[0] < 0.9
    assert found["map"] == pytest.approx(judge.stats[0], abs=1e-6)
    assert found["map50"] == pytest.approx(judge.stats[1], abs=1e-6)


def as_coco(image, box, label):
    left, top, right, bottom = (1000 * float(value) for value in box)
    size = [left, top, right - left, bottom - top]
    return {"image_id": image, "category_id": int(label), "bbox": size, "area": size[2] * size[3]}


@pytest.fixture
def torchvision():
    try:
        return importlib.import_module("torchvision.models")
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"torchvision cannot be imported: {error}")


def conf(**settings):
    given = {"task": 1, "client": 0, "version": 0, "seed": 1, "epochs": None, "momentum": 0.0, "weight_decay": 0.0}
    return TrainConf(**given, **settings)


def test_a_detector_learns_where_squares_are(torchvision):
    model = build_model(DETECTION, None, 2)
    assert not list(model.module.buffers())  # no statistics of batches travel
    samples = ClientSamples(ClientData(0, scenes(0, 8)), model.task)
    settings = conf(lr=0.02, batch_size=4, steps=8)
    model.load(model.vector.clone())
    count, before = model.measure(samples.in_order(8))
    model.fit(samples.minibatches(settings), Plain(), settings)
    again, after = model.measure(samples.in_order(3))
    assert (count, again, before["boxes"]) == (8, 8, 8)
    assert after["loss"] < 0.8 * before["loss"]
    assert after["box_scores"].counts.reshape(3, 11, 201)[:, -1, 200].sum() == 8


def test_the_loss_of_images_adds_up(torchvision):
    model = build_model(DETECTION, None, 2)
    samples = ClientSamples(ClientData(0, scenes(1, 3)), model.task)
    whole = model.measure(samples.in_order(3))[1]
    parts = model.measure(samples.in_order(1))[1]
    assert whole["loss"] == pytest.approx(parts["loss"], rel=1e-4)
    inputs, targets = next(iter(samples.in_order(3)))
    without = model.task.loss(model.module(inputs), torch.full_like(targets, torch.nan))
    assert torch.isfinite(without)  # images without a box


def test_a_detector_is_for_images_in_colour():
    with pytest.raises(JobError, match="'sample_shape'"):
        build_model(DETECTION.model_copy(update={"sample_shape": (1, 64, 64)}), None, 2)
