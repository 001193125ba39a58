"""Updates, their admission and their weighted sum."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor

from fedscale.learn.shelf import blank, copied


@dataclass
class TrainResult:
    """What a client returns from training.

    Attributes:
        delta: the change of the model's flat vector, float32, same length.
        samples: training samples that the client has (its weight).
        loss: mean training loss per sample.
        metrics: further numbers for the server's hooks.
        state: what the client keeps from now on, if the task completes; ``None`` to keep what it has.
        kept: the same for the job's algorithm, from one that trains by itself.
    """

    delta: Tensor
    samples: int
    loss: float
    metrics: dict[str, float] = field(default_factory=dict)
    state: Tensor | None = None
    kept: Tensor | None = None


WEIGHTINGS: Final[Mapping[str, Callable[[int], float]]] = {
    "samples": float,
    "uniform": lambda samples: 1.0,
}
"""How much an update counts, from the number of the client's training samples (known to the server, not claimed)."""


def refusal(result: Any, length: int, state_length: int = 0) -> str | None:
    """Say why a result cannot be admitted, or return ``None`` if it can.

    An update must be a float32 vector of the model's length with a finite norm, and its loss a finite number: a
    single value that is not would spoil the model of everyone. A state must be finite too, and of the length announced.
    """
    if not isinstance(result, TrainResult):
        return f"train returned {type(result).__name__}, not a TrainResult"
    delta = result.delta
    if not isinstance(delta, Tensor) or delta.dtype != torch.float32 or delta.shape != (length,):
        shape = tuple(delta.shape) if isinstance(delta, Tensor) else type(delta).__name__
        return f"the update has shape {shape} and not ({length},) in float32"
    why = refusal_of_numbers(float(torch.linalg.vector_norm(delta)), result.loss)
    return why if why or result.state is None else _refusal_of_state(result.state, state_length)


def refusal_of_numbers(norm: float, loss: float, most: float = math.inf) -> str | None:
    """Say why an update of this norm and training loss cannot be admitted, or return ``None``; see `refusal`."""
    if not math.isfinite(norm):
        return "the update is not finite"
    if not math.isfinite(loss):
        return "the training loss is not finite"
    return f"the update has a norm of {norm:.6g}, more than rounds.max_norm" if norm > most else None


def _refusal_of_state(state: Any, length: int) -> str | None:
    if not isinstance(state, Tensor) or state.dtype != torch.float32 or state.shape != (length,) or length == 0:
        shape = tuple(state.shape) if isinstance(state, Tensor) else type(state).__name__
        return f"the state has shape {shape} and not ({length},) in float32, as state_length says"
    return None if torch.isfinite(state).all() else "the state is not finite"


class WeightedSum:
    """Σ weight × delta in float32, added in a fixed order so that the bytes are the same for any number of workers.

    Nothing is laid out before there is something to add: for a large model, to write zeros and to add to them takes as
    long as an update's own arithmetic does beside it.

    Args:
        length: of a vector.
        device: where the sum is.
        exact: vectors are whole numbers in float64, on the CPU, whose sum is to have all its digits.
    """

    def __init__(self, length: int, device: torch.device | None = None, *, exact: bool = False) -> None:
        self.weight = 0.0
        self._dtype = torch.float64 if exact else torch.float32
        self._length = length
        self._device = None if exact else device
        self._total: Tensor | None = None

    @property
    def total(self) -> Tensor:
        """The sum, (length,)."""
        if self._total is None:
            self._total = torch.zeros(self._length, dtype=self._dtype, device=self._device)
        return self._total

    def add(self, delta: Tensor, weight: float) -> None:
        """Add one update."""
        if self._total is None:
            self._total = torch.mul(delta, weight, out=blank(delta))
        else:
            self._total.add_(delta, alpha=weight)
        self.weight += weight

    def add_stacks(self, parts: Sequence[Tensor], weights: Sequence[float]) -> None:
        """Add several updates at once, given as one stack (updates, *shape) for each part of the vector."""
        total = self.total
        factors = torch.tensor([weights], dtype=total.dtype, device=total.device)
        begin = 0
        for part in parts:
            rows = part.flatten(1)
            total[begin : begin + rows.shape[1]].view(1, -1).addmm_(factors, rows)
            begin += rows.shape[1]
        self.weight += sum(weights)

    def try_stacks(self, parts: Sequence[Tensor], weights: Sequence[float]) -> bool:
        """Add several updates as `add_stacks` does, unless the sum is not finite then; say whether it is.

        A sum of finite norm has no update in it that is not, and one norm is quicker than one for each update.
        """
        before, weight = None if self._total is None else self._total.clone(), self.weight
        self.add_stacks(parts, weights)
        if math.isfinite(float(torch.linalg.vector_norm(self.total))):
            return True
        self._total, self.weight = before, weight
        return False

    def merge(self, total: Tensor, weight: float) -> None:
        """Add the sum of a block of updates, or one that was multiplied by its weight before."""
        if self._total is None:
            self._total = copied(total)
        else:
            self._total.add_(total)
        self.weight += weight

    def on_cpu(self) -> WeightedSum:
        """Bring the sum to the CPU's memory, if it is not there."""
        self._total = self.total.cpu()
        return self
