"""How many workers share a device: worked out by hand, and for any course of events."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedscale.execute.packing import SHARE, Seat, seats
from fedscale.learn.devices import Usage


@dataclass(frozen=True)
class Devices:
    """A meter that only counts."""

    number: int

    def count(self):
        return self.number

    def environment(self, device):
        return {"DEVICE": str(device)}


def test_workers_are_dealt_out_and_each_device_begins_with_one():
    dealt = seats(Devices(3), 8)
    assert [seat.most for seat in dealt] == [3, 3, 2]
    assert [seat.now for seat in dealt] == [1, 1, 1]
    assert [seat.environment for seat in dealt] == [{"DEVICE": "0"}, {"DEVICE": "1"}, {"DEVICE": "2"}]


def test_devices_for_which_there_is_no_worker_are_not_used():
    assert [seat.most for seat in seats(Devices(4), 2)] == [1, 1]


@given(st.integers(1, 16), st.integers(1, 200))
def test_as_many_are_dealt_out_as_there_are(devices, workers):
    dealt = [seat.most for seat in seats(Devices(devices), workers)]
    assert sum(dealt) == workers
    assert max(dealt) - min(dealt) <= 1


def test_the_first_use_of_memory_says_how_many_join():
    seat = Seat(most=8)
    assert seat.measured(Usage(peak=3, room=16)) == 3  # 0.9 × 16 / 3 = 4.8: four in all
    assert (seat.now, seat.most) == (4, 4)
    assert seat.measured(Usage(peak=1, room=16)) == 0  # once is enough


@pytest.mark.parametrize(("peak", "room", "joining"), [(1, 1000, 7), (9, 10, 0), (100, 10, 0), (0, 0, 0), (0, 10, 7)])
def test_never_fewer_than_the_one_that_is_there_nor_more_than_asked_for(peak, room, joining):
    assert Seat(most=8).measured(Usage(peak, room)) == joining


def test_half_leave_when_memory_is_not_enough_and_nobody_comes_back():
    seat = Seat(most=5, now=5)
    assert [seat.exhausted(seat.most) for _ in range(3)] == [3, 1, 0]
    assert (seat.now, seat.most) == (1, 1)
    assert seat.measured(Usage(peak=1, room=1000)) == 0


def test_what_was_begun_among_more_workers_says_nothing():
    seat = Seat(most=8, now=8)
    assert [seat.exhausted(8), seat.exhausted(8), seat.exhausted(8)] == [4, 0, 0]
    assert seat.now == 4


def test_a_first_worker_without_memory_has_the_device_alone_from_then_on():
    seat = Seat(most=8)
    assert seat.exhausted(8) == 0
    assert (seat.now, seat.most) == (1, 1)


EVENTS = st.lists(
    st.one_of(
        st.builds(Usage, peak=st.integers(0, 100), room=st.integers(0, 1000)),
        st.integers(0, 3),  # exhausted: told of so many changes ago
    )
)


@given(st.integers(1, 64), EVENTS)
def test_whatever_happens_the_counts_are_right_and_it_comes_to_rest(most, events):
    seat, there, told, grown = Seat(most), 1, [most], 0
    for event in events:
        before = seat.most
        if isinstance(event, Usage):
            joining = seat.measured(event)
            grown += joining > 0
            assert joining == 0 or (there + joining) * event.peak <= SHARE * event.room
            there += joining
        else:
            there -= seat.exhausted(told[max(0, len(told) - 1 - event)])
        told.append(seat.most)
        assert seat.now == there >= 1
        assert there <= seat.most <= before
    assert grown <= 1
