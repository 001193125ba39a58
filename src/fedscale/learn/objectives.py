"""Local objectives: what is minimised beside the task's loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import torch
from torch import Tensor

from fedscale.errors import JobError
from fedscale.tables import Table


class Objective(Protocol):
    """Changes the gradients of a local step before they are applied."""

    def adjust(self, gradients: list[Tensor], weights: list[Tensor], start: list[Tensor]) -> list[Tensor]:
        """Return the gradients to use at ``weights``, where local training began at ``start``."""
        ...


@dataclass(frozen=True)
class Plain:
    """The loss alone (FedAvg; McMahan et al. 2017)."""

    def adjust(self, gradients: list[Tensor], weights: list[Tensor], start: list[Tensor]) -> list[Tensor]:
        """Change nothing."""
        return gradients


@dataclass(frozen=True)
class FedProx:
    """The loss plus μ/2 ‖w − w_global‖² (Li et al. 2020, eq. 2): the gradient gains μ (w − w_global), a pull back."""

    mu: float = 0.1

    def __post_init__(self) -> None:
        if self.mu < 0:
            raise JobError(f"objective 'fedprox': mu must not be negative (got {self.mu:g})")

    def adjust(self, gradients: list[Tensor], weights: list[Tensor], start: list[Tensor]) -> list[Tensor]:
        """Add μ (w − w_global)."""
        return list(torch._foreach_add(gradients, torch._foreach_sub(weights, start), alpha=self.mu))


OBJECTIVES: Final[Table[Objective]] = Table("objective", {"plain": Plain, "fedprox": FedProx})
