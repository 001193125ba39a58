"""Updates, their admission and their weighted sum."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor


@dataclass
class TrainResult:
    """What a client returns from training.

    Attributes:
        delta: the change of the model's flat vector, float32, same length.
        samples: training samples that the client has (its weight).
        loss: mean training loss per sample.
        metrics: further numbers for the server's hooks.
    """

    delta: Tensor
    samples: int
    loss: float
    metrics: dict[str, float] = field(default_factory=dict)


WEIGHTINGS: Final[Mapping[str, Callable[[int], float]]] = {
    "samples": float,
    "uniform": lambda samples: 1.0,
}
"""How much an update counts, from the number of the client's training samples (known to the server, not claimed)."""


def refusal(result: Any, length: int) -> str | None:
    """Say why a result cannot be admitted, or return ``None`` if it can.

    An update must be a float32 vector of the model's length with a finite norm, and its loss a finite number: a
    single value that is not would spoil the model of everyone.
    """
    if not isinstance(result, TrainResult):
        return f"train returned {type(result).__name__}, not a TrainResult"
    delta = result.delta
    if not isinstance(delta, Tensor) or delta.dtype != torch.float32 or delta.shape != (length,):
        shape = tuple(delta.shape) if isinstance(delta, Tensor) else type(delta).__name__
        return f"the update has shape {shape} and not ({length},) in float32"
    if not math.isfinite(float(torch.linalg.vector_norm(delta))):
        return "the update is not finite"
    if not math.isfinite(result.loss):
        return "the training loss is not finite"
    return None


class WeightedSum:
    """Σ weight × delta in float32, added in a fixed order so that the bytes are the same for any number of workers."""

    def __init__(self, length: int) -> None:
        self.total = torch.zeros(length)
        self.weight = 0.0

    def add(self, delta: Tensor, weight: float) -> None:
        """Add one update."""
        self.total.add_(delta, alpha=weight)
        self.weight += weight

    def merge(self, total: Tensor, weight: float) -> None:
        """Add the sum of a block of updates."""
        self.total.add_(total)
        self.weight += weight

    def mean(self) -> Tensor:
        """Return Σ weight × delta / Σ weight."""
        return self.total / self.weight
