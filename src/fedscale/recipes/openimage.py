"""Open Images: which object is in a part of a photograph."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import Job, LocalConf, RoundsConf
from fedscale.section import Component


def openimage() -> Job:
    """Objects cut out of photographs, ShuffleNet-V2, an author is a client: settings of Appendix A, 1,000 rounds."""
    return Job(
        name="openimage",
        data=DataConf(name="openimage"),
        model=Component(name="shufflenet_v2"),
        local=LocalConf(steps=20, batch_size=32, lr=0.04),
        rounds=RoundsConf(participants=100, count=1_000),
    )
