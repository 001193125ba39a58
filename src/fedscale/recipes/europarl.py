"""Europarl: speeches in another language."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import EvaluateConf, Job, LocalConf, RoundsConf


def europarl() -> Job:
    """French speeches into English, a small transformer, a speaker is a client; import the source files first."""
    return Job(
        name="europarl",
        data=DataConf(name="europarl"),
        local=LocalConf(steps=20, batch_size=16, lr=0.3),
        rounds=RoundsConf(participants=100, count=1000),
        evaluate=EvaluateConf(every=50, max_clients=200),
    )
