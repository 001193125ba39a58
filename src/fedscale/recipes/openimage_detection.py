"""Open Images: which objects are where in a photograph."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import Job, LocalConf, RoundsConf
from fedscale.section import Component


def openimage_detection() -> Job:
    """Boxes around objects, SSDLite, an author is a client: batches of 8 at a rate of 0.01, 1,000 rounds."""
    return Job(
        name="openimage_detection",
        data=DataConf(name="openimage_detection"),
        model=Component(name="ssdlite"),
        local=LocalConf(steps=20, batch_size=8, lr=0.01),
        rounds=RoundsConf(participants=100, count=1_000),
    )
