"""The runtime's own share: rounds by FedScale against the same steps by a bare PyTorch loop.

Both run in one process on one thread, turn by turn, so that a machine that speeds up or slows down does so for both.
FedScale's side is a whole simulated job in process: selection, traces, pricing, events, training, admission, folding,
server step and log. The bare side is as lean as we can write it, on tensors that are ready in memory.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fedscale import Job, load_dataset, simulate
from fedscale.learn.build import build_model
from fedscale.simulation.progress import Progress, Silent

STEPS, BATCH, LR = 5, 20, 0.01


@dataclass
class Bare(Silent):
    """Runs a bare round after each of FedScale's, and times both."""

    model: torch.nn.Module
    clients: list[tuple[Tensor, Tensor]]
    ours: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    _since: float = 0.0

    def start(self) -> None:
        """Begin to time FedScale's first round."""
        self._since = time.perf_counter()

    def attempt(self, progress: Progress) -> None:
        """Stop FedScale's watch, run and time the bare round, start FedScale's watch again."""
        self.ours.append(time.perf_counter() - self._since)
        begin = time.perf_counter()
        bare_round(self.model, self.clients)
        self.bare.append(time.perf_counter() - begin)
        self._since = time.perf_counter()


def bare_round(model: torch.nn.Module, clients: list[tuple[Tensor, Tensor]]) -> None:
    """Train every client from the same parameters and add up the deltas: nothing else."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    parameters = list(model.parameters())
    start = [parameter.detach().clone() for parameter in parameters]
    total = [torch.zeros_like(parameter) for parameter in parameters]
    for x, y in clients:
        with torch.no_grad():
            for parameter, origin in zip(parameters, start, strict=True):
                parameter.copy_(origin)
        order = torch.randperm(len(x))
        for step in range(STEPS):
            rows = order[torch.arange(step * BATCH, (step + 1) * BATCH) % len(x)]
            loss = functional.cross_entropy(model(x[rows]), y[rows])
            gradients = torch.autograd.grad(loss, parameters)
            with torch.no_grad():
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter.add_(gradient, alpha=-LR)
        with torch.no_grad():
            for parameter, origin, part in zip(parameters, start, total, strict=True):
                part.add_(parameter - origin, alpha=float(len(x)))
    with torch.no_grad():
        for parameter, origin, part in zip(parameters, start, total, strict=True):
            parameter.copy_(origin + part / len(clients))
    torch.set_num_threads(threads)


def measure(model: str, participants: int, rounds: int) -> tuple[float, float, list[float]]:
    """Return median seconds per round of FedScale and of the bare loop, and the ratio of each pair of rounds."""
    data = {"name": "synthetic", "clients": 3 * participants, "samples": 100.0, "classes": 62, "shape": [28, 28]}
    job = Job.parse(
        {
            "data": {**data, "split": {"train": 1.0, "validation": 0.0, "test": 0.0}},
            "model": {"name": model},
            "local": {"steps": STEPS, "batch_size": BATCH, "lr": LR},
            "rounds": {"participants": participants, "count": rounds + 1, "over_commitment": 1.3},
            "availability": "off",
            "checkpoint_every": 1000,
        }
    )
    dataset = load_dataset(**{**data, "shape": (28, 28)})
    clients = [dataset.client(index).columns for index in range(participants)]
    tensors = [(torch.tensor(np.asarray(c["x"])), torch.tensor(np.asarray(c["y"], dtype=np.int64))) for c in clients]
    watch = Bare(build_model(dataset.card, job.model, 1).module, tensors)
    with tempfile.TemporaryDirectory() as folder:
        watch.start()
        simulate(job, Path(folder) / "run", workers=1, observer=watch)
    ours, bare = watch.ours[1:], watch.bare[1:]  # the first round loads and warms up
    ratios = [one / other for one, other in zip(ours, bare, strict=True)]
    return statistics.median(ours), statistics.median(bare), ratios
