"""States of clients on disk, against a dictionary; and what an index of many takes."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedscale import limits
from fedscale.errors import DataError
from fedscale.learn.states import Places, States, open_states
from fedscale.report.checkpoint import load_newest, save_checkpoint

CLIENTS = st.lists(st.integers(0, 12), unique=True, max_size=6)
STEPS = st.lists(st.one_of(CLIENTS, st.sampled_from(["checkpoint", "resume"])), max_size=25)


def state_of(value, length=3):
    return torch.arange(length, dtype=torch.float32) + value


def resumed(folder):
    saved = load_newest(folder / "checkpoints", pytest.fail)
    return open_states(folder / "states", 3, saved)


def same(states, expected):
    places = states.places(range(-1, 14))
    found = {client: places.read(client) for client in range(-1, 14)}
    assert len(states) == len(expected)
    for client, state in found.items():
        assert state is None if client not in expected else torch.equal(state, expected[client]), client


@settings(max_examples=80, deadline=None)
@given(steps=STEPS, spare=st.sampled_from([0, 50, 10_000]))
def test_it_is_a_dictionary_that_goes_back_to_its_checkpoint(tmp_path_factory, steps, spare):
    folder = tmp_path_factory.mktemp("states")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "STATES_SPARE_BYTES", spare)
        states, now, kept = resumed(folder), {}, {}
        for number, step in enumerate(steps):
            if step == "checkpoint":
                save_checkpoint(folder / "checkpoints", number, {"states": states.saved()})
                states.forget()
                kept = dict(now)
            elif step == "resume":  # as after a kill: nothing is closed in good order
                states.close()
                states, now = resumed(folder), dict(kept)
            else:
                new = {client: state_of(100 * number + client) for client in step}
                states.put(list(new), new.values())
                now |= new
            same(states, now)
        states.close()


def test_most_of_a_file_counts_or_it_is_copied(tmp_path, monkeypatch):
    """16 bytes a row. With nothing to spare, four rows for two clients are allowed, the fifth is too much."""
    monkeypatch.setattr(limits, "STATES_SPARE_BYTES", 0)
    states = States(tmp_path, 3)
    files = []
    for number in range(4):
        states.put([7, 3] if number == 0 else [7], [state_of(number)] * (2 if number == 0 else 1))
        files.append({path.name[-5]: path.stat().st_size for path in tmp_path.iterdir()})
    assert files == [{"0": 32}, {"0": 48}, {"0": 64}, {"0": 80, "1": 32}]
    places = states.places([3, 7])
    assert places.rows == {3: 0, 7: 1}
    assert (places.read(3)[0], places.read(7)[0]) == (0, 3)
    states.close()


def test_a_file_is_kept_as_long_as_one_of_two_checkpoints_refers_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "STATES_SPARE_BYTES", 0)
    states = States(tmp_path, 3)
    left = []
    for number in range(1, 6):
        states.put([1], [state_of(number)])
        states.put([1], [state_of(number)])
        states.saved()
        states.forget()
        left.append(sorted(path.name[-5] for path in tmp_path.iterdir()))
    assert left == [["0"], ["0", "1"], ["1", "2"], ["2", "3"], ["3", "4"]]
    states.close()


def test_places_and_states_travel(tmp_path):
    states = States(tmp_path, 3)
    states.put([5, 2], [state_of(5), state_of(2)])
    places = Places.from_message(states.places([2, 5, 9]).message())
    assert [None if state is None else state.tolist() for state in map(places.read, (2, 5, 9))] == [
        [2, 3, 4],
        [5, 6, 7],
        None,
    ]
    fetched = places.fetch()
    assert (fetched.clients, fetched.values.tolist()) == ([2, 5], [[2, 3, 4], [5, 6, 7]])
    own = fetched.read(5)
    own.zero_()
    assert (fetched.read(5).tolist(), fetched.read(9)) == ([5, 6, 7], None)
    assert states.places([9]).fetch().values.shape == (0, 3)
    states.close()
    with (tmp_path / "states-00000000.bin").open("r+b") as file:
        file.truncate(31)
    with pytest.raises(DataError, match=r"row 0: the state of client 5 is damaged|row 1"):
        places.read(2)
    with pytest.raises(DataError, match="is damaged"):
        places.fetch()
    (tmp_path / "states-00000000.bin").unlink()
    with pytest.raises(DataError, match=r"states-00000000\.bin: cannot be read: No such file"):
        places.read(5)


def test_a_state_is_not_taken_for_that_of_another_client(tmp_path):
    states = States(tmp_path, 3)
    states.put([5], [state_of(5)])
    path = states.places([]).file
    with pytest.raises(DataError, match="row 0: the state of client 6 is damaged"):
        Places(path, 3, {6: 0}).read(6)
    states.close()


def test_memory_is_the_index_of_those_seen(tmp_path):
    """Of millions of clients 10,000 have a state of 1,000 numbers: 40 MB on disk, 16 bytes each in memory."""
    clients = np.arange(10_000) * 180 + 7
    states, zeros = States(tmp_path, 1000), torch.zeros(1000)
    tracemalloc.start()
    for begin in range(0, 10_000, 1000):
        states.put(clients[begin : begin + 1000].tolist(), [zeros] * 1000)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "states-00000000.bin").stat().st_size == 10_000 * 4004
    assert held < 500_000
    assert peak < 2_000_000
    assert len(states.places([7, 8, 187]).rows) == 2
    states.close()
