"""What columns may hold, kind by kind: what fits is taken, what does not is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fedscale.data.card import Card
from fedscale.data.ragged import Column, Ragged
from fedscale.data.values import check_values
from fedscale.errors import DataError
from fedscale.section import Component

SAID = dict.fromkeys(["title", "description", "client_is", "licence", "source", "citation", "verified"], "-")
NAN = float("nan")


def card(task: str, **more: Any) -> Card:
    given = {"name": "c", "task": task, "classes": 3, "model": Component(name="mlp"), "modality": "tensor"}
    return Card.model_validate({**SAID, **given, **more})


def boxes(*rows: list[float]) -> Ragged:
    return Ragged.of(list(rows), np.float32)


def ragged(*rows: list[int], dtype: type = np.uint8) -> Ragged:
    return Ragged.of(list(rows), dtype)


IMAGE = card("classification", sample_shape=(3, 4, 4), decode=Component(name="image"))
PLAIN = card("classification", sample_shape=(2,))
DETECTION = card("detection", sample_shape=(3, 4, 4))
SPAN = card("span")
CLICK = card("click", sample_shape=(2,), field_sizes=(2, 5))
REGRESSION = card("regression", sample_shape=(2,), target_shape=(2,))
TAGS = card("multilabel", sample_shape=(2,))

GOOD: list[tuple[Card, str, Column]] = [
    (IMAGE, "x", ragged([1, 2], [3])),
    (PLAIN, "x", np.zeros((1, 2), np.float32)),
    (PLAIN, "y", np.array([0, 2])),
    (DETECTION, "boxes", boxes([2, 0, 0, 1, 1, 0, 0.5, 0.5, 0.6, 0.6], [])),
    (DETECTION, "boxes", boxes([], [])),
    (SPAN, "span", np.array([[0, 0], [1, 4]])),
    (CLICK, "x", np.array([[1, 4], [0, 0]])),
    (CLICK, "y", np.array([0, 1])),
    (REGRESSION, "y", np.array([[1.5, -2.0]])),
    (TAGS, "labels", ragged([], [0, 2])),
]

BAD: list[tuple[Card, str, Column, str]] = [
    (IMAGE, "x", np.zeros((1, 3, 4, 4), np.uint8), "x is not rows of encoded bytes"),
    (IMAGE, "x", ragged([1], dtype=np.int16), "x is not rows of encoded bytes"),
    (IMAGE, "x", ragged([1], []), "x has a row without a byte"),
    (PLAIN, "x", np.zeros((1, 3), np.float32), "x is not of sample_shape"),
    (PLAIN, "x", np.array([[1, NAN]]), "x holds values that are not finite"),
    (PLAIN, "y", np.array([0, 3]), "y holds 0 to 3, but classes is 3"),
    (PLAIN, "y", np.array([-1, 0]), "y holds -1 to 0, but classes is 3"),
    (PLAIN, "y", np.array([0.0]), "y holds float64, not integers"),
    (DETECTION, "boxes", boxes([0, 0, 0, 1]), "boxes is not rows of 5 floating-point numbers a box"),
    (DETECTION, "boxes", ragged([0, 0, 0, 1, 1]), "boxes is not rows of 5 floating-point numbers a box"),
    (DETECTION, "boxes", boxes([3, 0, 0, 1, 1]), "boxes has labels that are not from 0 to 2"),
    (DETECTION, "boxes", boxes([-1, 0, 0, 1, 1]), "boxes has labels that are not from 0 to 2"),
    (DETECTION, "boxes", boxes([0, 0, NAN, 1, 1]), "boxes holds values that are not finite"),
    (DETECTION, "boxes", boxes([0, 0.5, 0, 0.5, 1]), "boxes has boxes that do not lie in their image"),
    (DETECTION, "boxes", boxes([0, 0, 0.9, 1, 0.1]), "boxes has boxes that do not lie in their image"),
    (DETECTION, "boxes", boxes([0, 0, 0, 1, 1.1]), "boxes has boxes that do not lie in their image"),
    (DETECTION, "boxes", boxes([0, -0.1, 0, 1, 1]), "boxes has boxes that do not lie in their image"),
    (SPAN, "span", np.array([[2, 1]]), "span has an answer that ends before it begins"),
    (SPAN, "span", np.array([[0, 1, 2]]), "span is not pairs of integers"),
    (SPAN, "span", np.array([[0.0, 1.0]]), "span is not pairs of integers"),
    (CLICK, "x", np.array([[2, 0]]), r"x\[0\] holds 2 to 2, but classes is 2"),
    (CLICK, "x", np.array([[0, 5]]), r"x\[1\] holds 5 to 5, but classes is 5"),
    (CLICK, "x", np.array([[0]]), "x is not of field_sizes"),
    (REGRESSION, "y", np.zeros(2), "y is not of target_shape"),
    (REGRESSION, "y", np.array([[0, np.inf]]), "y holds values that are not finite"),
    (TAGS, "labels", ragged([3]), "labels holds 3 to 3, but classes is 3"),
    (TAGS, "labels", np.array([0]), "labels is not rows of varying length"),
]


@pytest.mark.parametrize("case", range(len(GOOD)))
def test_what_fits_is_taken(case: int) -> None:
    check_values(*GOOD[case])


@pytest.mark.parametrize("case", range(len(BAD)))
def test_what_does_not_is_refused(case: int) -> None:
    about, name, column, message = BAD[case]
    with pytest.raises(DataError, match=f"c: {message}"):
        check_values(about, name, column)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"task": "classification", "classes": None, "sample_shape": (1,)}, "needs classes"),
        ({"task": "classification"}, "needs sample_shape"),
        ({"task": "click", "sample_shape": (1,)}, "needs field_sizes"),
        ({"task": "next_token", "vocabulary": ("", "a")}, "2 words in the vocabulary, but classes is 3"),
        ({"task": "next_token", "without": ("x",)}, "has no columns"),
        ({"task": "painting"}, "Input should be 'classification'"),
    ],
)
def test_cards_that_cannot_be(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        card(**given)
