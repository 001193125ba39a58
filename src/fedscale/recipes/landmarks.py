"""Google Landmarks v2: which landmark a photograph shows."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import Job, LocalConf, RoundsConf
from fedscale.section import Component


def landmarks() -> Job:
    """Photographs of landmarks, MobileNet-V2, an author is a client: settings of Appendix A, 1,000 rounds."""
    return Job(
        name="landmarks",
        data=DataConf(name="landmarks"),
        model=Component(name="mobilenet_v2"),
        local=LocalConf(steps=20, batch_size=32, lr=0.04),
        rounds=RoundsConf(participants=100, count=1_000),
    )
