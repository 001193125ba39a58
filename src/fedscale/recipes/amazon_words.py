"""Amazon: the next word in reviewers' reviews."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import EvaluateConf, Job, LocalConf, RoundsConf


def amazon_words() -> Job:
    """Next word in reviews, a word LSTM, a reviewer is a client; import categories first."""
    return Job(
        name="amazon_words",
        data=DataConf(name="amazon_words"),
        local=LocalConf(steps=20, batch_size=16, lr=1.0),
        rounds=RoundsConf(participants=100, count=1000),
        evaluate=EvaluateConf(every=20, max_clients=1_000),
    )
