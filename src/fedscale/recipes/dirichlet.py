"""Generated clients that hardly share a label, to compare algorithms on."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import AvailabilityConf, EvaluateConf, Job, LocalConf, RoundsConf
from fedscale.section import Component


def dirichlet() -> Job:
    """Generated clients that hardly share a label (Dirichlet, α = 0.1), everybody online; seconds, to compare on."""
    return Job(
        name="dirichlet",
        data=DataConf(
            name="synthetic",
            clients=500,
            samples=100,
            size_skew=0.5,
            classes=20,
            label_skew=0.1,
            shape=[32],
            noise=2.5,
        ),
        model=Component(name="mlp", hidden=64),
        local=LocalConf(steps=20, batch_size=20, lr=0.1),
        rounds=RoundsConf(participants=20, count=100),
        availability=AvailabilityConf(source="none"),
        evaluate=EvaluateConf(every=2),
    )
