"""FEMNIST: which digit or letter a writer wrote."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import Job, LocalConf, RoundsConf
from fedscale.section import Component


def femnist() -> Job:
    """62 handwritten characters, ResNet-18, a writer is a client: settings of Appendix A, 500 rounds."""
    return Job(
        name="femnist",
        data=DataConf(name="femnist"),
        model=Component(name="resnet18"),
        local=LocalConf(steps=20, batch_size=32, lr=0.04),
        rounds=RoundsConf(participants=100, count=500),
    )
