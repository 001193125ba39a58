"""LibriTTS: how a sentence sounds."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import Job, LocalConf, RoundsConf
from fedscale.section import Component


def libritts() -> Job:
    """Mel spectrograms of sentences of audiobooks, a reader is a client, 300 rounds of 50."""
    return Job(
        name="libritts",
        data=DataConf(name="libritts"),
        model=Component(name="mel_decoder"),
        local=LocalConf(steps=20, batch_size=8, lr=0.1),
        server=Component.model_validate({"name": "fedadam", "lr": 0.003}),
        rounds=RoundsConf(participants=50, count=300),
    )
