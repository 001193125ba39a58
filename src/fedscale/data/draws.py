"""Random shares and their rounding, for what generates or deals out samples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fedscale.data.ragged import IntArray

FloatArray = npt.NDArray[np.float64]


def dirichlet(rng: np.random.Generator, alpha: float | FloatArray, shape: tuple[int, int]) -> FloatArray:
    """Draw rows of a Dirichlet distribution, also for an ``alpha`` so small that gamma variates underflow.

    Uses Gamma(α) = Gamma(α + 1) × U^(1/α) in logarithms. ``alpha`` is that of all columns, or of each.
    """
    logs = np.log(rng.gamma(np.asarray(alpha) + 1, size=shape)) + np.log1p(-rng.random(shape)) / alpha
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    shares: FloatArray = weights / weights.sum(axis=1, keepdims=True)
    return shares


def largest_remainder(shares: FloatArray, total: int) -> IntArray:
    """Round ``shares × total`` (the shares add up to 1) to whole numbers that add up to ``total``.

    All are rounded down, and those with the largest remainders, the first of equals, get one more.
    """
    exact = shares * total
    rounded = np.floor(exact).astype(np.int64)
    missing = total - int(rounded.sum())
    rounded[np.argsort(rounded - exact, kind="stable")[:missing]] += 1
    return rounded
