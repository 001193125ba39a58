"""Asynchronous rounds against independent loops in numpy, against synchronous rounds, and against themselves."""

import heapq

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner
from worked import lines

from fedscale import Job, load_dataset, resume, simulate
from fedscale.cli.main import app
from fedscale.core.aggregator import Aggregator
from fedscale.core.client import Client, TrainResult
from fedscale.core.client_manager import ClientManager
from fedscale.errors import JobError, RunError, StalledError
from fedscale.learn.build import build_model

DURATION = (5, 19, 7)
"""Seconds that the clients of the worked case take."""


class Pull(Client):
    """Goes half of the way to a point of its own, whose coordinates are all 1 for client 0, 2 for 1 and 4 for 2."""

    def train(self, client_data, model, conf):
        return TrainResult((2.0**conf.client - model.vector) / 2, len(client_data), 1.0)


def alike(clients, **changes):
    """Return a job whose devices are equal and always there."""
    values = {
        "data": {"name": "synthetic", "clients": clients, "samples": 20},
        "local": {"steps": 3, "batch_size": 8, "lr": 0.1},
        "server": {"name": "fedyogi"},
        "rounds": {"participants": 8, "over_commitment": 1.0, "count": 6},
        "devices": "none",
        "availability": "none",
        "evaluate": {"every": 2},
    }
    return Job.parse(values | changes)


def loop(start, versions, participants, discount, step):
    """FedBuff (Algorithm 1) and FedAsync (Algorithm 1) of three clients that always go on, in double precision.

    ``step(x, results)`` makes a version from (base, delta, factor); results of one instant come before what they start.
    """
    x, version, started, buffer = start, 0, 3, []
    running = [(DURATION[client], client, client, 0, start) for client in range(3)]
    heapq.heapify(running)
    while True:
        now, idle = running[0][0], []
        while running and running[0][0] == now:
            _, _, client, base_version, base = heapq.heappop(running)
            idle.append(client)
            buffer.append((base, (2.0**client - base) / 2, discount(version - base_version)))
            if len(buffer) == participants:
                x, version, buffer = step(x, buffer), version + 1, []
                if version == versions:
                    return x
        for client in sorted(idle):
            heapq.heappush(running, (now + DURATION[client], started, client, version, x))
            started += 1


def run_to_the_end(three_clients, tmp_path, settings, **rounds):
    always = "client_id,start,end,period\nA,0,1000,1000\nB,0,500,500\nC,0,300,300\n"
    job = Job.load(three_clients(slots=always, **rounds)).with_settings(["rounds.weighting=uniform", *settings])
    run = simulate(job, tmp_path / "out", workers=1, client=Pull)
    model = build_model(load_dataset(job.data.name, seed=job.seed, **job.data.options).card, job.model, job.seed)
    found = load_file(run.directory / "model.safetensors")
    names = model.named_tensors(model.vector)  # a file has them in another order
    return model.vector.double().numpy(), torch.cat([found[name].flatten() for name in names]).numpy()


@pytest.mark.parametrize(
    ("staleness", "discount"),
    [
        ("constant", lambda behind: 1.0),
        ("{name: polynomial, a: 0.7}", lambda behind: (1 + behind) ** -0.7),
        ("{name: hinge, a: 2, b: 1}", lambda behind: 1 / (2 * (behind - 1) + 1) if behind > 1 else 1),
    ],
)
def test_fedasync_is_its_few_line_loop(three_clients, tmp_path, staleness, discount):
    settings = ["asynchronous={concurrency: 3, apply: models, mixing: 0.6}", f"asynchronous.staleness={staleness}"]
    start, found = run_to_the_end(three_clients, tmp_path, settings, participants=1, count=14)

    def step(x, results):
        ((base, delta, factor),) = results
        alpha = 0.6 * factor
        return (1 - alpha) * x + alpha * (base + delta)

    np.testing.assert_allclose(found, loop(start, 14, 1, discount, step), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("damping", [True, False])
def test_fedbuff_is_its_few_line_loop(three_clients, tmp_path, damping):
    settings = ["asynchronous.concurrency=3", f"asynchronous.damping={damping}", "server={name: fedavg, lr: 0.5}"]
    start, found = run_to_the_end(three_clients, tmp_path, settings, participants=2, count=9)

    def step(x, results):
        divisor = 2 if damping else sum(factor for _, _, factor in results)
        return x + 0.5 * sum(factor * delta for _, delta, factor in results) / divisor

    expected = loop(start, 9, 2, lambda behind: (1 + behind) ** -0.5, step)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("clients", [10, 40])
def test_equal_devices_and_a_buffer_for_all_make_synchronous_rounds(tmp_path, clients):
    job = alike(clients)
    sync = simulate(job, tmp_path / "sync", workers=1)
    buffered = simulate(job.with_settings(["asynchronous.concurrency=8"]), tmp_path / "async", workers=1)
    names = ("version", "t", "completed", "loss", "lr", "params", "ledger")
    one, other = ([{name: r[name] for name in names} for r in lines(run.log, "commit")] for run in (sync, buffered))
    assert len(one) == 6
    assert one == other
    assert [r["metrics"] for r in lines(sync.log, "evaluate")] == [
        r["metrics"] for r in lines(buffered.log, "evaluate")
    ]


@pytest.mark.parametrize("rule", ["median", "{name: krum, attackers: 1}"])
def test_rules_that_need_every_update_see_those_of_the_buffer(tmp_path, rule):
    job = alike(40).with_settings([f"aggregation={rule}"])
    sync = simulate(job, tmp_path / "sync", workers=1)
    buffered = simulate(job.with_settings(["asynchronous.concurrency=8"]), tmp_path / "async", workers=1)
    one, other = ([(r["t"], r["loss"], r["params"]) for r in lines(run.log, "commit")] for run in (sync, buffered))
    assert len(one) == 6
    assert one == other


@pytest.mark.parametrize("damping", [True, False])
def test_stale_updates_are_scaled_one_by_one(three_clients, tmp_path, damping):
    """The coordinate-wise median of three; without damping, staleness moves weights only, which a median ignores."""
    settings = ["asynchronous.concurrency=3", f"asynchronous.damping={damping}", "aggregation=median"]
    start, found = run_to_the_end(three_clients, tmp_path, settings, participants=3, count=9)

    def step(x, results):
        return x + np.median([delta * (factor if damping else 1) for _, delta, factor in results], axis=0)

    expected = loop(start, 9, 3, lambda behind: (1 + behind) ** -0.5, step)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("damping", [True, False])
def test_weights_of_single_updates_are_discounted_once(tmp_path, damping):
    """Whatever the rule makes of them, Σ w u / Σ w is the mean update."""
    seen = []

    class Every(Aggregator):
        needs_updates = True

        def round_completion_handler(self, outcomes):
            total = sum(weight * update for weight, update in zip(outcomes.weights, outcomes.updates, strict=True))
            mean = torch.cat([outcomes.mean_update, outcomes.numbers])
            torch.testing.assert_close(total / sum(outcomes.weights), mean, rtol=1e-4, atol=1e-6)
            seen.append(len(set(outcomes.weights)))
            super().round_completion_handler(outcomes)

    job = busy_job().with_settings([f"asynchronous.damping={damping}"])
    run = simulate(job, tmp_path / "run", workers=1, aggregator=Every)
    plain = simulate(job, tmp_path / "plain", workers=1)
    assert len(seen) == 12
    assert max(seen) > 1 or damping
    one, other = ([r["params"] for r in lines(each.log, "commit")] for each in (run, plain))
    assert one == other


def busy_job(**changes):
    """Return a job in which clients come and go, some results are refused, and some are late."""
    values = {
        "data": {"name": "synthetic", "clients": 60, "samples": 20},
        "local": {"steps": 2, "batch_size": 8},
        "rounds": {"participants": 4, "count": 12},
        "asynchronous": {"concurrency": 12, "max_staleness": 2, "refill": 2},
        "cost": {"payload_bytes": 10_000_000},
        "evaluate": {"every": 4},
        "checkpoint_every": 2,
        "seed": 3,
    }
    return Job.parse(values | changes)


def test_a_dry_run_has_the_facts_of_the_run_it_stands_for(tmp_path):
    real = simulate(busy_job(), tmp_path / "real", workers=1)
    dry = simulate(busy_job(dry_run=True), tmp_path / "dry", workers=1)
    trained = {"weight", "loss", "params", "chain"}
    one, other = (
        [{key: value for key, value in r.items() if key not in trained} for r in lines(run.log)[2:]]
        for run in (real, dry)
    )
    assert [record for record in one if record["kind"] != "evaluate"] == other
    assert {"late", "dropped", "cancelled"} <= {r["fate"] for r in one if r["kind"] == "task"}


@pytest.mark.soak
def test_two_workers_write_the_same_bytes(tmp_path):
    one = simulate(busy_job(), tmp_path / "one", workers=1)
    two = simulate(busy_job(), tmp_path / "two", workers=2)
    assert one.log.read_bytes() == two.log.read_bytes()


@pytest.mark.parametrize("after", [1, 5])
def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(tmp_path, stop_after, after):
    whole = simulate(busy_job(), tmp_path / "whole", workers=1)
    part = simulate(busy_job(), tmp_path / "part", workers=1, observer=stop_after(after))
    assert not part.finished
    assert len(lines(part.log, "commit")) == after
    assert resume(part.directory, workers=1).finished
    for name in ("log.jsonl", "model.safetensors"):
        assert (part.directory / name).read_bytes() == (whole.directory / name).read_bytes()


class Picky(Client):
    """One in four clients raises, another returns what is not finite."""

    def train(self, client_data, model, conf):
        if conf.client % 4 == 0:
            raise ValueError("no luck")
        result = super().train(client_data, model, conf)
        if conf.client % 4 == 1:
            result.delta[0] = float("nan")
        return result


def test_refused_results_are_replaced_and_the_others_trained_once(tmp_path):
    trained = []

    class Counting(Picky):
        def train(self, client_data, model, conf):
            trained.append(conf.task)
            return super().train(client_data, model, conf)

    run = simulate(busy_job(availability="none"), tmp_path / "run", workers=1, client=Counting)
    ledger = run.metrics.end["ledger"]
    assert ledger["failed"] > 0
    assert ledger["rejected"] > 0
    assert all(record["completed"] == 4 for record in lines(run.log, "commit"))
    assert len(trained) == len(set(trained)) == ledger["completed"] + ledger["failed"] + ledger["rejected"]


def test_hooks_learn_of_every_task_and_of_every_version(tmp_path):
    heard, versions = [], []

    class Listening(Aggregator):
        def client_completion_handler(self, outcome):
            heard.append(outcome)

        def round_completion_handler(self, outcomes):
            versions.append((len(outcomes), outcomes.weight, {outcome.version for outcome in outcomes}))
            super().round_completion_handler(outcomes)

    class Fed(ClientManager):
        def select_participants(self, num_of_clients, cur_time, feedbacks):
            learnt.extend(feedbacks)
            return super().select_participants(num_of_clients, cur_time, feedbacks)

    learnt = []
    run = simulate(busy_job(), tmp_path / "run", workers=1, aggregator=Listening, client_manager=Fed)
    tasks = run.metrics.tasks
    assert [outcome.task for outcome in heard] == tasks["task"].to_pylist()
    assert [outcome.fate.value for outcome in heard] == tasks["fate"].to_pylist()
    assert sorted(heard, key=lambda each: each.task)[0].task == 0
    assert len(set(tasks["task"].to_pylist())) == tasks.num_rows
    assert [outcome.task for outcome in learnt] == tasks["task"].to_pylist()[: len(learnt)]
    assert [(count, weight) for count, weight, _ in versions] == [(4, 80.0)] * 12  # the divisor: before any discount
    assert any(len(found) > 1 for _, _, found in versions)


def test_nobody_ever_online_is_a_stall(three_clients, tmp_path):
    job = Job.load(three_clients(slots="client_id,start,end,period\nA,,,1000\nB,,,500\nC,,,300\n"))
    with pytest.raises(StalledError, match="no client will ever be online"):
        simulate(job.with_settings(["asynchronous.concurrency=2"]), tmp_path / "out", workers=1)
    assert lines(tmp_path / "out" / "log.jsonl")[-1]["ledger"]["selected"] == 0


def test_a_selector_that_chooses_nobody_is_named(tmp_path):
    class Nobody(ClientManager):
        def select_participants(self, num_of_clients, cur_time, feedbacks):
            return []

    with pytest.raises(RunError, match="chose nobody although"):
        simulate(busy_job(availability="none"), tmp_path / "run", workers=1, client_manager=Nobody)


def test_a_client_at_work_cannot_be_chosen_again(tmp_path):
    class Stubborn(ClientManager):
        def select_participants(self, num_of_clients, cur_time, feedbacks):
            return self.clients[:2]

    with pytest.raises(RunError, match="still at work"):
        simulate(busy_job(availability="none"), tmp_path / "run", workers=1, client_manager=Stubborn)


def test_what_does_not_go_with_it_is_refused(tmp_path):
    class Every(Aggregator):
        needs_updates = True

    with pytest.raises(JobError, match="Every needs every single update"):
        simulate(busy_job().with_settings(["asynchronous.apply=models"]), tmp_path / "run", aggregator=Every)
    with pytest.raises(JobError, match="unknown staleness 'linear'"):
        simulate(busy_job().with_settings(["asynchronous.staleness=linear"]), tmp_path / "run")
    for setting, message in {
        "rounds.deadline=10": "rounds.deadline, min_share and stale",
        "rounds.min_share=0.5": "rounds.deadline, min_share and stale",
        "asynchronous.refill=13": "more than the concurrency of 12",
        "asynchronous.mixing=0.5": "mixing is for apply: models",
    }.items():
        with pytest.raises(JobError, match=message):
            busy_job().with_settings([setting])


def test_a_synchronous_job_has_the_digest_that_it_had_before():
    assert "asynchronous" not in Job.parse({"data": "digits"}).facts()
    assert "asynchronous" in busy_job().facts()


def test_from_the_command_line_to_the_report(tmp_path):
    command = ["run", "synthetic", "--set", "asynchronous.concurrency=8", "--set", "rounds={participants: 3, count: 4}"]
    result = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "out"), "--workers", "1"])
    assert result.exit_code == 0, result.output
    assert "staleness" in result.output
    page = (tmp_path / "out" / "report.html").read_text()
    assert "distribution of staleness" in page
    checked = CliRunner().invoke(app, ["check", str(tmp_path / "out")])
    assert checked.exit_code == 0, checked.output
