"""Charades: what somebody does at home."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import Job, LocalConf, RoundsConf
from fedscale.section import Component


def charades() -> Job:
    """157 actions in eight frames of a video, a person is a client, 300 rounds of 30."""
    return Job(
        name="charades",
        data=DataConf(name="charades"),
        model=Component(name="video_cnn"),
        local=LocalConf(steps=20, batch_size=16, lr=0.04),
        rounds=RoundsConf(participants=30, count=300),
    )
