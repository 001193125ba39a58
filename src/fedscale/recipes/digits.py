"""The smallest set: seconds a run."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import AvailabilityConf, EvaluateConf, Job, LocalConf, RoundsConf
from fedscale.section import Component


def digits() -> Job:
    """Handwritten 8×8 digits of 14 forms, a small CNN, 20 rounds: seconds, for trying things out.

    Availability is switched off: of so few clients, two or three would be online at a time.
    """
    return Job(
        name="digits",
        data=DataConf(name="digits"),
        model=Component(name="cnn", channels=8),
        local=LocalConf(steps=20, batch_size=16, lr=0.1),
        rounds=RoundsConf(participants=4, count=20),
        availability=AvailabilityConf(source="none"),
        evaluate=EvaluateConf(every=5),
    )
