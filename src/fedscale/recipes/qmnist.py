"""QMNIST: handwritten digits by writer."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import Job, LocalConf, RoundsConf


def qmnist() -> Job:
    """Handwritten 28×28 digits, a writer is a client; import the raw files first (`fedscale data import`)."""
    return Job(
        name="qmnist",
        data=DataConf(name="qmnist"),
        local=LocalConf(steps=5, batch_size=20, lr=0.05),
        rounds=RoundsConf(participants=30, count=50),
    )
