"""An executor that trains and tests nobody, for runs that ask only who takes part, when, and at what cost."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fedscale.execute.base import IntArray, Meanwhile, Testing, Trained, nothing
from fedscale.learn.conf import TrainConf


class DryRun:
    """Admits every task unseen: no reports, an update of zero, and no weight.

    It can tell no upload's size, so tasks must be priced by the model's payload.
    """

    def train(self, vector: Tensor, tasks: Sequence[TrainConf], meanwhile: Meanwhile = nothing) -> Trained:
        """Train nothing."""
        meanwhile()
        return Trained([], torch.zeros_like(vector), 0.0)

    def upload_sizes(self, vector: Tensor, tasks: Sequence[TrainConf]) -> list[int]:
        """Refuse: nothing is there to be measured."""
        raise NotImplementedError("a dry run has no updates to measure")

    def test(self, vector: Tensor, clients: IntArray, version: int) -> Testing:
        """Test nobody."""
        return list

    def close(self) -> None:
        """Hold nothing, so let go of nothing."""
