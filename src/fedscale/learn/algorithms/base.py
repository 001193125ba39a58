"""What an algorithm is: a stage that also has a say in local training and testing."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from torch import Tensor

from fedscale.learn.conf import TestConf, TrainConf
from fedscale.learn.shelf import difference
from fedscale.learn.stage import Stage, Visit
from fedscale.learn.updates import TrainResult

if TYPE_CHECKING:
    from fedscale.job import LocalConf
    from fedscale.learn.dpsgd import DpSgd
    from fedscale.learn.model import Model
    from fedscale.learn.narrow import Narrow
    from fedscale.learn.objectives import Objective
    from fedscale.learn.samples import ClientSamples


class Algorithm(Stage):
    """Federated averaging (McMahan et al., AISTATS 2017), from which all others differ in what they override.

    `correction` and `pull` leave the training loop as it is, so clients can be trained together in blocks; a `train` of
    its own is called for one client after another.

    Attributes:
        private: takes the local steps so that samples are protected, where the job wants that.
        pull: π; each gradient gains π (w − w_start).
        narrow: models of a part of the width that clients may train too, by that share, the widest first. Their updates
            come to the stages in the whole model's place, with zeros for what they have not.
        assign: who trains which of them: a name in `fedscale.core.assignments`.
        alike: whether the models of all clusters are the same at first; else each begins with weights of its own.
        personal: whether it makes a model for each client, to be measured on what training clients hold out.
    """

    private: DpSgd | None = None
    pull: float = 0.0
    personal: bool = False
    alike: bool = False
    narrow: Mapping[float, Narrow] = MappingProxyType({})
    assign: str = "device"

    @property
    def widths(self) -> tuple[float, ...]:
        """Shares of the model's width that clients may train, the widest first."""
        return (1.0, *self.narrow)

    def check(self, local: LocalConf) -> None:
        """Raise a `JobError` if the algorithm does not go with these settings of local training."""

    def correction(self, visit: Visit) -> Tensor | None:
        """Return what is added to the gradient at every step of the task, (parameters,), or ``None`` for nothing."""
        return None

    def train(self, data: ClientSamples, model: Model, objective: Objective, conf: TrainConf) -> TrainResult:
        """Train ``model``, loaded with what the server sent, and return its change.

        What else is known of the task is ``data.visits[0]``.
        """
        if self.private is not None:
            loss = self.private.fit(data, model, objective, conf)
        else:
            loss = model.fit(data.minibatches(conf), objective, conf)
        return TrainResult(delta=difference(model.vector, model.origin), samples=len(data), loss=loss)

    def test(self, data: ClientSamples, model: Model, conf: TestConf) -> tuple[int, dict[str, float]]:
        """Test ``model`` on all of ``data``: how many predictions, and sums over them.

        One of your own may change ``model``, and finds what `train` does in ``data.visits[0]``: what the client keeps,
        and settings as of a task on ``data.training``, the samples that it trains on.
        """
        return model.measure(data.in_order(conf.batch_size))

    def forwards(self, processed: int, samples: int, factor: float) -> float:
        """Return what a task computes, counted in forward passes of one sample.

        Args:
            processed: samples that plain training processes, repetitions counted.
            samples: that the client has.
            factor: forward passes that training on one sample costs.
        """
        return processed * factor


def trains_by_itself(algorithm: Algorithm) -> bool:
    """Say whether an algorithm has a `Algorithm.train` of its own."""
    return type(algorithm).train is not Algorithm.train


def own_training(algorithm: Algorithm) -> str | None:
    """Return the name of what trains clients one after another in place of an engine, if there is such."""
    if algorithm.private is not None:
        return type(algorithm.private).__name__
    return type(algorithm).__name__ if trains_by_itself(algorithm) else None


def tests_by_itself(algorithm: Algorithm) -> bool:
    """Say whether an algorithm has an `Algorithm.test` of its own."""
    return type(algorithm).test is not Algorithm.test
