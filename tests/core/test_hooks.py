"""The six hooks of Table 3, overridden the way users do, in whole runs."""

import json

import pytest
import torch

from fedscale import Job, resume, simulate
from fedscale.core.aggregator import Aggregator
from fedscale.core.client import Client, TestResult
from fedscale.core.client_manager import ClientManager
from fedscale.errors import RunError, StalledError
from fedscale.outcomes import Fate
from fedscale.report.check import check_log
from fedscale.simulation.progress import Silent

HALF_AWAY = "client_id,start,end,period\n" + "".join(
    f"{client},{0 if client % 2 else 40},{30 if client % 2 else 70},90\n" for client in range(20)
)


class Notes(Silent):
    """Keeps what the run says."""

    def __init__(self):
        self.said = []

    def notice(self, message):
        self.said.append(message)


def tiny(count=4, **sections):
    """Eight of twenty generated clients a round, all of them online and training."""
    values = {
        "data": {
            "name": "synthetic",
            "clients": 20,
            "samples": 20,
            "classes": 4,
            "split": {"train": 1, "validation": 0, "test": 0},
        },
        "local": {"steps": 2, "batch_size": 8, "lr": 0.1},
        "rounds": {"participants": 8, "over_commitment": 1.0, "count": count},
        "availability": "off",
        "engine": "plain",  # a train of one's own runs on it, and digests are compared
    }
    return Job.parse(values | sections)


@pytest.fixture
def run(tmp_path):
    """Simulate in this process and return the records of the log, checked."""
    numbers = iter(range(100))

    def go(job=None, observer=None, **classes):
        made = simulate(job or tiny(), tmp_path / f"run{next(numbers)}", workers=1, observer=observer, **classes)
        assert check_log(made.log).ok, check_log(made.log).findings
        return read(made.directory)

    return go


def read(directory):
    return [json.loads(line) for line in (directory / "log.jsonl").read_text().splitlines()]


def of(records, kind):
    return [record for record in records if record["kind"] == kind]


def fates(records):
    counts = {fate: count for fate, count in records[-1]["ledger"].items() if fate in set(Fate) and count}
    tasks = [task["fate"] for task in of(records, "task")]
    assert {fate: tasks.count(fate) for fate in set(tasks)} == counts
    return counts


def digests(records):
    return [commit["params"] for commit in of(records, "commit")]


class Raising(Client):
    unlucky = (7,)

    def train(self, client_data, model, conf):
        if conf.client in self.unlucky:
            raise ValueError(f"client {conf.client}: no luck in task {conf.task}")
        return super().train(client_data, model, conf)


class Choosing(ClientManager):
    """Takes the same clients every time."""

    chosen = range(8)

    def select_participants(self, num_of_clients, cur_time, feedbacks):
        return list(self.chosen)


@pytest.fixture
def without_7(run, tmp_path):
    """The digests of a run in which client 7 is selected too, but so slow that its result never counts.

    It is the last of its round, so that all other updates are added in the same order and blocks.
    """
    rows = "".join(f"{client},{1e6 if client == 7 else 10},1000,1000\n" for client in range(20))
    (tmp_path / "devices.csv").write_text("client_id,ms_per_sample,down_kbps,up_kbps\n" + rows)
    devices = {"source": "csv", "file": tmp_path / "devices.csv", "assign": "in_order"}
    rounds = {"participants": 8, "over_commitment": 1.0, "count": 4, "deadline": 1000}
    records = run(tiny(devices=devices, rounds=rounds), client_manager=Choosing)
    assert fates(records) == {"completed": 28, "straggler": 4}
    return digests(records)


def test_an_exception_in_train_fails_its_task_and_leaves_the_others_as_they_are(run, without_7):
    notes = Notes()
    records = run(observer=notes, client=Raising, client_manager=Choosing)
    assert fates(records) == {"completed": 28, "failed": 4}
    failed = [task for task in of(records, "task") if task["fate"] == "failed"]
    assert {task["client"] for task in failed} == {7}
    assert failed[0]["why"] == "ValueError: client 7: no luck in task 7"
    assert "loss" not in failed[0]
    assert digests(records) == without_7
    (shown,) = notes.said  # once, though four tasks failed with four different texts
    assert "Traceback" in shown
    assert "ValueError: client 7: no luck in task 7" in shown


def test_every_kind_of_error_is_shown_once(run):
    class Various(Client):
        def train(self, client_data, model, conf):
            if conf.client == 1:
                raise ValueError(conf.task)
            if conf.client == 2:
                raise KeyError(conf.task)
            if conf.client == 3:
                raise ValueError(conf.task)
            return super().train(client_data, model, conf)

    notes = Notes()
    run(observer=notes, client=Various, client_manager=Choosing)
    assert [text.strip().splitlines()[-1].partition(":")[0] for text in notes.said] == [
        "ValueError",
        "KeyError",
        "ValueError",
    ]


def test_exceptions_everywhere_end_in_a_typed_error_and_never_in_a_hang(tmp_path, monkeypatch):
    monkeypatch.setattr("fedscale.limits.ABANDONED_IN_A_ROW", 7)

    class Always(Raising):
        unlucky = range(20)

    notes = Notes()
    for begin in (
        lambda: simulate(tiny(), tmp_path / "run", workers=1, observer=notes, client=Always),
        lambda: resume(tmp_path / "run", workers=1, client=Always),
    ):
        with pytest.raises(StalledError, match="7 attempts in a row were abandoned"):
            begin()
        records = read(tmp_path / "run")
        assert fates(records) == {"failed": 56}
        assert [abandon["why"] for abandon in of(records, "abandon")] == ["too few updates were admitted"] * 7
        assert check_log(tmp_path / "run" / "log.jsonl").ok
    assert len(notes.said) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e38])
def test_updates_that_are_not_finite_are_rejected_and_the_rest_is_as_without_them(run, without_7, value):
    class Poison(Client):
        def train(self, client_data, model, conf):
            result = super().train(client_data, model, conf)
            if conf.client == 7:
                result.delta[::2] = value
            return result

    records = run(client=Poison, client_manager=Choosing)
    assert fates(records) == {"completed": 28, "rejected": 4}
    assert {task["why"] for task in of(records, "task") if task["fate"] == "rejected"} == {"the update is not finite"}
    assert digests(records) == without_7


def test_if_no_update_is_finite_the_parameters_stay_as_they_are(run):
    class Nothing(Client):
        def train(self, client_data, model, conf):
            result = super().train(client_data, model, conf)
            if conf.version == 2 and conf.task < 32:
                result.delta.fill_(float("nan"))
            return result

    records = run(client=Nothing)
    assert fates(records) == {"completed": 32, "rejected": 16}
    assert [(abandon["attempt"], abandon["version"]) for abandon in of(records, "abandon")] == [(3, 2), (4, 2)]
    assert digests(records)[:2] == digests(run())[:2]  # what was committed before is not touched
    assert len(digests(records)) == 4


class Compressing(Client):
    """Sends as many bytes as the client has a number, a hundredfold, and one."""

    def train(self, client_data, model, conf):
        result = super().train(client_data, model, conf)
        result.metrics["client"] = conf.client
        return result

    def serialize_results(self, result):
        return bytes(1 + 100 * int(result.metrics["client"]))


def test_serialize_results_decides_what_the_network_charges(run):
    plain, compressed = run(), run(client=Compressing)
    assert of(plain, "population")[0]["bytes_up"] == of(plain, "population")[0]["bytes_down"] > 0
    assert of(compressed, "population")[0]["bytes_up"] is None
    for task in of(compressed, "task"):
        assert task["bytes_up"] == 1 + 100 * task["client"]
    assert compressed[-1]["ledger"]["bytes_up"] == sum(task["bytes_up"] for task in of(compressed, "task"))
    assert digests(plain) == digests(compressed)  # the size is charged, the update is what train returned


def test_select_participants_learns_what_became_of_every_task(run, tmp_path):
    (tmp_path / "slots.csv").write_text(HALF_AWAY)
    availability = {"source": "csv", "file": tmp_path / "slots.csv", "assign": "in_order"}
    seen = []

    class Listening(ClientManager):
        def select_participants(self, num_of_clients, cur_time, feedbacks):
            seen.append([(f.task, f.client, f.fate.value, f.start, f.end, f.loss) for f in feedbacks])
            return super().select_participants(num_of_clients, cur_time, feedbacks)

    job = tiny(
        6,
        availability=availability,
        cost={"payload_bytes": 3_000_000},
        rounds={"participants": 3, "count": 6, "deadline": 25},
    )
    records = run(job, client_manager=Listening)
    assert {"completed", "straggler", "dropped"} <= set(fates(records))
    logged = [
        [
            tuple(task.get(key) for key in ("task", "client", "fate", "start", "end", "loss"))
            for task in of(records, "task")
            if task["attempt"] == attempt
        ]
        for attempt in range(1, records[-1]["attempts"])
    ]
    assert seen[0] == []
    assert [feedbacks for feedbacks in seen if feedbacks] == logged


def test_client_completion_handler_sees_every_closed_task_in_order(run):
    class Keeping(Aggregator):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.closed = []

        def client_completion_handler(self, outcome):
            self.closed.append((outcome.task, outcome.client, outcome.fate.value, outcome.samples))

        def round_completion_handler(self, outcomes):
            before = len(seen)
            seen.extend(self.closed[before:])
            assert [outcome.task for outcome in outcomes] == [
                task for task, _, fate, _ in self.closed[before:] if fate == "completed"
            ]
            super().round_completion_handler(outcomes)

    seen = []
    rounds = {"participants": 5, "over_commitment": 2.0, "count": 4}
    records = run(tiny(rounds=rounds), aggregator=Keeping, client=Raising)
    assert {"straggler", "failed"} <= set(fates(records)) | {"failed"}
    assert seen == [(task["task"], task["client"], task["fate"], 20) for task in of(records, "task")]


def test_a_mean_written_by_hand_gives_the_parameters_of_the_default(run):
    class ByHand(Aggregator):
        def round_completion_handler(self, outcomes):
            assert len(outcomes) == 8
            assert outcomes.weight == sum(outcome.samples for outcome in outcomes) == 160
            self.vector = self.vector + outcomes.mean_update

    assert digests(run(aggregator=ByHand)) == digests(run())


def test_a_wholly_overridden_train_gives_the_parameters_of_the_default(run):
    """The loop as anyone writes it: a torch optimizer, the loss of the task."""
    from fedscale.core.client import TrainResult

    class Usual(Client):
        def train(self, client_data, model, conf):
            optimizer = torch.optim.SGD(model.module.parameters(), lr=conf.lr)
            for inputs, targets in client_data.minibatches(conf):
                optimizer.zero_grad()
                loss = torch.nn.functional.cross_entropy(model.module(inputs), targets)
                loss.backward()
                optimizer.step()
            return TrainResult(model.vector - model.origin, len(client_data), loss.item())

    assert digests(run(client=Usual)) == digests(run())


SPLIT = {
    "name": "synthetic",
    "clients": 20,
    "samples": 20,
    "classes": 4,
    "split": {"train": 0.5, "validation": 0, "test": 0.5},
}


def test_an_overridden_test_decides_what_is_measured(run):
    class Ranking(Client):
        def test(self, client_data, model, conf):
            return TestResult(2, {"rank": conf.client, "version": conf.version})

    records = run(tiny(data=SPLIT, evaluate={"every": 2}), client=Ranking)
    clients = of(records, "evaluate")[0]["clients"]
    assert len(clients) == 10
    assert [evaluation["metrics"] for evaluation in of(records, "evaluate")] == [
        {"rank": sum(clients) / 20, "version": 1.0},
        {"rank": sum(clients) / 20, "version": 2.0},
    ]


@pytest.mark.parametrize(
    ("sums", "message"),
    [
        (lambda client: TestResult(1, {"even" if client % 2 else "odd": 1}), "different sums: .*even.*odd"),
        (lambda client: TestResult(0, {"loss": 0.0}), "nobody made a prediction"),
        (lambda client: TestResult(1, {"loss": float("nan")}), "not finite"),
    ],
)
def test_a_test_that_says_nothing_is_a_typed_error(run, sums, message):
    class Wrong(Client):
        def test(self, client_data, model, conf):
            return sums(conf.client)

    with pytest.raises(RunError, match=message):
        run(tiny(data=SPLIT), client=Wrong)


EVEN = HALF_AWAY.replace(",0,30,", ",,,")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda online, wanted: [*online[:3], online[0]], "returned a client twice"),
        (lambda online, wanted: online[: wanted + 1], "returned 6 clients, but 5 were wanted"),
        (lambda online, wanted: [0, 1, 3, 5, 7], r"clients that are not online at 40 s: 1, 3, 5, 7$"),
        (lambda online, wanted: [18, 99], "clients that do not take part in training: 99$"),
        (lambda online, wanted: [-1, 0], "clients that do not take part in training: -1$"),
        (lambda online, wanted: range(100, 120), "training: 100, 101, 102, 103, 104 and 15 more$"),
        (lambda online, wanted: [], "chose nobody although clients are online"),
        (lambda online, wanted: None, "returned None: a sequence of client numbers is wanted"),
        (lambda online, wanted: [0.5], r"returned \[0.5\]: a sequence of client numbers is wanted"),
    ],
    ids=["twice", "too many", "offline", "unknown", "negative", "many", "nobody", "nothing", "no number"],
)
def test_a_selection_that_cannot_be_is_a_typed_error(run, tmp_path, answer, message):
    (tmp_path / "slots.csv").write_text(EVEN)

    class Wrong(ClientManager):
        def select_participants(self, num_of_clients, cur_time, feedbacks):
            online = self.online(cur_time)
            return answer(online, num_of_clients) if len(online) else []

    job = tiny(
        availability={"source": "csv", "file": tmp_path / "slots.csv", "assign": "in_order"},
        rounds={"participants": 5, "over_commitment": 1.0},
    )
    with pytest.raises(RunError, match=message):
        run(job, client_manager=Wrong)


@pytest.mark.parametrize("kind", [torch.tensor, tuple, iter])
def test_any_sequence_of_whole_numbers_is_a_selection(run, kind):
    class Kind(ClientManager):
        def select_participants(self, num_of_clients, cur_time, feedbacks):
            return kind([4, 0, 2])

    assert [select["clients"] for select in of(run(client_manager=Kind), "select")] == [[4, 0, 2]] * 4


class Memory(ClientManager):
    """Takes turns: its state decides whom it selects."""

    turn = 0

    def select_participants(self, num_of_clients, cur_time, feedbacks):
        self.turn += 1
        return [(self.turn * 7 + number) % 20 for number in range(num_of_clients)]

    def state(self):
        return {**super().state(), "turn": self.turn}

    def restore(self, state):
        super().restore(state)
        self.turn = state["turn"]


class Velocity(Aggregator):
    """Momentum: its state decides all later parameters."""

    velocity = 0

    def round_completion_handler(self, outcomes):
        self.velocity = 0.9 * self.velocity + outcomes.mean_update
        self.vector = self.vector + self.velocity

    def state(self):
        return {**super().state(), "velocity": self.velocity}

    def restore(self, state):
        super().restore(state)
        self.velocity = state["velocity"]


@pytest.mark.parametrize("attempts", range(7))
def test_what_hooks_keep_survives_a_stop_after_any_attempt(tmp_path, stop_after, attempts):
    classes = {"client_manager": Memory, "aggregator": Velocity}
    whole = simulate(tiny(6), tmp_path / "whole", workers=1, **classes)
    stopped = simulate(tiny(6), tmp_path / "parts", workers=1, observer=stop_after(attempts), **classes)
    assert not stopped.finished
    assert resume(tmp_path / "parts", workers=1, **classes).finished
    assert stopped.log.read_bytes() == whole.log.read_bytes()
