"""What users' clients return: whatever it is, it becomes plain numbers, a failed or a rejected task."""

import numpy as np
import pytest
import torch

from fedscale.core.client import Client, TestResult, TrainResult
from fedscale.execute.base import Report
from fedscale.execute.messages import read_report, write_report
from fedscale.outcomes import Fate


class Returning(Client):
    """Trains as usual and changes the result."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def train(self, client_data, model, conf):
        return self.change(super().train(client_data, model, conf))


def changed(**values):
    def change(result):
        return TrainResult(**vars(result) | values)

    return change


@pytest.fixture
def train(here, vector, tasks):
    """Train three tasks with a changed result; return the reports and the folded sum."""

    def run(change, base=Returning):
        return here(program=lambda objective: base(change)).train(vector, tasks[:3])

    return run


def test_scalars_of_array_libraries_become_plain_numbers(train):
    plain = train(changed(loss=0.5, metrics={"norm": 1.5}))
    arrays = train(changed(loss=torch.tensor(0.5), metrics={"norm": np.float32(1.5)}))
    assert plain.reports == arrays.reports
    assert [type(arrays.reports[0].loss), type(arrays.reports[0].metrics["norm"])] == [float, float]


def test_an_update_that_is_still_part_of_a_graph_is_taken_out_of_it(train):
    expected = train(lambda result: result)
    found = train(lambda result: changed(delta=result.delta.clone().requires_grad_())(result))
    assert torch.equal(found.total, expected.total)
    assert not found.total.requires_grad


@pytest.mark.parametrize(
    ("change", "fate", "why"),
    [
        (changed(loss=None), Fate.FAILED, "TypeError: must be real number, not NoneType"),
        (changed(metrics={"mood": "good"}), Fate.FAILED, "ValueError: could not convert string to float: 'good'"),
        (changed(loss=float("nan")), Fate.REJECTED, "the training loss is not finite"),
        (lambda result: None, Fate.REJECTED, "train returned NoneType, not a TrainResult"),
        (lambda result: leave(), Fate.FAILED, "SystemExit: 3"),
        (lambda result: read_a_strange_file(), Fate.FAILED, "ValueError: no file \\udcff"),
    ],
    ids=["no loss", "metric that is no number", "loss not finite", "nothing", "exit", "text that is no UTF-8"],
)
def test_what_cannot_be_taken_is_a_fate_with_a_reason(train, vector, change, fate, why):
    found = train(change)
    assert [(report.fate, report.why) for report in found.reports] == [(fate, why)] * 3
    assert (found.weight, found.total.tolist()) == (0.0, [0.0] * len(vector))


def leave():
    raise SystemExit(3)


def read_a_strange_file():
    raise ValueError("no file \udcff")


class Compressing(Returning):
    def serialize_results(self, result):
        return self.change(result)


class Large(Compressing):
    def train(self, client_data, model, conf):
        return Client.train(self, client_data, model, conf)


@pytest.mark.parametrize(
    ("payload", "why"),
    [(lambda result: None, "'NoneType'"), (lambda result: "text", "'str'"), (lambda result: 1 / 0, "division")],
)
def test_a_result_that_cannot_be_sent_fails_when_priced_and_when_folded(here, vector, tasks, payload, why):
    executor = here(program=lambda objective: Large(payload))
    assert executor.upload_sizes(vector, tasks[:3]) == [0, 0, 0]
    reports = executor.train(vector, tasks[:3]).reports
    assert [report.fate for report in reports] == [Fate.FAILED] * 3
    assert why in reports[0].why


@pytest.mark.parametrize("payload", [b"12345", bytearray(5), memoryview(b"12345"), np.zeros(5, np.uint8)])
def test_uploads_are_measured_in_bytes(here, vector, tasks, payload):
    executor = here(program=lambda objective: Large(lambda result: payload))
    assert executor.upload_sizes(vector, tasks[:3]) == [5, 5, 5]


def test_reports_travel_as_plain_values(train):
    import json

    report = train(changed(metrics={"norm": np.float64(2)})).reports[0]
    for one in (report, Report(3), Report(4, fate=Fate.FAILED, why="no luck", trace="File ...", size=7)):
        assert read_report(json.loads(json.dumps(write_report(one)))) == one


class Counting(Client):
    def test(self, client_data, model, conf):
        return TestResult(np.int64(3), {"correct": torch.tensor(2), "loss": np.float32(0.5)})


def test_sums_of_array_libraries_become_plain_numbers(here, vector):
    (sums,) = here(program=lambda objective: Counting()).test(vector, np.array([4]), 0)()
    assert (sums.count, sums.sums) == (3, {"correct": 2, "loss": 0.5})
    assert [type(value) for value in (sums.count, *sums.sums.values())] == [int, int, float]
