"""Lines that wait to be written."""

import pytest

from fedscale.outcomes import Fate
from fedscale.report import recorder as recording
from fedscale.report.log import LogWriter, read_log
from fedscale.report.recorder import Recorder, TaskFacts
from fedscale.rounds.cost import Cost
from fedscale.rounds.events import Abandon
from fedscale.rounds.ledger import Ledger


def closed(task):
    cost = Cost(1_000_000, 2_000_000, 3_000_000, 10, 20)
    return TaskFacts(task, task, 0, 0, 0, cost, 5, end=4_000_000, fate=Fate.DROPPED)


@pytest.fixture
def recorder(tmp_path):
    made = Recorder(LogWriter(tmp_path / "log.jsonl"), Ledger())
    yield made
    made.log.close()


def kinds(recorder, tmp_path):
    recorder.log.sync()
    return [(line["kind"], line.get("task")) for line in read_log(tmp_path / "log.jsonl")]


def test_lines_of_an_attempt_wait_until_the_next_at_the_latest(recorder, tmp_path):
    recorder.tasks([closed(0), closed(1)])
    assert kinds(recorder, tmp_path) == []
    assert recorder.ledger.fates[Fate.DROPPED] == 2
    assert recorder.ledger.wasted == 8_000_000
    recorder.abandon(Abandon(4_000_000, 0, 0, 0, 1, "all dropped"))
    recorder.tasks([closed(2)])
    written = [("task", 0), ("task", 1), ("abandon", None)]
    assert kinds(recorder, tmp_path) == written
    recorder.write()
    recorder.write()
    assert kinds(recorder, tmp_path) == [*written, ("task", 2)]


def test_an_evaluation_stands_before_the_lines_that_it_held_back(recorder, tmp_path):
    recorder.hold()
    recorder.jump(0, 5)
    recorder.write()
    assert kinds(recorder, tmp_path) == []
    recorder.evaluate(1, 0, "test", recording.Tested([3], [2], {"correct": [1.0]}, {"accuracy": 0.5}))
    recorder.write()
    assert kinds(recorder, tmp_path) == [("evaluate", None), ("jump", None)]
