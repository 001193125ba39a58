"""Puffer: throughput of video streams, by session."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import EvaluateConf, Job, LocalConf, RoundsConf


def puffer() -> Job:
    """Throughput of video streams, a session is a client; import the raw files first (`fedscale data import`)."""
    return Job(
        name="puffer",
        data=DataConf(name="puffer"),
        local=LocalConf(steps=20, batch_size=32, lr=0.04),
        rounds=RoundsConf(participants=100, count=300),
        evaluate=EvaluateConf(every=20, max_clients=2_000),
    )
