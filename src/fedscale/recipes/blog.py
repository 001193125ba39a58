"""Blogs: the next word in bloggers' posts."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import EvaluateConf, Job, LocalConf, RoundsConf


def blog() -> Job:
    """Next word in blogs, a word LSTM, a blogger is a client; import the corpus first."""
    return Job(
        name="blog",
        data=DataConf(name="blog"),
        local=LocalConf(steps=20, batch_size=16, lr=1.0),
        rounds=RoundsConf(participants=100, count=1000),
        evaluate=EvaluateConf(every=20, max_clients=1_000),
    )
