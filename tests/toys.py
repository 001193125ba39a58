"""For each task a small dataset whose targets follow from its inputs, and the model that learns it."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedscale.data.card import Card
from fedscale.data.ragged import Column, Ragged
from fedscale.data.writer import StoreWriter
from fedscale.section import Component

TEXTS = ("title", "description", "client_is", "licence", "source", "citation", "verified")
LETTERS = ("", " ", *"abcdefgh")


def card_of(task: str, model: str | dict[str, Any], **more: Any) -> Card:
    given = {"name": task, "modality": "tensor", **dict.fromkeys(TEXTS, "-"), **more}
    return Card(task=task, model=Component.model_validate(model), **given)


def multilabel(rng, n):
    x = rng.standard_normal((n, 6)).astype(np.float32)
    return {"x": x, "labels": Ragged.of([np.flatnonzero(row > 0.3) for row in x], np.uint8)}


def click(rng, n):
    x = np.stack([rng.integers(0, 5, n), rng.integers(0, 7, n)], 1).astype(np.int32)
    return {"x": x, "y": (x[:, 0] > 2).astype(np.uint8)}


def ratings(rng, n):
    x = np.stack([rng.integers(0, 5, n), rng.integers(0, 7, n)], 1).astype(np.int32)
    return {"x": x, "y": (1 + x[:, 0]).astype(np.float32)}


def numbers(rng, n):
    x = rng.standard_normal((n, 4)).astype(np.float32)
    return {"x": x, "y": (2 * x[:, 0]).astype(np.float32)}


def places(rng, n):
    x = rng.standard_normal((n, 2)).astype(np.float32)
    return {"x": x, "y": (np.array([41.15, -8.62]) + 0.05 * x).astype(np.float32)}


def ways(rng, n):
    speed = rng.uniform(1, 5, (n, 1, 2))
    past, future = np.arange(-4, 1)[:, None], np.arange(1, 4)[:, None]
    valid = np.ones((n, 3, 1))
    valid[::3, 2] = 0
    return {
        "x": (speed * past).astype(np.float32),
        "y": np.concatenate([speed * future, valid], 2).astype(np.float32),
    }


def translation(rng, n):
    source = [rng.integers(1, 5, rng.integers(1, 5)) for _ in range(n)]
    return {"source": Ragged.of(source, np.uint8), "target": Ragged.of([row + 4 for row in source], np.uint8)}


def span(rng, n):
    rows = [rng.integers(4, 12, rng.integers(5, 9)) for _ in range(n)]
    first = np.array([rng.integers(0, len(row) - 1) for row in rows])
    for row, place in zip(rows, first, strict=True):
        row[place : place + 2] = 2, 3
    return {"tokens": Ragged.of(rows, np.uint8), "span": np.stack([first, first + 1], 1).astype(np.int32)}


def speech(rng, n):
    """Each letter is a tone of its own, 0.1 seconds long."""
    texts = [rng.integers(2, 6, rng.integers(1, 4)) for _ in range(n)]
    x = np.zeros((n, 6400), np.float32)
    for row, text in zip(x, texts, strict=True):
        tones = [np.sin(2 * np.pi * 400 * letter * np.arange(1600) / 16000) for letter in text]
        row[: 1600 * len(text)] = np.concatenate(tones)
    return {"x": x, "tokens": Ragged.of(texts, np.uint8)}


def commands(rng, n):
    """One of three tones."""
    y = rng.integers(0, 3, n)
    return {"x": np.stack([np.sin(2 * np.pi * 800 * (tone + 1) * np.arange(3200) / 16000) for tone in y]), "y": y}


def reviews(rng, n):
    y = rng.integers(0, 3, n)
    x = np.where(rng.random((n, 8)) < 0.6, rng.integers(1, 4, (n, 8)) + 3 * y[:, None], 0)
    return {"x": x.astype(np.int32), "y": y.astype(np.uint8)}


def boards(rng, n):
    x = (rng.random((n, 2, 5, 5)) < 0.1).astype(np.uint8)
    y = rng.integers(0, 26, n)
    x[:, 0] = 0
    for place, move in enumerate(y):
        if move < 25:
            x[place, 0, move // 5, move % 5] = 1
    return {"x": x, "y": y.astype(np.uint8)}


def videos(rng, n):
    """One half of every frame is bright: the left one, or the right one."""
    y = rng.integers(0, 2, n)
    x = rng.random((n, 3, 3, 8, 8)).astype(np.float32)
    x[y == 0, ..., :4] += 2
    x[y == 1, ..., 4:] += 2
    return {"x": x, "y": y}


def sentences(rng, n):
    rows = [(np.arange(6) + rng.integers(0, 30)) % 30 + 1 for _ in range(n)]
    return {"tokens": Ragged.of(rows, np.uint8)}


def scenes(client, samples):
    """One bright square an image, of one of three colours, which is its label."""
    rng = np.random.default_rng([8, client])
    x, boxes = np.zeros((samples, 3, 64, 64), np.uint8), []
    for image in x:
        label, (left, top) = rng.integers(0, 3), rng.integers(0, 32, 2)
        image[label, top : top + 32, left : left + 32] = 255
        boxes.append(np.array([label, left / 64, top / 64, (left + 32) / 64, (top + 32) / 64]))
    return {"x": x, "boxes": Ragged.of(boxes, np.float32)}


DETECTION = card_of(
    "detection", "ssdlite", metric="map", classes=3, sample_shape=(3, 64, 64), x_scale=1 / 255, modality="image"
)
"""Kept apart, since torchvision may be absent."""

TOYS: dict[str, tuple[Card, Any, float]] = {
    "multilabel": (
        card_of("multilabel", "logistic_regression", metric="macro_ap", classes=6, sample_shape=(6,)),
        multilabel,
        0.5,
    ),
    "click": (
        card_of("click", {"name": "wide_deep", "hidden": 8}, metric="auc", field_sizes=(5, 7), sample_shape=(2,)),
        click,
        0.5,
    ),
    "ratings": (
        card_of(
            "regression",
            {"name": "factorization_machine", "center": 3.0},
            metric="rmse",
            field_sizes=(5, 7),
            sample_shape=(2,),
        ),
        ratings,
        0.1,
    ),
    "numbers": (card_of("regression", {"name": "mlp", "hidden": 8}, metric="mae", sample_shape=(4,)), numbers, 0.1),
    "places": (
        card_of(
            "regression",
            {"name": "coordinates_mlp", "hidden": 8, "center": [41.15, -8.62], "scale": 0.05},
            metric="haversine",
            sample_shape=(2,),
            target_shape=(2,),
        ),
        places,
        0.05,
    ),
    "ways": (
        card_of(
            "regression",
            {"name": "trajectory_gru", "hidden": 8},
            metric="ade",
            sample_shape=(5, 2),
            target_shape=(3, 3),
            x_scale=0.1,
        ),
        ways,
        0.05,
    ),
    "translation": (
        card_of("translation", {"name": "transformer", "width": 16, "heads": 2}, metric="bleu", classes=9),
        translation,
        0.5,
    ),
    "span": (card_of("span", {"name": "reader", "width": 16, "heads": 2}, metric="f1", classes=12), span, 0.3),
    "transcription": (
        card_of(
            "transcription",
            {"name": "ctc_gru", "channels": 16, "hidden": 16},
            metric="wer",
            classes=10,
            sample_shape=(6400,),
            vocabulary=LETTERS,
        ),
        speech,
        0.1,
    ),
    "synthesis": (
        card_of(
            "synthesis",
            {"name": "mel_decoder", "embedding": 8, "hidden": 16},
            metric="mel_l1",
            classes=10,
            sample_shape=(6400,),
            vocabulary=LETTERS,
        ),
        speech,
        0.3,
    ),
    "commands": (
        card_of(
            "classification",
            {"name": "cnn", "channels": 4, "hidden": 8},
            classes=3,
            sample_shape=(3200,),
            modality="audio",
        ),
        commands,
        0.1,
    ),
    "reviews": (
        card_of("classification", {"name": "bag_of_words", "words": 10}, classes=3, sample_shape=(8,)),
        reviews,
        1.0,
    ),
    "boards": (
        card_of("classification", {"name": "go_cnn", "channels": 8}, classes=26, sample_shape=(2, 5, 5)),
        boards,
        0.5,
    ),
    "videos": (
        card_of("classification", {"name": "video_cnn", "channels": 4}, classes=2, sample_shape=(3, 3, 8, 8)),
        videos,
        0.5,
    ),
    "sentences": (
        card_of("next_token", {"name": "word_lstm", "embedding": 8, "hidden": 16}, metric="perplexity", classes=32),
        sentences,
        2.0,
    ),
}
"""Card, what makes samples, learning rate."""


def columns_of(name: str, client: int, samples: int) -> dict[str, Column]:
    """Return the columns of one client."""
    columns: dict[str, Column] = TOYS[name][1](np.random.default_rng([7, client]), samples)
    return columns


def write_toy(path, name: str, clients: int = 8) -> None:
    """Write a store of clients with 5, 6, ... samples."""
    with StoreWriter(path, TOYS[name][0]) as writer:
        for client in range(clients):
            writer.append(np.array([5 + client]), columns_of(name, client, 5 + client))
