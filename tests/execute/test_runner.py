"""What a runner sees to before it trains: the data of a block is asked for, and large layers are tried out."""

import torch

from fedscale.data.store import StoredRows
from fedscale.execute.inprocess import InProcess
from fedscale.execute.plan import Planner
from fedscale.execute.spec import build_runner
from fedscale.learn import fused


def test_what_the_clients_of_a_block_have_is_asked_for_at_its_start(make_spec, dataset, vector, tasks, monkeypatch):
    asked = []
    monkeypatch.setattr(StoredRows, "prefetch", lambda self, clients: asked.append(list(clients)))
    planner = Planner(dataset.counts, 4)
    here = InProcess(build_runner(make_spec()), planner)
    here.train(vector, tasks)
    assert asked == [[conf.client for conf in block] for block in planner.blocks(tasks)]
    asked.clear()
    here.test(vector, dataset.counts.argsort()[:3], 0)()
    assert asked == [dataset.counts.argsort()[:3].tolist()]


def test_large_layers_step_by_themselves_in_plain_training(make_spec, dataset, vector, tasks, monkeypatch):
    planner = Planner(dataset.counts, 4)
    expected = InProcess(build_runner(make_spec()), planner).train(vector, tasks)
    monkeypatch.setattr(fused, "LARGE", 1)
    entered, at = [], fused.Fused.at
    monkeypatch.setattr(fused.Fused, "at", lambda self, sgd, start: entered.append(sgd) or at(self, sgd, start))
    found = InProcess(build_runner(make_spec()), planner).train(vector, tasks)
    assert len(entered) == 1 + len(tasks)  # the trial, and every task
    assert [report.fate for report in found.reports] == [None] * len(tasks)
    torch.testing.assert_close(found.total, expected.total)
