"""Amazon: stars of reviewers' reviews."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import EvaluateConf, Job, LocalConf, RoundsConf


def amazon() -> Job:
    """Stars of reviews, logistic regression on embeddings, a reviewer is a client; import categories first."""
    return Job(
        name="amazon",
        data=DataConf(name="amazon"),
        local=LocalConf(steps=20, batch_size=32, lr=1.0),
        rounds=RoundsConf(participants=100, count=500),
        evaluate=EvaluateConf(every=20, max_clients=5_000),
    )
