"""Jobs that only test: worked by hand, tests of trained models, statistics, and what is refused."""

import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner
from worked import lines

from fedscale import Job, Run, simulate
from fedscale.cli.main import app
from fedscale.core.client import Client, TestResult
from fedscale.data.card import Card
from fedscale.data.store import StoreWriter
from fedscale.errors import JobError
from fedscale.execute.base import Report
from fedscale.execute.sums import reports_together
from fedscale.outcomes import Fate
from fedscale.pooled import Pooled
from fedscale.report.check import check_log
from fedscale.report.log import LogWriter, read_log
from fedscale.section import Component

LABELS = ([0, 0, 1], [1, 2], [2, 2, 2, 0])
ONLINE = {"devices": "off", "availability": "off"}
EVERYBODY = {"train": 1.0, "validation": 0.0, "test": 0.0}


class Labels(Client):
    """Reports the histogram of three labels, and how many samples there are."""

    def test(self, client_data, model, conf):
        histogram = np.bincount(client_data.data.columns["y"], minlength=3)
        return TestResult(len(client_data), {"label": histogram, "rows": torch.tensor(len(client_data))})


class Clicks(Client):
    """Says that label 2 is a click, and that the scores of samples are in bins 0, 1, 2, ... in their order."""

    bins = 200

    def test(self, client_data, model, conf):
        clicked = client_data.data.columns["y"] == 2
        scores = np.zeros((2, self.bins))
        scores[clicked.astype(int), np.arange(len(clicked))] = 1
        return TestResult(len(clicked), {"loss": 1.0, "click_scores": Pooled(scores)})


class Coarse(Clicks):
    """Counts in other bins on client 1."""

    def test(self, client_data, model, conf):
        self.bins = 100 if conf.client == 1 else 200
        return super().test(client_data, model, conf)


class First(Clicks):
    """Counts in other bins on client 0, on whom the job is tried, and on client 1."""

    def test(self, client_data, model, conf):
        self.bins = 200 if conf.client == 2 else 100
        return super().test(client_data, model, conf)


class Moody(Labels):
    """Fails on client 1, and reports too much on client 2."""

    def test(self, client_data, model, conf):
        result = super().test(client_data, model, conf)
        if conf.client == 1:
            return 1 / 0
        return TestResult(4, {**result.sums, "more": 1}) if conf.client == 2 else result


class Vague(Labels):
    """Reports no number on client 1, and fewer than no samples on client 2."""

    def test(self, client_data, model, conf):
        result = super().test(client_data, model, conf)
        if conf.client == 1:
            return TestResult(2, {**result.sums, "rows": float("nan")})
        return TestResult(-1, result.sums) if conf.client == 2 else result


@pytest.fixture
def three_sets(tmp_path):
    """The path of a store of three clients with the labels above."""
    card = Card(
        name="three", title="Three", description="three clients", task="classification", modality="tensor",
        model=Component(name="logistic_regression"), classes=3, sample_shape=(2,), client_is="a list", licence="none",
        source="own", citation="none", verified="by hand",
    )  # fmt: skip
    with StoreWriter(tmp_path / "three", card) as writer:
        for labels in LABELS:
            x = np.arange(2 * len(labels), dtype=np.float32).reshape(-1, 2)
            writer.append(np.array([len(labels)]), {"x": x, "y": np.array(labels)})
    return str(tmp_path / "three")


def job_on(data, **changes):
    data = {"name": data, "split": EVERYBODY}
    evaluate = {"split": "train"}
    return Job.parse({"data": data, "evaluate": evaluate, "testing": {"download": False}, **ONLINE, **changes})


def test_a_round_of_tests_worked_by_hand(three_clients, tmp_path):
    """Each passes 100 samples through the model once, and sends 24 bytes: a count and the sums of two metrics.

    A: 1 s down, 100 × 10 ms, 192 bits at 1,000 kbit/s. C: 0.5 s, 2 s, 0.000096 s. B is at work for 0.500096 s then.
    """
    job = Job.load(three_clients(count=1)).model_copy(update={"name": "tested"})
    job = job.with_settings(["testing={}", "evaluate.split=train"])
    simulate(job, tmp_path / "out", workers=1)
    log = tmp_path / "out" / "log.jsonl"
    found = [
        (r["client"], r["fate"], r["end"], r["download"], r["compute"], r["upload"], r["bytes_down"], r["bytes_up"])
        for r in lines(log, "task")
    ]
    assert found == [
        (0, "completed", 2.000192, 1.0, 1.0, 0.000192, 125_000, 24),
        (1, "straggler", 2.500096, 2.0, 0.500096, 0.0, 125_000, 0),
        (2, "completed", 2.500096, 0.5, 2.0, 0.000096, 125_000, 24),
    ]
    assert [r["samples"] for r in lines(log, "task")] == [100, 100, 100]
    assert not [r for r in lines(log, "task") if "loss" in r or "weight" in r]
    (evaluate,) = lines(log, "evaluate")
    assert (evaluate["t"], evaluate["version"], evaluate["split"]) == (2.500096, 1, "train")
    assert (evaluate["clients"], evaluate["count"]) == ([0, 2], [100, 100])
    head = Run(tmp_path / "out").metrics.headline
    assert (head["clients"], head["clients_completed"], head["final"]) == (3, 2, evaluate["metrics"]["accuracy"])
    assert head["critical_seconds"] == {"waiting": 0, "download": 0.5, "compute": 2, "upload": 0.000096}


def test_a_histogram_worked_by_hand(three_sets, tmp_path):
    """Labels are 0, 0, 1 and 1, 2 and 2, 2, 2, 0: together three 0, two 1 and four 2, of nine samples."""
    run = simulate(
        job_on(three_sets, rounds={"participants": 3, "count": 2}), tmp_path / "out", workers=1, client=Labels
    )
    first, second = lines(run.log, "evaluate")
    assert first["clients"] == second["clients"] == [0, 1, 2]
    assert first["count"] == [3, 2, 4]
    assert first["sums"] == {"label[0]": [2, 0, 1], "label[1]": [1, 1, 0], "label[2]": [0, 1, 3], "rows": [3, 2, 4]}
    assert first["metrics"] == {"label[0]": 3 / 9, "label[1]": 2 / 9, "label[2]": 4 / 9, "rows": 1.0}
    last = run.metrics.statistics.to_pylist()[4:]
    assert [(row["version"], row["name"], row["place"], row["total"], row["mean"]) for row in last] == [
        (2, "label", 0, 3, 3 / 9),
        (2, "label", 1, 2, 2 / 9),
        (2, "label", 2, 4, 4 / 9),
        (2, "rows", None, 9, 1),
    ]
    assert {(row["clients"], row["count"]) for row in last} == {(3, 9)}
    tasks = lines(run.log, "task")
    assert {(task["bytes_down"], task["bytes_up"]) for task in tasks} == {(0, 40)}  # four numbers and the count
    assert len({commit["params"] for commit in lines(run.log, "commit")}) == 1
    run.report()
    page = (run.directory / "report.html").read_text()
    assert "tests only, nothing was trained" in page
    assert re.search(r"<th scope=\"row\">label\[2\]</th><td>4</td><td>0.444444</td>", page)


def test_who_reports_what_cannot_be_added_is_refused_and_who_fails_fails(three_sets, tmp_path):
    job = job_on(three_sets, rounds={"participants": 3, "count": 1})
    names = "label[0], label[1], label[2], rows"
    unlike = f"the client reports {names}, more, and not {names} as others do"
    vague = "what the client reports is not finite, or counts less than nothing"
    for program, (first, second) in (
        (Moody, (("failed", "ZeroDivisionError: division by zero"), ("rejected", unlike))),
        (Vague, (("rejected", vague), ("rejected", vague))),
    ):
        run = simulate(job, tmp_path / program.__name__, workers=1, client=program)
        fates = [(task["fate"], task.get("why")) for task in lines(run.log, "task")]
        assert fates == [("completed", None), first, second]
        (evaluate,) = lines(run.log, "evaluate")
        assert (evaluate["clients"], evaluate["sums"]["rows"]) == ([0], [3])


def test_a_curve_over_scores_worked_by_hand(three_sets, tmp_path):
    """By bin, from 0 to 3, nobody clicked 2, 1, 1, 1 times and somebody 1, 2, 1, 0 times.

    A click is above what was not clicked in lower bins, and above half of that in its own: 1 × 1 + 2 × 2.5 + 1 × 3.5
    of 4 × 5 pairs. Without the client 1: 1, 1, 1, 1 and 1, 1, 1, 0, so 0.5 + 1.5 + 2.5 of 3 × 4.
    """
    job = job_on(three_sets, rounds={"participants": 3, "count": 2})
    run = simulate(job, tmp_path / "all", workers=1, client=Clicks)
    total = {"size": 400, "places": [0, 1, 2, 3, 200, 201, 202], "counts": [2, 1, 1, 1, 1, 2, 1]}
    for tested in lines(run.log, "evaluate"):
        assert (tested["clients"], tested["totals"]) == ([0, 1, 2], {"click_scores": total})
        assert tested["sums"] == {"loss": [1, 1, 1]}
        assert tested["metrics"]["auc"] == pytest.approx(9.5 / 20, abs=1e-15)
    assert {task["bytes_up"] for task in lines(run.log, "task")} == {(1 + 400 + 1) * 8}
    assert run.metrics.headline["clients_completed"] == 3
    run.report()

    coarse = simulate(job, tmp_path / "coarse", workers=1, client=Coarse)
    assert [task["fate"] for task in lines(coarse.log, "task")] == ["completed", "rejected", "completed"] * 2
    assert "loss, click_scores[200], and not loss, click_scores[400]" in lines(coarse.log, "task")[1]["why"]
    tested = lines(coarse.log, "evaluate")[1]
    assert (tested["clients"], tested["metrics"]["auc"]) == ([0, 2], pytest.approx(4.5 / 12, abs=1e-15))
    for found in (run, coarse):
        assert check_log(found.log).findings == []


def test_what_was_not_admitted_is_in_no_total(three_sets, tmp_path):
    """The last of the block is refused, whose counts have other places, and the others' are with the first."""
    job = job_on(three_sets, rounds={"participants": 3, "count": 1})
    run = simulate(job, tmp_path / "out", workers=1, client=First)
    assert [task["fate"] for task in lines(run.log, "task")] == ["completed", "completed", "rejected"]
    (tested,) = lines(run.log, "evaluate")
    assert tested["totals"]["click_scores"] == {"size": 200, "places": [0, 1, 2, 101], "counts": [2, 1, 1, 1]}


def test_what_no_client_can_report_is_refused_before_the_run(three_sets, tmp_path):
    for program, why in (
        (Always, "a trial on client 0 failed: ZeroDivisionError"),
        (Nothing, r"the sums of a test are \[\]: give at least one"),
        (Square, r"'square' has the shape \(2, 2\)"),
        (Huge, "5000 numbers are reported; at most 4096 are possible"),
    ):
        with pytest.raises(JobError, match=why):
            simulate(job_on(three_sets), tmp_path / "out", client=program)


class Nothing(Client):
    """Reports nothing but a count."""

    def test(self, client_data, model, conf):
        return TestResult(1, {})


class Square(Client):
    """Reports a matrix."""

    def test(self, client_data, model, conf):
        return TestResult(1, {"square": np.ones((2, 2))})


class Huge(Client):
    """Reports too many numbers."""

    def test(self, client_data, model, conf):
        return TestResult(1, {"huge": np.ones(5000)})


class Always(Client):
    """Always fails."""

    def test(self, client_data, model, conf):
        return 1 / 0


def test_a_trained_model_gets_the_score_that_it_had(tmp_path):
    """Whoever tests the weights that a run wrote, on all of its test clients, finds what the run found at its end."""
    small = {"name": "mlp", "hidden": 4}
    common = {"data": {"name": "synthetic", "clients": 40}, "model": small, "seed": 3, **ONLINE}
    trained = simulate(
        Job.parse({**common, "rounds": {"participants": 5, "count": 3, "over_commitment": 1}}),
        tmp_path / "a",
        workers=1,
    )
    path = tmp_path / "a" / "model.safetensors"
    rounds = {"participants": 4, "over_commitment": 1, "count": 1}
    testing = {**common, "initial": str(path), "testing": {}, "rounds": rounds}
    tested = simulate(Job.parse(testing), tmp_path / "b", workers=1)
    last, (only,) = lines(trained.log, "evaluate")[-1], lines(tested.log, "evaluate")
    assert only["clients"] == last["clients"]
    assert (only["sums"], only["metrics"]) == (last["sums"], last["metrics"])
    assert lines(tested.log, "commit")[0]["params"] == lines(trained.log, "commit")[-1]["params"]
    assert load_file(tmp_path / "b" / "model.safetensors").keys() == load_file(path).keys()


@pytest.fixture(scope="module")
def rough(tmp_path_factory, dataset_cache):
    """The path of a job with stragglers, dropped clients and abandoned rounds, tested in several rounds."""
    path = tmp_path_factory.mktemp("job") / "job.yaml"
    path.write_text(
        "{data: {name: synthetic, clients: 300, split: {train: 0.2, validation: 0.0, test: 0.8}},"
        " testing: {forwards: 300}, rounds: {participants: 12, count: 8, min_share: 0.8, deadline: 2000},"
        " checkpoint_every: 1}"
    )
    return path


def test_workers_stops_and_another_start_change_no_byte(rough, tmp_path):
    class Stop:
        def __init__(self, after):
            self.left = after

        def notice(self, message):
            pass

        def attempt(self, progress):
            self.left -= 1

        def stop_asked(self):
            return self.left <= 0

    job = Job.load(rough)
    one = simulate(job, tmp_path / "one", workers=1)
    two = simulate(job, tmp_path / "two", workers=2)
    assert two.log.read_bytes() == one.log.read_bytes()
    stopped = simulate(job, tmp_path / "stopped", workers=1, observer=Stop(3))
    assert not stopped.finished
    result = CliRunner().invoke(app, ["resume", str(tmp_path / "stopped"), "--workers", "1"])
    assert result.exit_code == 0, result.output
    assert stopped.log.read_bytes() == one.log.read_bytes()
    ledger = one.metrics.ledger
    assert ledger["straggler"] > 0
    assert ledger["dropped"] > 0
    spread = one.metrics.evaluations.to_pylist()[-1]
    assert spread["p10"] <= spread["p50"] <= spread["p90"]
    assert spread["clients"] == one.metrics.rounds["completed"].to_pylist()[-1]


def test_the_number_of_reports_is_what_a_deviation_needs(tmp_path):
    """58 clients of 100 to 200 samples keep the mean of their samples within a fifth of the range with 0.9."""
    sizes = [100 + client % 101 for client in range(200)]
    job = Job.parse(
        {
            "data": {"name": "synthetic", "sizes": sizes, "split": EVERYBODY},
            "evaluate": {"split": "train", "deviation": 0.2, "confidence": 0.9},
            "testing": {},
            "rounds": {"count": 1, "participants": 3, "over_commitment": 1},
            **ONLINE,
        }
    )
    run = simulate(job, tmp_path / "out", workers=1)
    wanted = -(-201 // (1 - 2 * 200 / np.log(0.1) * 0.2**2))
    assert lines(run.log, "select")[0]["wanted"] == len(lines(run.log, "evaluate")[0]["clients"]) == wanted


def test_samples_that_are_held_out_and_those_that_are_not(tmp_path):
    """Of 40 samples each, a quarter is held out: 10 are tested, or the other 30."""
    data = {"name": "synthetic", "sizes": [40] * 4, "split": {**EVERYBODY, "within_client": 0.25}}
    for split, count in (("held_out", 10), ("train", 30)):
        job = {"data": data, "evaluate": {"split": split}, "testing": {}, "rounds": {"participants": 4, "count": 1}}
        run = simulate(Job.parse({**job, **ONLINE}), tmp_path / split, workers=1)
        assert lines(run.log, "evaluate")[0]["count"] == [count] * 4
        assert {task["samples"] for task in lines(run.log, "task")} == {count}


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("asynchronous={}", "asynchronous, rounds.stale and pacing are about training, not testing"),
        ("algorithm=scaffold", "testing: algorithm 'scaffold' says how clients train: set it to fedavg"),
        ("privacy={name: gaussian, clip: 1, noise: 1}", "testing: privacy 'gaussian' hides updates"),
        ("evaluate.split=validation", "there is nobody in 'validation'"),
        ("local.private={clip: 1, noise: 1}", "secure_aggregation and local.private hide updates"),
    ],
)
def test_what_would_promise_too_much_is_refused(three_sets, tmp_path, setting, why):
    base = job_on(three_sets, rounds={"weighting": "uniform"})
    with pytest.raises(JobError, match=why):
        simulate(base.with_settings([setting]), tmp_path / "out")


def test_a_dry_run_prices_tests_and_tests_nobody(three_sets, tmp_path):
    run = simulate(job_on(three_sets, dry_run=True, rounds={"count": 1}), tmp_path / "out", workers=1, client=Labels)
    assert lines(run.log, "evaluate") == []
    assert {task["bytes_up"] for task in lines(run.log, "task")} == {40}
    run.report()


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (lambda records: records.pop(5), "what the tasks of version 1 found has no line"),
        (lambda records: records[5].update(clients=[0, 2, 1]), r"clients is \[0, 2, 1\], expected \[0, 1, 2\]"),
        (lambda records: records[2].update(loss=1.0, weight=1), "loss is 1.0, but the job only tests"),
        (lambda records: records[5]["metrics"].update(rows=2.0), "rows is 2.0, but what the sums give is 1.0"),
    ],
)
def test_the_check_finds_what_contradicts_the_tasks(three_sets, tmp_path_factory, change, finding):
    out = tmp_path_factory.mktemp("altered")
    run = simulate(job_on(three_sets, rounds={"count": 1, "participants": 3}), out / "run", workers=1, client=Labels)
    records = list(read_log(run.log))
    assert [record["kind"] for record in records[2:8]] == ["select", "task", "task", "task", "commit", "evaluate"]
    del records[0:0]
    altered = records[:2] + _changed(records[2:], change)
    writer = LogWriter(out / "log.jsonl")
    writer.extend(altered)
    writer.close()
    assert any(re.search(finding, found) for found in check_log(out / "log.jsonl").findings)


def _changed(records, change):
    change(records)
    return records


def test_what_a_training_job_says_of_updates_is_without_effect(three_sets, tmp_path):
    plain = simulate(job_on(three_sets, rounds={"count": 1}), tmp_path / "plain", workers=1, client=Labels)
    ways = {"aggregation": "median", "server": "fedadam", "compression": {"up": {"name": "qsgd"}}}
    other = simulate(job_on(three_sets, rounds={"count": 1}, **ways), tmp_path / "other", workers=1, client=Labels)
    for kind in ("task", "evaluate"):
        first, second = lines(plain.log, kind), lines(other.log, kind)
        assert [one | {"chain": ""} for one in first] == [one | {"chain": ""} for one in second]


def test_a_job_that_trains_has_the_facts_that_it_always_had():
    assert "testing" not in Job(data="digits").facts()
    assert Job.parse({"data": "digits", "testing": {}}).facts()["testing"] == {"download": True, "forwards": 1.0}


def test_pooled_counts_of_a_block_go_with_its_first_task_that_was_admitted():
    """1 and 2 at the places 0 and 3, and 4 at the place 3, are 1 and 6."""
    counts = [Pooled([1, 0, 0, 2]).record(), Pooled([0, 0, 0, 4]).record()]
    refused = Report(1, fate=Fate.REJECTED, why="it reports others")
    admitted = [Report(2 + place, metrics={"count": 1}, pooled={"scores": one}) for place, one in enumerate(counts)]
    first, second, third = reports_together([refused, *admitted])
    assert (first.pooled, third.pooled) == ({}, {})
    assert second.pooled == {"scores": {"size": 4, "places": [0, 3], "counts": [1, 6]}}
    assert [report.task for report in (first, second, third)] == [1, 2, 3]
    assert reports_together([refused]) == [refused]
