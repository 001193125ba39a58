"""What a task is: how rows of a client become tensors, what the loss is, and what is counted in a test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Array = npt.NDArray[Any]
Sums = Mapping[str, Any]
"""Numbers by name; arrays of one dimension, and `fedscale.pooled.Pooled` for those of which only the total is kept."""


@dataclass(frozen=True)
class Field:
    """A column that a task reads.

    Attributes:
        name: of the column.
        pad: what fills up rows of different length, and batches of different size where several are put together.
        dtype: that it is read as; its own if ``None``.
    """

    name: str
    pad: float = 0
    dtype: type[np.generic] | None = None


class Task(Protocol):
    """What a model is trained and tested for.

    Attributes:
        fields: the columns that it reads. A row that holds nothing but their ``pad`` does not count in `loss`: that is
            how batches of several clients can be of one size.
    """

    fields: tuple[Field, ...]

    def tensors(self, *columns: Array) -> tuple[Tensor, Tensor]:
        """Return inputs and targets, given the values of the `fields`; any number of dimensions may come first."""
        ...

    def loss(self, outputs: Any, targets: Tensor) -> Tensor:
        """Return the mean loss, a scalar; ``outputs`` are whatever the module returns."""
        ...

    def group_losses(self, outputs: Tensor, targets: Tensor, groups: int) -> tuple[Tensor, Tensor]:
        """Return the mean loss of each of ``groups`` parts of equal length, one after another, without a graph.

        Returns:
            losses (groups,), and the gradient of their sum with respect to ``outputs``, of its shape.
        """
        ...

    def predict(self, module: nn.Module, inputs: Tensor, targets: Tensor) -> Any:
        """Return what `sums` judges in a test: the module's outputs, or more, such as what it says word by word."""
        ...

    def sums(self, outputs: Any, targets: Tensor) -> tuple[int, Sums]:
        """Return how many predictions were made, and sums over them (``loss``, ``correct``, ...)."""
        ...


class BaseTask:
    """What most tasks have in common."""

    fields: tuple[Field, ...] = ()

    def loss(self, outputs: Any, targets: Tensor) -> Tensor:
        """See `Task.loss`."""
        raise NotImplementedError

    def group_losses(self, outputs: Tensor, targets: Tensor, groups: int) -> tuple[Tensor, Tensor]:
        """See `Task.group_losses`; here by autograd, one group after another."""
        with torch.enable_grad():
            known = outputs.detach().requires_grad_()
            pairs = zip(known.chunk(groups), targets.chunk(groups), strict=True)
            losses = torch.stack([self.loss(*pair) for pair in pairs])
            (gradient,) = torch.autograd.grad(losses.sum(), known)
        return losses.detach(), gradient

    def predict(self, module: nn.Module, inputs: Tensor, targets: Tensor) -> Any:
        """Return the module's outputs."""
        return module(inputs)


def mean_over(losses: Tensor, counted: Tensor) -> Tensor:
    """Return the mean of the ``losses`` (n,) of the rows that are ``counted``; those of the others may be anything."""
    return torch.where(counted, losses, losses.new_zeros(())).sum() / counted.sum().clamp(min=1)


def total(values: Tensor) -> float:
    """Return a sum in double precision."""
    return float(values.double().sum())


def scaled(x: Array, scale: float) -> Tensor:
    """Return a column's values, a copy of the batch's own, as float32 numbers times ``scale``."""
    inputs = torch.from_numpy(x).to(torch.float32)
    return inputs if scale == 1 else inputs.mul_(scale)
