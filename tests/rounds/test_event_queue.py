"""Events in total order, and the ledger's sums."""

from fedscale.outcomes import Fate
from fedscale.rounds.cost import Cost
from fedscale.rounds.events import Done, Lost, Tick
from fedscale.rounds.ledger import Ledger
from fedscale.rounds.queue import EventQueue


def test_at_the_same_instant_results_come_before_losses_and_losses_before_deadlines():
    queue = EventQueue()
    for event in (Tick(5, 1), Lost(5, 3), Done(5, 9), Done(5, 2), Done(4, 7), Lost(5, 1)):
        queue.push(event)
    popped = [queue.pop() for _ in range(len(queue))]
    assert popped == [Done(4, 7), Done(5, 2), Done(5, 9), Lost(5, 1), Lost(5, 3), Tick(5, 1)]


def test_what_is_kept_of_a_queue_is_in_order():
    """Columns of times, kinds (done 0, lost 1, deadline 2) and numbers: the same whatever came in first."""
    queue, again = EventQueue(), EventQueue()
    for event in (Done(4, 7), Tick(9, 1), Lost(5, 3), Done(7, 9)):
        queue.push(event)
    assert queue.state() == [[4, 5, 7, 9], [0, 1, 0, 2], [7, 3, 9, 1]]
    again.restore(queue.state())
    assert [again.pop() for _ in range(4)] == [Done(4, 7), Lost(5, 3), Done(7, 9), Tick(9, 1)]
    again.restore(EventQueue().state())
    assert len(again) == 0


def test_ledger_adds_up_and_survives_a_checkpoint():
    ledger = Ledger()
    ledger.charge(Fate.COMPLETED, Cost(1_000_000, 3_000_000, 1_000_000, 125_000, 125_000))
    ledger.charge(Fate.STRAGGLER, Cost(2_000_000, 5_000_000, 0, 125_000, 0))
    ledger.charge(Fate.DROPPED, Cost(2_000_000, 9_000_000, 0, 125_000, 0))
    other = Ledger()
    other.restore(ledger.state())
    record = other.record()
    assert record["selected"] == 3
    assert (record["completed"], record["straggler"], record["dropped"], record["failed"]) == (1, 1, 1, 0)
    assert (record["useful_seconds"], record["wasted_seconds"]) == (5.0, 18.0)
    assert (record["bytes_down"], record["bytes_up"]) == (375_000, 125_000)
    assert (record["wasted_bytes_down"], record["wasted_bytes_up"]) == (250_000, 0)
