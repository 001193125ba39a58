"""Large linear layers that step in the backward pass come to the same as those that do not."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedscale.learn import fused as module_under_test
from fedscale.learn.conf import TrainConf
from fedscale.learn.model import Model
from fedscale.learn.objectives import FedProx, Objective, Plain

CONF = TrainConf(task=0, client=0, version=0, seed=1, lr=0.1, batch_size=4, steps=3, epochs=None)


class Labels:
    """Cross-entropy."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs, targets)


class Twice(nn.Module):
    """One layer used twice in a pass."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)
        self.last = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.layer(torch.relu(self.layer(x))))


class Elsewhere(Twice):
    """One layer's weights used outside it."""

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.layer(x) + x @ self.layer.weight)


class Tied(nn.Module):
    """Two layers with the same weights."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.two.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.two(torch.relu(self.one(x))))


def usual(dropout: float = 0.0) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))


def whole() -> nn.Module:
    """A module of nothing but layers that step by themselves."""
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))


def batches(count: int) -> list[tuple[Tensor, Tensor]]:
    rng = np.random.default_rng(7)
    drawn = [(rng.normal(size=(4, 6)), rng.integers(3, size=4)) for _ in range(count)]
    return [(torch.from_numpy(x).double(), torch.from_numpy(y)) for x, y in drawn]


def fitted(module: nn.Module, objective: Objective, conf: TrainConf, *, stepping: bool) -> tuple[Tensor, float]:
    model = Model(copy.deepcopy(module).double(), Labels(), torch.float64)
    if stepping:
        model.let_step(*batches(1)[0])
        assert model.fused is not None
    model.load(model.vector.clone())
    torch.manual_seed(3)
    loss = model.fit(batches(3), objective, conf)
    return model.vector.clone(), loss


@pytest.fixture
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let layers of 30 weights count as large."""
    monkeypatch.setattr(module_under_test, "LARGE", 30)


@pytest.mark.usefixtures("small_is_large")
@pytest.mark.parametrize(
    ("objective", "changes"),
    [
        (Plain(), {}),
        (FedProx(0.5), {}),
        (Plain(), {"momentum": 0.9}),
        (Plain(), {"weight_decay": 0.1}),
        (FedProx(0.5), {"momentum": 0.9, "weight_decay": 0.1}),
    ],
    ids=["plain", "fedprox", "momentum", "weight decay", "all"],
)
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_same_comes_of_it(objective, changes, dropout):
    torch.manual_seed(0)
    module, conf = usual(dropout), replace(CONF, **changes)
    expected, expected_loss = fitted(module, objective, conf, stepping=False)
    found, loss = fitted(module, objective, conf, stepping=True)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert loss == pytest.approx(expected_loss, rel=1e-12)


@pytest.mark.usefixtures("small_is_large")
def test_nothing_need_be_left_to_autograd():
    torch.manual_seed(0)
    module = whole()
    expected, _ = fitted(module, Plain(), CONF, stepping=False)
    found, _ = fitted(module, Plain(), CONF, stepping=True)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("small_is_large")
def test_what_steps_by_itself_gets_no_gradient():
    model = Model(usual(), Labels())
    model.let_step(*batches(1)[0])
    assert model.fused is not None
    assert model.fused.rest == [4, 5]  # of 48, 64 and 24 weights
    assert "forward" not in vars(model.module[0])


@pytest.mark.usefixtures("small_is_large")
@pytest.mark.parametrize("module", [Twice, Elsewhere, Tied])
def test_weights_that_are_used_twice_are_left_to_autograd(module):
    model = Model(module().double(), Labels(), torch.float64)
    model.let_step(*batches(1)[0])
    assert model.fused is None


@pytest.mark.usefixtures("small_is_large")
def test_a_module_that_fails_is_left_to_fail_in_training():
    model = Model(usual().double(), Labels(), torch.float64)
    model.let_step(torch.zeros(4, 5, dtype=torch.float64), torch.zeros(4, dtype=torch.int64))
    assert model.fused is None


def test_small_layers_are_left_to_autograd():
    model = Model(usual().double(), Labels(), torch.float64)
    model.let_step(*batches(1)[0])
    assert model.fused is None
