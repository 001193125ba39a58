"""What a selector is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fedscale.outcomes import Outcome

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Moment:
    """When a selection is made, and the random stream that belongs to it.

    Attributes:
        time: virtual seconds.
        selection: how many selections came before this one.
        rng: this selection's own generator.
    """

    time: float
    selection: int
    rng: np.random.Generator


class Selector(Protocol):
    """Chooses participants among the clients that are online."""

    def select(self, online: IntArray, count: int, moment: Moment) -> IntArray:
        """Return at most ``count`` distinct clients out of ``online`` (ascending client indices)."""
        ...

    def feedback(self, outcomes: Sequence[Outcome]) -> None:
        """Learn what became of the tasks of the latest attempt."""
        ...

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: plain values and tensors."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state from a checkpoint."""
        ...
