"""Steps of SGD that linear layers take themselves: the product that makes a gradient adds it to the weights.

To write a gradient down, and read it again to take the step, takes longer than the product itself where weights do not
stay in a core's cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from fedscale.learn.conf import TrainConf
from fedscale.learn.objectives import Objective, pull_of


@dataclass(frozen=True)
class Sgd:
    """The step v = momentum·v + ∇loss + decay·w + pull·(w − w₀); w = w − lr·v, where w₀ is the global model."""

    lr: float
    decay: float
    pull: float
    momentum: float


def sgd_of(objective: Objective, conf: TrainConf) -> Sgd | None:
    """Return the step that comes of an objective, or ``None`` if it does more than to pull; see `Objective`."""
    pull = pull_of(objective)
    return None if pull is None else Sgd(conf.lr, conf.weight_decay, pull, conf.momentum)


class Descent:
    """Takes the steps of some clients' linear layers, in place.

    Args:
        sgd: the step.
        start: the global model's parameters, in the module's order.
        velocity: with momentum, zeros at first: a stack (clients, *shape) per parameter, by its place in that order.
    """

    def __init__(self, sgd: Sgd, start: Sequence[Tensor], velocity: Mapping[int, Tensor]) -> None:
        self._sgd = sgd
        self._start = start
        self._velocity = velocity
        self._kept = 1 - sgd.lr * (sgd.decay + sgd.pull)

    def linear(self, place: int, x: Tensor, w: Tensor, b: Tensor | None, gradient: Tensor) -> None:
        """Take a layer's step.

        Args:
            place: of its weight; that of its bias is the next.
            x: its input (clients, rows, in).
            w: its weight (clients, out, in).
            b: its bias (clients, out).
            gradient: of its output (clients, rows, out).
        """
        sgd = self._sgd
        if sgd.momentum:
            v = self._velocity[place][: len(w)]
            self._move(place, w, v.baddbmm_(gradient.mT, x, beta=sgd.momentum))
        else:
            self._pull(place, w.baddbmm_(gradient.mT, x, beta=self._kept, alpha=-sgd.lr))
        if b is not None:
            self._bias(place + 1, b, gradient.sum(1))

    def _bias(self, place: int, b: Tensor, gradient: Tensor) -> None:
        sgd = self._sgd
        if sgd.momentum:
            self._move(place, b, self._velocity[place][: len(b)].mul_(sgd.momentum).add_(gradient))
            return
        if self._kept != 1:
            b.mul_(self._kept)
        self._pull(place, b.add_(gradient, alpha=-sgd.lr))

    def _pull(self, place: int, w: Tensor) -> None:
        """Add what of −lr·pull·(w − w₀) is not in ``kept``."""
        if self._sgd.pull:
            w.add_(self._start[place], alpha=self._sgd.lr * self._sgd.pull)

    def _move(self, place: int, w: Tensor, v: Tensor) -> None:
        sgd = self._sgd
        if sgd.decay or sgd.pull:
            v.add_(w, alpha=sgd.decay + sgd.pull)
        if sgd.pull:
            v.sub_(self._start[place], alpha=sgd.pull)
        w.add_(v, alpha=-sgd.lr)
