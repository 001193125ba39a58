"""Stack Overflow: the tags of users' questions."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import EvaluateConf, Job, LocalConf, RoundsConf


def stackoverflow_tags() -> Job:
    """Tags of questions from their words, logistic regression on embeddings, a user is a client; import first."""
    return Job(
        name="stackoverflow_tags",
        data=DataConf(name="stackoverflow_tags", max_samples=1_000),
        local=LocalConf(steps=20, batch_size=32, lr=1.0),
        rounds=RoundsConf(participants=100, count=1000),
        evaluate=EvaluateConf(every=20, max_clients=1_000),
    )
