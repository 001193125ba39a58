"""Waymo: motion of agents, by scenario."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import EvaluateConf, Job, LocalConf, RoundsConf


def waymo() -> Job:
    """Ways of cars and people, a scenario is a client; import the raw files first (`fedscale data import`)."""
    return Job(
        name="waymo",
        data=DataConf(name="waymo"),
        local=LocalConf(steps=20, batch_size=32, lr=0.01),
        rounds=RoundsConf(participants=100, count=500),
        evaluate=EvaluateConf(every=20, max_clients=1_000),
    )
