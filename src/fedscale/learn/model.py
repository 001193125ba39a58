"""A model as one flat vector: reset is one copy, an update one subtraction.

The vector holds the trainable parameters first and the floating-point buffers (BatchNorm statistics) after them. The
module's own tensors are views into it. Frozen parameters and integer buffers (counters) are not part of it.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

from fedscale.errors import JobError
from fedscale.learn.tasks import Task


class Model:
    """A module, its task, and its state as one float32 ``vector`` of ``parameters`` + buffer elements."""

    def __init__(self, module: nn.Module, task: Task) -> None:
        self.module = module
        self.task = task
        self.trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
        buffers = [buffer for buffer in module.buffers() if buffer.is_floating_point()]
        self._counters = [(buffer, buffer.clone()) for buffer in module.buffers() if not buffer.is_floating_point()]
        parts: list[Tensor] = [*self.trainable, *buffers]
        if not self.trainable or any(part.dtype != torch.float32 for part in parts):
            raise JobError("a model needs trainable parameters, and all of its parameters in float32")
        self.parameters = sum(parameter.numel() for parameter in self.trainable)
        self.vector = torch.cat([part.detach().reshape(-1) for part in parts])
        self.origin = self.vector.clone()
        offset = 0
        for part in parts:
            part.data = self.vector[offset : offset + part.numel()].view(part.shape)
            offset += part.numel()

    def load(self, vector: Tensor) -> None:
        """Become the model with this vector (the ``origin`` from now on), counters as at the beginning."""
        self.origin = vector
        self.vector.copy_(vector)
        for counter, initial in self._counters:
            counter.copy_(initial)

    def views(self, vector: Tensor) -> list[Tensor]:
        """Return ``vector``'s parts in the shapes of the trainable parameters."""
        parts = torch.split(vector[: self.parameters], [parameter.numel() for parameter in self.trainable])
        return [part.view(parameter.shape) for part, parameter in zip(parts, self.trainable, strict=True)]

    def loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the task's mean loss on a batch, differentiable."""
        return self.task.loss(self.module(inputs), targets)

    def named_tensors(self, vector: Tensor) -> dict[str, Tensor]:
        """Return the whole state under the module's own names, with ``vector`` in place."""
        self.load(vector)
        return {name: tensor.detach().clone().contiguous() for name, tensor in self.module.state_dict().items()}


def digest(vector: Tensor) -> str:
    """Return 32 hex digits over the bytes of a vector."""
    return hashlib.blake2b(vector.numpy().tobytes(), digest_size=16).hexdigest()
