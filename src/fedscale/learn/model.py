"""A model as one flat vector: reset is one copy, an update one subtraction.

`Learner` is all that the rest of FedScale knows of a model; `Model` is the one for torch. Another library takes part by
a class with the same members (`fedscale.learn.jax_model` is one).

The vector of a torch model holds the trainable parameters first and the floating-point buffers (BatchNorm statistics)
after them. The module's own tensors are views into it. Frozen parameters and integer buffers (counters) are not part of
it.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from fedscale.errors import JobError
from fedscale.learn import plain
from fedscale.learn.adapters.base import Adapters
from fedscale.learn.conf import TrainConf
from fedscale.learn.devices import Batch, placed, put, seed_layers
from fedscale.learn.fused import Fused, fuse
from fedscale.learn.objectives import Objective
from fedscale.learn.tasks import Task

Batches = Iterable[Batch]


class Learner(Protocol):
    """A model of any library: flat parameters, local training, predictions.

    Attributes:
        task: what it is trained for; it makes the batches.
        vector: its state, one float32 vector.
        origin: the vector that was loaded.
        parameters: how many of the vector's first elements are trainable.
    """

    task: Task
    vector: Tensor
    origin: Tensor
    parameters: int

    def check_objective(self, objective: Objective) -> None:
        """Raise a `JobError` if it cannot be trained with ``objective``."""
        ...

    def load(self, vector: Tensor) -> None:
        """Become the model with this vector, the ``origin`` from now on."""
        ...

    def fit(self, batches: Batches, objective: Objective, conf: TrainConf) -> float:
        """Take one step of SGD per batch; return the mean loss per sample."""
        ...

    def measure(self, batches: Batches) -> tuple[int, dict[str, Any]]:
        """Test on ``batches``: how many predictions, and sums over them; see `Task.sums`."""
        ...

    def named_tensors(self, vector: Tensor) -> dict[str, Tensor]:
        """Return the whole state by name, with ``vector`` in place: what ``model.safetensors`` holds."""
        ...


class Model:
    """A module, its task, and its state as one float32 ``vector`` of ``parameters`` + buffer elements.

    Args:
        module: with ``adapters`` in it, if there are any.
        task: what it is trained for.
        dtype: of all that is in the vector.
        adapters: that ``module`` was given.
    """

    def __init__(
        self, module: nn.Module, task: Task, dtype: torch.dtype = torch.float32, adapters: Adapters | None = None
    ) -> None:
        self.module = module
        self.task = task
        self.adapters = adapters
        self.trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
        buffers = [buffer for buffer in module.buffers() if buffer.is_floating_point()]
        self._counters = [(buffer, buffer.clone()) for buffer in module.buffers() if not buffer.is_floating_point()]
        parts: list[Tensor] = [*self.trainable, *buffers]
        if not self.trainable or any(part.dtype != dtype for part in parts):
            name = str(dtype).removeprefix("torch.")
            raise JobError(f"a model needs trainable parameters, and all of its parameters in {name}")
        self.parameters = sum(parameter.numel() for parameter in self.trainable)
        self.vector = torch.cat([part.detach().reshape(-1) for part in parts])
        self.origin = self.vector.clone()
        offset = 0
        for part in parts:
            part.data = self.vector[offset : offset + part.numel()].view(part.shape)
            offset += part.numel()
        self.fused: Fused | None = None
        self.narrower: Callable[[float], Model] | None = None

    def let_step(self, inputs: Tensor, targets: Tensor) -> None:
        """Have large linear layers step by themselves in plain training, if a trial on a batch confirms them."""

        def loss(module: nn.Module) -> Tensor:
            seed_layers(self.device, 0)
            return self.task.loss(module(inputs), targets)

        inputs, targets = self.placed(inputs, targets)
        self.fused = fuse(self.module, loss)

    def narrowed(self, width: float) -> Model:
        """Return a model with this share of the units of every hidden layer; see `fedscale.learn.narrow`.

        Raises:
            JobError: there is none.
        """
        if self.narrower is None:
            raise JobError(f"this model cannot be narrowed to {width:g} of its width: no factory of it is known")
        return self.narrower(width)

    def check_objective(self, objective: Objective) -> None:
        """Every objective is made for torch."""

    def load(self, vector: Tensor) -> None:
        """Become the model with this vector (the ``origin`` from now on), counters as at the beginning."""
        self.origin = vector
        self.vector.copy_(vector)
        for counter, initial in self._counters:
            counter.copy_(initial)

    @property
    def device(self) -> torch.device:
        """Where its tensors live."""
        return self.vector.device

    def placed(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return a batch where the model is, and of its precision."""
        return put(inputs, self.vector), put(targets, self.vector)

    def views(self, vector: Tensor) -> list[Tensor]:
        """Return ``vector``'s parts in the shapes of the trainable parameters."""
        parts = torch.split(vector[: self.parameters], [parameter.numel() for parameter in self.trainable])
        return [part.view(parameter.shape) for part, parameter in zip(parts, self.trainable, strict=True)]

    def places(self) -> dict[str, slice]:
        """Return where the vector holds each trainable parameter and floating-point buffer, by the module's names."""
        trained = [(name, value) for name, value in self.module.named_parameters() if value.requires_grad]
        buffers = [(name, value) for name, value in self.module.named_buffers() if value.is_floating_point()]
        parts: list[tuple[str, Tensor]] = [*trained, *buffers]
        ends = itertools.accumulate(value.numel() for _, value in parts)
        return {name: slice(end - value.numel(), end) for (name, value), end in zip(parts, ends, strict=True)}

    def loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the task's mean loss on a batch, differentiable."""
        return self.task.loss(self.module(inputs), targets)

    def fit(self, batches: Batches, objective: Objective, conf: TrainConf) -> float:
        """Train by the plain engine; see `fedscale.learn.plain`."""
        return plain.train(self, placed(batches, self.vector), objective, conf)

    def measure(self, batches: Batches) -> tuple[int, dict[str, Any]]:
        """Test on ``batches``; see `Learner.measure`."""
        self.module.train(mode=False)
        count, sums = 0, dict[str, Any]()
        with torch.no_grad():
            for inputs, targets in placed(batches, self.vector):
                predictions, parts = self.task.sums(self.task.predict(self.module, inputs, targets), targets)
                count += predictions
                sums = {name: sums.get(name, 0) + value for name, value in parts.items()}
        return count, sums

    def named_tensors(self, vector: Tensor) -> dict[str, Tensor]:
        """Return the whole state under the module's own names, with ``vector`` in place and adapters merged."""
        self.load(vector)
        state = self.module.state_dict() if self.adapters is None else self.adapters.merged(self.module)
        return {name: tensor.detach().clone().contiguous() for name, tensor in state.items()}

    def adapter_tensors(self, vector: Tensor) -> dict[str, Tensor]:
        """Return what is trained instead of the model, and nothing of the frozen base; nothing without adapters."""
        if self.adapters is None:
            return {}
        values = dict(self.module.named_parameters()) | dict(self.module.named_buffers())
        return {name: vector[place].view(values[name].shape).clone() for name, place in self.places().items()}

    @property
    def frozen_bytes(self) -> int:
        """What of the whole state is not in the vector, and not drawn by the seed either, as adapters are."""
        state, travelling = self.named_tensors(self.vector.clone()), self.places()
        return sum(value.nbytes for name, value in state.items() if name not in travelling)


def clustered_tensors(named: Callable[[Tensor], dict[str, Tensor]], vector: Tensor, clusters: int) -> dict[str, Tensor]:
    """Return what is ``named`` of the models of all clusters, with ``cluster_0.`` and so on before the names."""
    if clusters == 1:
        return named(vector)
    return {
        f"cluster_{cluster}.{name}": tensor
        for cluster, part in enumerate(vector.view(clusters, -1))
        for name, tensor in named(part).items()
    }


def digest(vector: Tensor) -> str:
    """Return 32 hex digits over the bytes of a vector."""
    return hashlib.blake2b(vector.contiguous().numpy().data, digest_size=16).hexdigest()
