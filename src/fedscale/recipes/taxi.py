"""Porto's taxis: destinations, by taxi."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import EvaluateConf, Job, LocalConf, RoundsConf


def taxi() -> Job:
    """Destinations of trips, a taxi is a client; import the raw files first (`fedscale data import`).

    There are 442 taxis, of which about 70 are online at a time, so that 20 take part in a round.
    """
    return Job(
        name="taxi",
        data=DataConf(name="taxi"),
        local=LocalConf(steps=20, batch_size=32, lr=0.02),
        rounds=RoundsConf(participants=20, count=300),
        evaluate=EvaluateConf(every=20),
    )
