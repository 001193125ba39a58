"""Single updates on disk: what goes in comes out, row by row and piece by piece."""

import pytest
import torch

from fedscale import limits
from fedscale.errors import JobError
from fedscale.learn.spool import Spool


@pytest.fixture
def make():
    spools = []

    def build(*arguments):
        spools.append(Spool(*arguments))
        return spools[-1]

    yield build
    for spool in spools:
        spool.close()


def test_updates_come_back_as_rows_and_as_columns(make):
    spool = make(4, 5)
    rows = {2: torch.arange(5.0), 0: torch.arange(5.0) * 10, 3: torch.full((5,), 7.0)}
    for row, delta in rows.items():
        spool.write(row, delta)
    updates = spool.updates([0, 2])
    assert len(updates) == 2
    assert [update.tolist() for update in updates] == [[0, 10, 20, 30, 40], [0, 1, 2, 3, 4]]
    pieces = list(updates.columns(2))
    assert [piece.shape for piece in pieces] == [(2, 2), (2, 2), (2, 1)]
    assert torch.equal(torch.cat(pieces, dim=1), torch.stack(list(updates)))
    updates[0][:] = 99  # a copy: what is kept is not changed
    assert updates[0].tolist() == [0, 10, 20, 30, 40]


def test_two_processes_can_look_at_one_file(make):
    first = make(2, 3)
    second = make(2, 3, first.file)
    second.write(1, torch.ones(3))
    assert first.updates([1])[0].tolist() == [1, 1, 1]


def test_what_would_be_too_large_is_refused_with_the_remedy(make, monkeypatch):
    monkeypatch.setattr(limits, "SPOOL_BYTES", 100)
    make(5, 5)
    with pytest.raises(JobError, match=r"take 104 B.* at most 100 B are kept; lower rounds\.participants"):
        Spool(2, 13)
