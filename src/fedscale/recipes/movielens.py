"""MovieLens: ratings, by viewer."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import EvaluateConf, Job, LocalConf, RoundsConf


def movielens() -> Job:
    """Ratings of films, a viewer is a client; the ratings are fetched by pip."""
    return Job(
        name="movielens",
        data=DataConf(name="movielens"),
        local=LocalConf(steps=20, batch_size=32, lr=0.1),
        rounds=RoundsConf(participants=50, count=100),
        evaluate=EvaluateConf(every=10),
    )
