"""Generated clients, for scale."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import EvaluateConf, Job, LocalConf, RoundsConf


def synthetic() -> Job:
    """A population of 100,000 generated clients with skewed sizes and labels, 100 a round."""
    return Job(
        name="synthetic",
        data=DataConf(name="synthetic", clients=100_000, size_skew=1.0, label_skew=0.5),
        local=LocalConf(steps=5, batch_size=20, lr=0.05),
        rounds=RoundsConf(participants=100, count=20),
        evaluate=EvaluateConf(every=5, max_clients=500),
    )
