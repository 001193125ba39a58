"""VLOG: in which room a clip plays."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import Job, LocalConf, RoundsConf
from fedscale.section import Component


def vlog() -> Job:
    """Rooms in eight frames of clips of video diaries, an uploader of 7 or more is a client, 300 rounds of 100."""
    return Job(
        name="vlog",
        data=DataConf(name="vlog", min_samples=7),
        model=Component(name="video_cnn"),
        local=LocalConf(steps=20, batch_size=32, lr=0.04),
        rounds=RoundsConf(participants=100, count=300),
    )
