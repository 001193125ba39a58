"""Chit-chat: the next word of participants, a small Reddit."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import EvaluateConf, Job, LocalConf, RoundsConf


def chitchat() -> Job:
    """Next word in chats that pip fetches, a small word LSTM, a participant is a client."""
    return Job(
        name="chitchat",
        data=DataConf(name="chitchat", max_samples=1_000),
        local=LocalConf(steps=10, batch_size=16, lr=1.0),
        rounds=RoundsConf(participants=50, count=200),
        evaluate=EvaluateConf(every=20),
    )
