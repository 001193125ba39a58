"""Numbers as targets. What is minimised is what the dataset is measured by, its card's ``metric``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import torch
from torch import Tensor

from fedscale.errors import JobError
from fedscale.learn.tasks.base import Array, BaseTask, Field, Sums, mean_over, scaled, total
from fedscale.units import EARTH_KM

if TYPE_CHECKING:
    from fedscale.data.card import Card

LEAST: Final = 1e-12
"""Added under roots of losses, whose slope would else be infinite where nothing is wrong."""


class Errors(Protocol):
    """What is wrong with predictions."""

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return what is minimised for each sample, (n,)."""
        ...

    def sums(self, outputs: Tensor, targets: Tensor) -> Sums:
        """Return sums over samples; outputs and targets are in double precision."""
        ...


class Numbers:
    """Absolute and squared errors, means over the numbers of a target.

    Args:
        squared: whether the squared ones are minimised.
    """

    def __init__(self, *, squared: bool) -> None:
        self._squared = squared

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See `Errors.losses`."""
        error = _flat(outputs.reshape(targets.shape) - targets)
        return (error.square() if self._squared else error.abs()).mean(1)

    def sums(self, outputs: Tensor, targets: Tensor) -> Sums:
        """Return ``absolute`` and ``squared``."""
        error = _flat(outputs.reshape(targets.shape) - targets)
        return {"absolute": total(error.abs().mean(1)), "squared": total(error.square().mean(1))}


class Places:
    """Distances on the Earth between places (latitude, longitude), in degrees."""

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return kilometres."""
        return haversine(outputs.reshape(targets.shape), targets, LEAST)

    def sums(self, outputs: Tensor, targets: Tensor) -> Sums:
        """Return ``kilometres``."""
        return {"kilometres": total(haversine(outputs.reshape(targets.shape), targets))}


class Paths:
    """Distances between positions (x, y) in metres, at each of the times at which the true one is known.

    Targets are (n, times, 3): x, y, and 1 if they are valid. Outputs have x and y first; more than that is ignored.
    """

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean distance of each sample over its valid times."""
        valid = targets[..., 2]
        return (self._distances(outputs, targets, LEAST) * valid).sum(1) / valid.sum(1).clamp(min=1)

    def sums(self, outputs: Tensor, targets: Tensor) -> Sums:
        """Return ``displacement`` and how many ``positions`` it is over, and both of the last valid ones."""
        valid = targets[..., 2]
        distances = self._distances(outputs, targets) * valid
        times = torch.arange(1, valid.shape[1] + 1, device=valid.device)
        last, known = (valid * times).argmax(1, keepdim=True), valid.any(1)
        return {
            "displacement": total(distances),
            "positions": int(valid.sum()),
            "final": total(distances.gather(1, last)),
            "finals": int(known.sum()),
        }

    def _distances(self, outputs: Tensor, targets: Tensor, least: float = 0.0) -> Tensor:
        gaps = outputs.reshape(*targets.shape[:2], -1)[..., :2] - targets[..., :2]
        return (gaps.square().sum(-1) + least).sqrt()


ERRORS: Final[dict[str, Errors]] = {
    "mae": Numbers(squared=False),
    "rmse": Numbers(squared=True),
    "haversine": Places(),
    "ade": Paths(),
    "fde": Paths(),
}
"""By what a dataset is measured."""


class Regression(BaseTask):
    """One or several numbers a sample.

    Columns: ``x`` (n, *sample_shape), multiplied by the card's ``x_scale``; ``y`` (n, *target_shape). What the numbers
    mean follows from the card's ``metric``:

    ============  =================================================================  ==========================
    mae, rmse     any numbers                                                        absolute or squared error
    haversine     (latitude, longitude) in degrees                                   kilometres (haversine)
    ade, fde      (times, 3): x and y in metres, and whether they are valid (0, 1)   mean distance in metres
    ============  =================================================================  ==========================
    """

    fields: tuple[Field, ...] = (Field("x"), Field("y", np.nan, np.float32))

    def __init__(self, card: Card) -> None:
        if card.metric not in ERRORS:
            known = ", ".join(ERRORS)
            raise JobError(f"{card.name}: a regression is measured by one of {known}, not by {card.metric!r}")
        self._scale, self._errors = card.x_scale, ERRORS[card.metric]

    def tensors(self, *columns: Array) -> tuple[Tensor, Tensor]:
        """Return float32 inputs (..., n, *sample_shape) and targets (..., n, *target_shape)."""
        x, y = columns
        return scaled(x, self._scale), torch.from_numpy(y)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean of what the metric minimises."""
        return mean_over(self._errors.losses(outputs, targets.nan_to_num(0.0)), _known(targets))

    def sums(self, outputs: Tensor, targets: Tensor) -> tuple[int, Sums]:
        """Add up errors, and ``loss``."""
        known = _known(targets)
        outputs, targets = outputs[known].double(), targets[known].double()
        loss = total(self._errors.losses(outputs, targets))
        return int(known.sum()), {"loss": loss, **self._errors.sums(outputs, targets)}


def haversine(places: Tensor, others: Tensor, least: float = 0.0) -> Tensor:
    """Return the distances between places (..., 2), latitude and longitude in degrees, on a sphere, in kilometres.

    d = 2 R asin √(sin²(Δφ/2) + cos φ₁ cos φ₂ sin²(Δλ/2)) (R. Sinnott, "Virtues of the Haversine", 1984).
    """
    (phi1, lambda1), (phi2, lambda2) = (torch.deg2rad(part).unbind(-1) for part in (places, others))
    bow = ((phi1 - phi2) / 2).sin().square() + phi1.cos() * phi2.cos() * ((lambda1 - lambda2) / 2).sin().square()
    return 2 * EARTH_KM * (bow + least).clamp(max=1 - 1e-7 if least else 1).sqrt().asin()


def _known(targets: Tensor) -> Tensor:
    return ~_flat(targets).isnan().any(1)


def _flat(values: Tensor) -> Tensor:
    return values.reshape(len(values), -1)
