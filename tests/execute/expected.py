"""What every executor with workers must do."""

import numpy as np
import torch

from fedscale.outcomes import Fate


def check_same(local, there, vector, tasks):
    """See to it that two executors train, test and measure to the same bytes, in two rounds."""
    for _ in range(2):
        expected, found = local.train(vector, tasks), there.train(vector, tasks)
        assert torch.equal(expected.total, found.total)
        assert (expected.weight, expected.reports) == (found.weight, found.reports)
        vector = vector + expected.total / expected.weight
    clients = np.arange(20)
    assert local.test(vector, clients, 2)() == there.test(vector, clients, 2)()
    assert local.upload_sizes(vector, tasks) == there.upload_sizes(vector, tasks)


def check_one_failed(found, tasks, deaths):
    """See to it that one task was given up after it had ended so many workers, and that all others were folded."""
    (failed,) = [report for report in found.reports if report.fate is not None]
    assert failed.fate is Fate.FAILED
    assert f"ended {deaths} workers" in failed.why
    assert [report.task for report in found.reports] == [task.task for task in tasks]
    assert found.weight == sum(report.weight for report in found.reports)
