"""The three clients of the worked case as a job."""

import pytest
import yaml
from worked import DEVICES, SLOTS

from fedscale.report.check import check_log


@pytest.fixture
def three_clients(tmp_path):
    """Write the case's tables and job; changes are settings, or other tables."""

    def make(devices=DEVICES, slots=SLOTS, **changes):
        (tmp_path / "devices.csv").write_text(devices)
        (tmp_path / "slots.csv").write_text(slots)
        job = {
            "name": "three-clients",
            "data": {
                "name": "synthetic",
                "sizes": [100] * (len(devices.splitlines()) - 1),
                "split": {"train": 1.0, "validation": 0.0, "test": 0.0},
            },
            "local": {"steps": 5, "batch_size": 20},
            "rounds": {"participants": 2, "over_commitment": 1.3, "count": 3, **changes},
            "devices": {"source": "csv", "file": "devices.csv", "assign": "in_order"},
            "availability": {"source": "csv", "file": "slots.csv", "assign": "in_order"},
            "cost": {"payload_bytes": 125_000},
        }
        path = tmp_path / "job.yaml"
        path.write_text(yaml.safe_dump(job))
        return path

    return make


@pytest.fixture(autouse=True)
def every_log_adds_up(tmp_path):
    """Check the log of every run that a test made."""
    yield
    for log in tmp_path.rglob("log.jsonl"):
        assert check_log(log).ok, log
