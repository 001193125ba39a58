"""Fox Go: moves, by player."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import EvaluateConf, Job, LocalConf, RoundsConf


def foxgo() -> Job:
    """Moves in games of Go, a player is a client; import the raw files first (`fedscale data import`)."""
    return Job(
        name="foxgo",
        data=DataConf(name="foxgo", min_samples=20),
        local=LocalConf(steps=20, batch_size=32, lr=0.1),
        rounds=RoundsConf(participants=100, count=500),
        evaluate=EvaluateConf(every=20, max_clients=500),
    )
