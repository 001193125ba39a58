"""A long run takes no more memory than a short one."""

import gc

import psutil
import pytest

from fedscale import Job, simulate
from fedscale.simulation.progress import Silent


class Watch(Silent):
    """Notes the memory of this process from time to time."""

    def __init__(self):
        self.resident = {}

    def attempt(self, progress):
        if progress.version % 500 == 0:
            gc.collect()
            self.resident[progress.version] = psutil.Process().memory_info().rss


@pytest.mark.soak
def test_5000_rounds_take_no_more_memory_than_1000(tmp_path):
    job = Job.parse(
        {
            "data": {"name": "synthetic", "clients": 50, "samples": 10},
            "local": {"steps": 1, "batch_size": 4},
            "rounds": {"participants": 5, "count": 5000},
            "evaluate": {"every": 50},
            "checkpoint_every": 100,
        }
    )
    watch = Watch()
    simulate(job, tmp_path / "run", workers=1, observer=watch)
    growth = (watch.resident[5000] - watch.resident[1000]) / 4000
    assert growth < 200, f"{growth:.0f} bytes a round: {watch.resident}"
