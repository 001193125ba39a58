"""CoQA: answers in stories."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import EvaluateConf, Job, LocalConf, RoundsConf


def coqa() -> Job:
    """Where in a story the answer is, a small transformer, a story is a client; import the two files first."""
    return Job(
        name="coqa",
        data=DataConf(name="coqa"),
        local=LocalConf(steps=20, batch_size=8, lr=0.1),
        rounds=RoundsConf(participants=100, count=500),
        evaluate=EvaluateConf(every=20),
    )
