"""How long a block of tasks will take, learned from those before it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

FORGET: Final = 0.99
"""Weight of all that was seen before, when a block is added: the machine may get busier."""

RIDGE: Final = 1e-6


class Forecast:
    """Least squares of seconds on tasks, steps and samples; knows nothing of virtual time, and changes no result."""

    def __init__(self) -> None:
        self._squares = np.zeros((3, 3))
        self._products = np.zeros(3)
        self._rates = np.array([1e-4, 1e-3, 1e-6])

    def seconds(self, request: dict[str, Any]) -> float:
        """Return the seconds that a request is expected to take."""
        return float(self._rates @ self._features(request))

    def learn(self, request: dict[str, Any], seconds: float | None) -> None:
        """Take in what a request took, if that is known."""
        if seconds is None or "work" not in request:
            return
        features = self._features(request)
        self._squares = self._squares * FORGET + np.outer(features, features)
        self._products = self._products * FORGET + features * seconds
        # Where all tasks have as many steps, any division between tasks and steps explains them: the ridge takes one.
        ridge = RIDGE * np.diag(self._squares.diagonal() + 1e-12)
        self._rates = np.maximum(np.linalg.solve(self._squares + ridge, self._products), 0)

    def _features(self, request: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.array([len(request["items"]), *request.get("work", (0, 0))], dtype=np.float64)
