"""What torchmetrics counts of texts, client by client; its metrics' states are sums, so they add up over clients."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any, Final

from fedscale.errors import MissingExtraError

FIRST: Final = 0x4E00
"""The character that stands for token 0 where no vocabulary says how a token is written."""


class Writing:
    """How rows of tokens are written.

    Args:
        vocabulary: a token's text; of single characters, which are put side by side, or of words, which are put apart.
            Without one, a token is taken for a word, and for a character, too.
    """

    def __init__(self, vocabulary: Sequence[str] | None) -> None:
        self._vocabulary = vocabulary
        self._between = "" if vocabulary is not None and all(len(text) <= 1 for text in vocabulary) else " "

    def words(self, tokens: Sequence[int]) -> str:
        """Return a text whose words are divided by spaces."""
        return self._between.join(map(str if self._vocabulary is None else self._vocabulary.__getitem__, tokens))

    def characters(self, tokens: Sequence[int]) -> str:
        """Return a text of which every character counts."""
        return "".join(chr(FIRST + token) for token in tokens) if self._vocabulary is None else self.words(tokens)


def need_torchmetrics(task: str) -> None:
    """See to it that torchmetrics is installed, without the seconds that its import takes.

    Raises:
        MissingExtraError: it is not.
    """
    try:
        found = importlib.util.find_spec("torchmetrics")
    except ValueError:  # a module that is put in its place
        found = None
    if found is None:
        raise MissingExtraError(f"the task {task!r}", "torchmetrics", "metrics")


def bleu(said: Sequence[str], right: Sequence[str]) -> dict[str, Any]:
    """Count what BLEU is made of (K. Papineni et al. 2002): n-grams of 1 to 4 words that match, and lengths.

    Returns:
        ``matched`` and ``possible``, four numbers each, ``said_words`` and ``right_words``.
    """
    metric = _metric("BLEUScore")
    metric.update(list(said), [[text] for text in right])
    return {
        "matched": metric.numerator.long().numpy(),
        "possible": metric.denominator.long().numpy(),
        "said_words": int(metric.preds_len),
        "right_words": int(metric.target_len),
    }


def edits(said: Sequence[str], right: Sequence[str]) -> tuple[int, int]:
    """Return how many words must be replaced, left out or put in, and how many there are to be."""
    return _edits("WordErrorRate", said, right)


def character_edits(said: Sequence[str], right: Sequence[str]) -> tuple[int, int]:
    """Return how many characters must be replaced, left out or put in, and how many there are to be."""
    return _edits("CharErrorRate", said, right)


def answers(said: Sequence[str], right: Sequence[str]) -> tuple[int, float]:
    """Return how many answers are right, and the sum of their F1 in words, as SQuAD counts (P. Rajpurkar et al. 2016).

    F1 is the harmonic mean of the shares of words of either answer that are in the other.
    """
    metric = _metric("SQuAD")
    for number, (mine, theirs) in enumerate(zip(said, right, strict=True)):
        answer = {"answers": {"text": [theirs], "answer_start": [0]}, "id": str(number)}
        metric.update({"prediction_text": mine, "id": str(number)}, answer)
    return int(metric.exact_match), float(metric.f1_score)


def _edits(name: str, said: Sequence[str], right: Sequence[str]) -> tuple[int, int]:
    metric = _metric(name)
    metric.update(list(said), list(right))
    return int(metric.errors), int(metric.total)


def _metric(name: str) -> Any:
    return getattr(importlib.import_module("torchmetrics.text"), name)()
