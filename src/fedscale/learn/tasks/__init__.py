"""Tasks: how rows of a client become tensors, what the loss is, and what is counted in a test.

A task's ``sums`` are additive over samples and clients, so that an aggregate is worked out from sums and never depends
on how clients were grouped: accuracy = Σ correct / Σ count. What becomes of them is in `fedscale.report.scores`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from fedscale.learn.tasks.base import Array, BaseTask, Field, Task
from fedscale.learn.tasks.labels import Classification, NextToken
from fedscale.tables import Table

if TYPE_CHECKING:
    from fedscale.data.card import Card

__all__ = ["TASKS", "Array", "BaseTask", "Classification", "Field", "NextToken", "Task", "outputs_of"]

TASKS: Final[Table[Task]] = Table(
    "task",
    {
        "classification": Classification,
        "multilabel": "fedscale.learn.tasks.scored:Multilabel",
        "next_token": NextToken,
        "detection": "fedscale.learn.tasks.detection:Detection",
        "translation": "fedscale.learn.tasks.translation:Translation",
        "span": "fedscale.learn.tasks.span:Span",
        "transcription": "fedscale.learn.tasks.transcription:Transcription",
        "synthesis": "fedscale.learn.tasks.synthesis:Synthesis",
        "click": "fedscale.learn.tasks.scored:Click",
        "regression": "fedscale.learn.tasks.regression:Regression",
    },
)


def outputs_of(card: Card) -> int:
    """Return how many numbers a model says of a sample, or of a position: what factories get as ``classes``.

    A translation has one token beside the vocabulary, which separates; a regression has the numbers of its target, a
    click one.
    """
    if card.task == "regression":
        return math.prod(card.target_shape)
    if card.task == "click":
        return 1
    assert card.classes is not None
    return card.classes + (card.task == "translation")
