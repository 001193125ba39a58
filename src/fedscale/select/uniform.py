"""Uniform selection: every online client is as likely as any other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fedscale.outcomes import Outcome
from fedscale.select.base import IntArray, Moment


class Uniform:
    """Draws without replacement (the baseline of §5)."""

    def select(self, online: IntArray, count: int, moment: Moment) -> IntArray:
        """Return ``count`` of the online clients, or all if there are fewer, in ascending order."""
        if len(online) <= count:
            return online
        return np.sort(moment.rng.choice(online, count, replace=False))

    def feedback(self, outcomes: Sequence[Outcome]) -> None:
        """Nothing is learned."""

    def state(self) -> dict[str, Any]:
        """Nothing is kept."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing is kept."""
