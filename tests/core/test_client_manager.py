"""The client manager by itself: who is online among those who may take part, and what it refuses."""

import numpy as np
import pytest

from fedscale.core.client_manager import ClientManager, participants
from fedscale.errors import RunError
from fedscale.select.uniform import Uniform
from fedscale.traces.availability import Availability
from fedscale.traces.devices import Devices
from fedscale.traces.population import Population
from fedscale.units import MICROS


@pytest.fixture
def population():
    """Six clients; client i is online from second i to second i + 10 of 20."""
    begin = np.arange(6) * MICROS
    slots = Availability.from_slots(np.arange(6), begin, begin + 10 * MICROS, np.full(6, 20 * MICROS))
    return Population(Devices(np.ones(1), np.ones(1), np.ones(1)), np.zeros(6, np.int64), slots, np.arange(6))


def manager(population, clients, kind=ClientManager):
    return kind(population, np.array(clients), Uniform(), 1)


def test_online_are_those_who_may_take_part_at_any_times(population):
    found = manager(population, [0, 2, 3, 5])
    expected = {0: [0], 3: [0, 2, 3], 2.5: [0, 2], 10: [2, 3, 5], 14.999999: [5], 15: [], 20: [0], 9: [0, 2, 3, 5]}
    for time, clients in expected.items():
        assert found.online(time).tolist() == clients
        assert found.online(time) is found.online(time)


def test_what_is_online_cannot_be_written_to(population):
    with pytest.raises(ValueError, match="read-only"):
        manager(population, [0, 1]).online(1)[0] = 5


def test_a_subclass_may_change_who_takes_part(population):
    found = manager(population, range(6))
    assert found.online(5).tolist() == [0, 1, 2, 3, 4, 5]
    found.clients = np.array([1, 4])
    assert found.online(5).tolist() == [1, 4]


def test_participants_are_plain_numbers(population):
    chosen = participants(manager(population, range(6)), 4, 9, [])
    assert len(chosen) == 4
    assert all(type(client) is int for client in chosen)
    assert participants(manager(population, [5]), 4, 0, []) == []


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ([0, 4, 7, -1], "that do not take part in training: -1, 4, 7"),
        (range(100, 110), "training: 100, 101, 102, 103, 104 and 5 more"),
        ([0, 1, 3], "that are not online at 1 s: 3"),
        ([1 << 70], "a sequence of client numbers is wanted"),
        ([0.5], "a sequence of client numbers is wanted"),
        (None, "a sequence of client numbers is wanted"),
    ],
)
def test_others_are_refused(population, chosen, message):
    class Odd(ClientManager):
        def select_participants(self, num_of_clients, cur_time, feedbacks):
            return chosen

    with pytest.raises(RunError, match=message):
        participants(manager(population, [0, 1, 2, 3, 5], Odd), 3, 1, [])
