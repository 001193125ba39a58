"""iNaturalist 2019: which species a photograph shows."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import Job, LocalConf, RoundsConf
from fedscale.section import Component


def inaturalist() -> Job:
    """Photographs of species, MobileNet-V2, a photographer is a client: settings of Appendix A, 1,000 rounds."""
    return Job(
        name="inaturalist",
        data=DataConf(name="inaturalist"),
        model=Component(name="mobilenet_v2"),
        local=LocalConf(steps=20, batch_size=32, lr=0.04),
        rounds=RoundsConf(participants=100, count=1_000),
    )
