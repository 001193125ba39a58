"""An aggregator that needs every update: a coordinate-wise median, in one process and in several."""

import pytest

from fedscale import Job, resume, simulate
from fedscale.core.aggregator import Aggregator
from fedscale.report.log import read_log

MEDIAN = """
import torch
from fedscale.core.aggregator import Aggregator
from fedscale.core.client import Client

class Median(Aggregator):
    needs_updates = True

    def round_completion_handler(self, outcomes):
        assert len(outcomes.updates) == len(outcomes)
        median = torch.cat([columns.median(dim=0).values for columns in outcomes.updates.columns(7)])
        assert torch.equal(median, torch.stack(list(outcomes.updates)).median(dim=0).values)
        mean = sum(w.samples * u for w, u in zip(outcomes, outcomes.updates)) / outcomes.weight
        torch.testing.assert_close(mean, outcomes.mean_update)
        self.vector = self.vector + median
"""

BROKEN = """
class Broken(Client):
    def train(self, client_data, model, conf):
        result = super().train(client_data, model, conf)
        if conf.client % 5 == 0:
            result.delta[0] = float("nan")
        return result
"""


def job(plugin, **sections):
    values = {
        "data": {"name": "synthetic", "clients": 24, "samples": 20, "classes": 4, "size_skew": 1.0},
        "local": {"epochs": 1, "batch_size": 8, "lr": 0.1},
        "rounds": {"participants": 9, "over_commitment": 1.0, "count": 4},
        "availability": "off",
        "checkpoint_every": 1,
        "plugins": [plugin],
    }
    return Job.parse(values | sections)


@pytest.fixture(params=["", BROKEN], ids=["vectorised", "own train, broken updates"])
def plugin(request, tmp_path):
    path = tmp_path / "median.py"
    path.write_text(MEDIAN + request.param)
    return path


@pytest.mark.parametrize("workers", [2, pytest.param(3, marks=pytest.mark.soak)])
def test_a_median_of_the_updates(plugin, tmp_path, workers):
    runs = [simulate(job(plugin), tmp_path / f"run{count}", workers=count) for count in (1, workers)]
    assert len({run.log.read_bytes() for run in runs}) == 1
    commits = [record for record in read_log(runs[0].log) if record["kind"] == "commit"]
    assert len(commits) == 4
    assert commits[-1]["loss"] < commits[0]["loss"]


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.soak)])
def test_it_goes_on_after_a_stop(plugin, tmp_path, stop_after, workers):
    whole = simulate(job(plugin), tmp_path / "whole", workers=1)
    simulate(job(plugin), tmp_path / "parts", workers=workers, observer=stop_after(2))
    assert resume(tmp_path / "parts", workers=1).log.read_bytes() == whole.log.read_bytes()


def test_without_the_wish_no_updates_are_kept(tmp_path):
    class Content(Aggregator):
        def round_completion_handler(self, outcomes):
            super().round_completion_handler(outcomes)
            seen.append(outcomes.updates)

    seen = []
    simulate(job_without(tmp_path), tmp_path / "run", workers=1, aggregator=Content)
    assert seen == [None] * 4


def job_without(tmp_path):
    path = tmp_path / "empty.py"
    path.touch()
    return job(path)
