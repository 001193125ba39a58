"""Stack Overflow: the next word in users' posts."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import EvaluateConf, Job, LocalConf, RoundsConf


def stackoverflow() -> Job:
    """Next word in questions and answers, a word LSTM, a user is a client; import the raw files first."""
    return Job(
        name="stackoverflow",
        data=DataConf(name="stackoverflow", max_samples=1_000),
        local=LocalConf(steps=20, batch_size=16, lr=1.0),
        rounds=RoundsConf(participants=100, count=1000),
        evaluate=EvaluateConf(every=20, max_clients=1_000),
    )
