"""Your own local algorithm: a client that bounds its update and adds noise before it leaves the device.

Run it from the root of the project::

    fedscale run digits --plugin examples/own_algorithm.py

This is the mechanism of differentially private federated averaging without its accounting: nothing here says how much
privacy the noise buys.
"""

from __future__ import annotations

import torch

from fedscale import seeds
from fedscale.core.client import Client, ClientSamples, Model, TrainConf, TrainResult


class NoisyClient(Client):
    """Trains as usual, scales the update down to a norm of at most ``bound``, and adds Gaussian noise."""

    bound = 2.0
    noise = 0.002
    """Standard deviation of the noise on every element of the update."""

    def train(self, client_data: ClientSamples, model: Model, conf: TrainConf) -> TrainResult:
        """Train, clip, add noise. The noise comes from the task's own stream, so it is the same on any worker."""
        result = super().train(client_data, model, conf)
        norm = float(torch.linalg.vector_norm(result.delta))
        draw = seeds.rng(conf.seed, "noise", conf.task).normal(0, self.noise, len(result.delta))
        result.delta = result.delta * min(1.0, self.bound / max(norm, 1e-12)) + torch.from_numpy(draw).float()
        result.metrics["update_norm"] = norm
        return result
