"""Common Voice: what is read aloud."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import Job, LocalConf, RoundsConf
from fedscale.section import Component


def common_voice() -> Job:
    """Sentences read aloud, transcribed by a small recurrent network, a contributor is a client, 500 rounds of 50."""
    return Job(
        name="common_voice",
        data=DataConf(name="common_voice"),
        model=Component(name="ctc_gru"),
        local=LocalConf(steps=20, batch_size=8, lr=0.1),
        server=Component.model_validate({"name": "fedadam", "lr": 0.003}),
        rounds=RoundsConf(participants=50, count=500),
    )
