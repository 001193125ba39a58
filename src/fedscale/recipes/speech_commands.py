"""Speech Commands: which of 35 words is said."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import Job, LocalConf, RoundsConf
from fedscale.section import Component


def speech_commands() -> Job:
    """35 spoken words as mel pictures, ResNet-34, a speaker is a client: settings of Appendix A, 500 rounds."""
    return Job(
        name="speech_commands",
        data=DataConf(name="speech_commands"),
        model=Component(name="resnet34"),
        local=LocalConf(steps=20, batch_size=32, lr=0.04),
        rounds=RoundsConf(participants=100, count=500),
    )
