"""Taobao: clicks on advertisements, by user."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import EvaluateConf, Job, LocalConf, RoundsConf


def taobao() -> Job:
    """Clicks on advertisements, a user is a client; import the raw files first (`fedscale data import`)."""
    return Job(
        name="taobao",
        data=DataConf(name="taobao", min_samples=2),
        local=LocalConf(steps=20, batch_size=32, lr=0.1),
        rounds=RoundsConf(participants=100, count=500),
        evaluate=EvaluateConf(every=20, max_clients=5_000),
    )
