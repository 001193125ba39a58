"""The coordinator of synchronous rounds: events in, commands out."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fedscale.errors import RunError
from fedscale.outcomes import Fate
from fedscale.rounds.events import (
    Abandon,
    Close,
    Commit,
    Done,
    Evaluate,
    Fold,
    Folded,
    Lost,
    Ready,
    Start,
    Stop,
    Tick,
    Wait,
)
from fedscale.rounds.sync import SyncPolicy, SyncRounds
from fedscale.units import NEVER


def make(clients=range(100), **changes):
    values = {
        "participants": 2,
        "over_commitment": 1.5,
        "deadline": None,
        "min_share": 0.0,
        "rounds": 3,
        "max_time": NEVER,
        "evaluate_every": 2,
    } | changes
    return SyncRounds(SyncPolicy(**values), lambda wanted, now: list(clients)[:wanted])


def kinds(commands):
    return [type(command) for command in commands]


def test_asks_for_the_over_committed_number_rounded_up():
    assert make(participants=2, over_commitment=1.3).policy.wanted == 3
    assert make(participants=50, over_commitment=1.1).policy.wanted == 55  # 1.1 * 50 is 55.00000000000001
    assert make(participants=100, over_commitment=1.3).policy.wanted == 130
    assert make(participants=7, over_commitment=1.0).policy.wanted == 7


def test_first_finishers_make_a_version_and_the_rest_are_stragglers():
    rounds = make()
    assert rounds.handle(Ready(0)) == [Start(0, 1, 0, 3, (0, 1, 2), (0, 1, 2), None)]
    assert rounds.handle(Done(5, 2)) == []
    assert rounds.handle(Done(7, 0)) == [Close(7, 1, Fate.STRAGGLER), Fold(7, 1, (0, 2))]
    assert rounds.handle(Folded(7, 1, {})) == [
        Close(7, 0, Fate.COMPLETED),
        Close(7, 2, Fate.COMPLETED),
        Commit(7, 1, 1, (0, 2)),
    ]
    assert rounds.handle(Ready(7)) == [Start(7, 2, 1, 3, (3, 4, 5), (0, 1, 2), None)]


def test_when_all_are_closed_the_round_ends_with_what_it_has():
    rounds = make()
    rounds.handle(Ready(0))
    assert rounds.handle(Lost(1, 0)) == [Close(1, 0, Fate.DROPPED)]
    assert rounds.handle(Done(2, 1)) == []
    assert rounds.handle(Lost(3, 2)) == [Close(3, 2, Fate.DROPPED), Fold(3, 1, (1,))]


def test_without_a_result_the_attempt_is_abandoned():
    rounds = make(clients=[4])
    rounds.handle(Ready(0))
    closed, abandoned = rounds.handle(Lost(9, 0))
    assert closed == Close(9, 0, Fate.DROPPED)
    assert abandoned == Abandon(9, 1, 0, 0, 1, "too few clients completed")
    assert rounds.version == 0
    assert rounds.idle


def test_the_deadline_ends_a_round_with_enough_results():
    rounds = make(deadline=10, min_share=0.5)
    assert rounds.handle(Ready(5))[0].deadline == 15
    rounds.handle(Done(6, 1))
    assert rounds.handle(Tick(15, 1)) == [
        Close(15, 0, Fate.STRAGGLER),
        Close(15, 2, Fate.STRAGGLER),
        Fold(15, 1, (1,)),
    ]


def test_the_deadline_abandons_a_round_below_its_minimum_and_cancels_what_arrived():
    rounds = make(deadline=10, min_share=1.0)
    rounds.handle(Ready(0))
    rounds.handle(Done(6, 1))
    assert rounds.handle(Tick(10, 1)) == [
        Close(10, 0, Fate.STRAGGLER),
        Close(10, 2, Fate.STRAGGLER),
        Close(10, 1, Fate.CANCELLED),
        Abandon(10, 1, 0, 1, 2, "too few clients completed"),
    ]


def test_a_deadline_of_an_attempt_that_is_over_changes_nothing():
    rounds = make(deadline=10)
    rounds.handle(Ready(0))
    rounds.handle(Done(1, 0))
    rounds.handle(Done(2, 1))
    assert rounds.handle(Tick(10, 1)) == []  # folding
    rounds.handle(Folded(2, 1, {}))
    rounds.handle(Ready(2))
    assert rounds.handle(Tick(10, 1)) == []


def test_duplicates_and_results_of_earlier_attempts_change_nothing():
    rounds = make()
    rounds.handle(Ready(0))
    rounds.handle(Done(1, 0))
    assert rounds.handle(Done(1, 0)) == []
    rounds.handle(Done(2, 1))
    rounds.handle(Folded(2, 1, {}))
    assert rounds.handle(Folded(2, 1, {})) == []
    rounds.handle(Ready(2))
    assert rounds.handle(Done(3, 2)) == []  # the straggler of attempt 1
    assert rounds.handle(Lost(3, 2)) == []
    assert rounds.version == 1


def test_refused_results_do_not_count():
    rounds = make()
    rounds.handle(Ready(0))
    rounds.handle(Done(1, 0))
    rounds.handle(Done(2, 1))
    assert rounds.handle(Folded(2, 1, {1: Fate.REJECTED})) == [
        Close(2, 1, Fate.REJECTED),
        Close(2, 0, Fate.COMPLETED),
        Commit(2, 1, 1, (0,)),
    ]


def test_with_too_few_admitted_the_attempt_is_abandoned():
    rounds = make(min_share=1.0)
    rounds.handle(Ready(0))
    rounds.handle(Done(1, 0))
    rounds.handle(Done(2, 1))
    assert rounds.handle(Folded(2, 1, {1: Fate.FAILED})) == [
        Close(2, 1, Fate.FAILED),
        Close(2, 0, Fate.CANCELLED),
        Abandon(2, 1, 0, 1, 2, "too few updates were admitted"),
    ]


def test_nobody_online_waits():
    rounds = make(clients=[])
    assert rounds.handle(Ready(3)) == [Wait(3)]
    assert rounds.attempt == 0


def test_evaluates_when_due_and_at_the_end():
    rounds = make(rounds=3, evaluate_every=2)
    seen = []
    for time in range(3):
        rounds.handle(Ready(time))
        rounds.handle(Done(time, 3 * time))
        rounds.handle(Done(time, 3 * time + 1))
        seen += [command for command in rounds.handle(Folded(time, time + 1, {})) if isinstance(command, Evaluate)]
    assert seen == [Evaluate(1, 2)]
    assert rounds.handle(Ready(3)) == [Evaluate(3, 3), Stop(3, "3 rounds are done")]


def test_stops_when_the_time_is_up():
    rounds = make(max_time=10)
    assert kinds(rounds.handle(Ready(9))) == [Start]
    rounds.handle(Lost(10, 0))
    rounds.handle(Lost(10, 1))
    rounds.handle(Lost(10, 2))
    assert kinds(rounds.handle(Ready(10))) == [Evaluate, Stop]


def test_stalls_after_too_many_abandoned_attempts(monkeypatch):
    monkeypatch.setattr("fedscale.limits.ABANDONED_IN_A_ROW", 2)
    rounds = make(clients=[1])
    for time in range(2):
        rounds.handle(Ready(time))
        rounds.handle(Lost(time, time))
    stop = rounds.handle(Ready(2))[-1]
    assert stop.stalled
    assert "2 attempts in a row" in stop.why


def test_a_selector_that_breaks_its_word_is_named():
    with pytest.raises(RunError, match="twice"):
        make(clients=[1, 1]).handle(Ready(0))
    rounds = SyncRounds(make().policy, lambda wanted, now: range(wanted + 1))
    with pytest.raises(RunError, match="4 clients, but 3"):
        rounds.handle(Ready(0))


def test_state_survives_and_only_exists_between_attempts():
    rounds = make()
    rounds.handle(Ready(0))
    with pytest.raises(RunError, match="under way"):
        rounds.state()
    rounds.handle(Done(1, 0))
    rounds.handle(Done(2, 1))
    rounds.handle(Folded(2, 1, {}))
    other = make()
    other.restore(rounds.state())
    assert other.state() == rounds.state()
    assert other.handle(Ready(2)) == rounds.handle(Ready(2))


class Against(RuleBasedStateMachine):
    """The coordinator against a dictionary of fates: every task is closed exactly once, versions only by commits."""

    def __init__(self):
        super().__init__()
        self.time = 0
        self.fates = {}
        self.started = []
        self.folding = None
        self.running = False
        self.commits = 0
        self.rounds = make(deadline=50, min_share=0.5, rounds=10**6)

    def take(self, commands):
        for command in commands:
            if isinstance(command, Start):
                self.started = list(command.tasks)
                self.running = True
            elif isinstance(command, Close):
                assert command.task not in self.fates
                self.fates[command.task] = command.fate
            elif isinstance(command, Fold):
                self.folding = command
            elif isinstance(command, Commit):
                self.commits += 1
                assert all(self.fates[task] is Fate.COMPLETED for task in command.tasks)
                self.running = False
            elif isinstance(command, Abandon):
                self.running = False

    @precondition(lambda self: not self.running and self.folding is None)
    @rule()
    def ready(self):
        self.take(self.rounds.handle(Ready(self.time)))

    @rule(task=st.integers(0, 40), step=st.integers(0, 3))
    def done(self, task, step):
        self.time += step
        self.take(self.rounds.handle(Done(self.time, task)))

    @rule(task=st.integers(0, 40), step=st.integers(0, 3), fate=st.sampled_from([Fate.DROPPED, Fate.FAILED]))
    def lost(self, task, step, fate):
        self.time += step
        self.take(self.rounds.handle(Lost(self.time, task, fate)))

    @rule(attempt=st.integers(0, 12))
    def tick(self, attempt):
        self.take(self.rounds.handle(Tick(self.time, attempt)))

    @precondition(lambda self: self.folding is not None)
    @rule(bad=st.sets(st.integers(0, 2)))
    def folded(self, bad):
        fold, self.folding = self.folding, None
        refused = {task: Fate.REJECTED for index, task in enumerate(fold.tasks) if index in bad}
        self.take(self.rounds.handle(Folded(self.time, fold.attempt, refused)))

    @invariant()
    def versions_are_commits(self):
        assert self.rounds.version == self.commits

    @invariant()
    def between_attempts_every_task_has_its_fate(self):
        if not self.running:
            assert set(self.fates) == set(range(len(self.fates)))
            assert set(self.started) <= set(self.fates)


TestAgainst = Against.TestCase
TestAgainst.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
