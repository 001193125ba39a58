"""Models of matrix products."""

from __future__ import annotations

import math

from torch import nn


def logistic_regression(sample_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Multinomial logistic regression on the flattened sample."""
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(sample_shape), classes))


def mlp(sample_shape: tuple[int, ...], classes: int, hidden: int = 128) -> nn.Module:
    """One hidden layer with ReLU on the flattened sample."""
    features = math.prod(sample_shape)
    return nn.Sequential(nn.Flatten(), nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, classes))
