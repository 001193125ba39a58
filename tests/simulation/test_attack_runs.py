"""Attacks in whole runs: who attacks, what it does to the model, and how success is measured."""

import re

import numpy as np
import pytest

from fedscale import Job, simulate
from fedscale.report.check import check_log
from fedscale.report.log import read_log
from fedscale.report.page import write_report


def job(engine="plain", **sections):
    values = {
        "data": {"name": "synthetic", "clients": 30, "samples": 40, "classes": 4, "shape": [6], "label_skew": 1.0},
        "model": "logistic_regression",
        "local": {"epochs": 1, "batch_size": 8, "lr": 0.2},
        "rounds": {"participants": 24, "over_commitment": 1, "count": 5},
        "availability": "off",
        "engine": engine,
        "evaluate": {"every": 5},
    }
    return Job.parse(values | sections)


def last(run):
    (record,) = [record for record in read_log(run.log) if record["kind"] == "evaluate"]
    return record


@pytest.mark.parametrize("engine", ["plain", "vectorised"])
def test_flipped_labels_pull_the_model_and_a_median_of_updates_holds_it(engine, tmp_path):
    attack = {"name": "label_flip", "source": 0, "target": 3, "fraction": 0.4}
    runs = {
        "none": simulate(job(engine), tmp_path / "none", workers=1),
        "mean": simulate(job(engine, attack=attack), tmp_path / "mean", workers=1),
        "median": simulate(job(engine, attack=attack, aggregation="median"), tmp_path / "median", workers=1),
    }
    assert "attack_success" not in last(runs["none"])["metrics"]
    success = {name: last(runs[name])["metrics"]["attack_success"] for name in ("mean", "median")}
    assert success["mean"] > success["median"] + 0.1
    assert all(check_log(run.log).ok for run in runs.values())


def test_success_is_counted_over_the_samples_that_it_is_about(tmp_path):
    attack = {"name": "label_flip", "source": 0, "target": 3, "fraction": 0.5}
    record = last(simulate(job(attack=attack), tmp_path / "run", workers=1))
    attackable, attacked = (np.array(record["sums"][name]) for name in ("attackable", "attacked"))
    counts = np.array(record["count"])
    assert (attacked <= attackable).all()
    assert 0 < attackable.sum() < counts.sum() / 2  # those of one of four classes
    assert record["metrics"]["attack_success"] == attacked.sum() / attackable.sum()
    assert {"attackable", "attacked"}.isdisjoint(record["metrics"])


BACKDOOR = {"name": "backdoor", "target": 1, "size": 2, "value": 3, "fraction": 0.3}


@pytest.mark.soak
def test_any_number_of_workers_agrees(tmp_path):
    one = simulate(job(attack=BACKDOOR, engine="vectorised"), tmp_path / "one", workers=1)
    two = simulate(job(attack=BACKDOOR, engine="vectorised"), tmp_path / "two", workers=2)
    assert one.log.read_bytes() == two.log.read_bytes()


def test_both_engines_agree(tmp_path):
    one = simulate(job(attack=BACKDOOR, engine="vectorised"), tmp_path / "one", workers=1)
    plain = simulate(job(attack=BACKDOOR), tmp_path / "plain", workers=1)
    assert last(plain)["metrics"]["attack_success"] == pytest.approx(last(one)["metrics"]["attack_success"], abs=0.02)
    assert last(one)["metrics"]["attack_success"] > 0.4


def test_large_updates_are_rejected_where_norms_are_limited(tmp_path):
    rounds = {"participants": 24, "over_commitment": 1, "count": 3, "max_norm": 100}
    run = simulate(
        job(attack={"name": "gaussian", "std": 1000, "fraction": 0.25}, rounds=rounds), tmp_path / "run", workers=1
    )
    tasks = [record for record in read_log(run.log) if record["kind"] == "task"]
    rejected = [task for task in tasks if task["fate"] == "rejected"]
    assert len(rejected) == 3 * 6  # a quarter of 24 clients, in each of 3 rounds
    assert all(
        re.fullmatch(r"the update has a norm of \d{4,5}\.?\d*, more than rounds\.max_norm", task["why"])
        for task in rejected
    )
    assert len({task["client"] for task in rejected}) == 6


@pytest.mark.parametrize("engine", ["plain", "vectorised"])
def test_norms_are_limited_in_both_engines(engine, tmp_path):
    def norms(name, **rounds):
        rounds = {"participants": 24, "over_commitment": 1, "count": 1} | rounds
        run = simulate(job(engine, rounds=rounds), tmp_path / name, workers=1)
        tasks = [record for record in read_log(run.log) if record["kind"] == "task"]
        return {t["task"]: re.search(r"norm of ([\d.]+)", t["why"])[1] for t in tasks if t["fate"] == "rejected"}

    assert norms("free") == {}
    some = norms("some", max_norm=0.9)
    assert 0 < len(some) < 24
    assert all(float(norm) > 0.9 for norm in some.values())


def test_an_update_that_is_no_number_does_not_reach_a_codec(tmp_path):
    conf = {"attack": {"name": "nan", "fraction": 0.25}, "compression": {"up": {"name": "topk", "ratio": 0.5}}}
    run = simulate(job(**conf), tmp_path / "run", workers=1)
    whys = [record["why"] for record in read_log(run.log) if record.get("fate") == "rejected"]
    assert whys == ["the update is not finite"] * (5 * 6)


def test_the_report_shows_the_success_of_an_attack(tmp_path):
    attack = {"name": "label_flip", "fraction": 0.2}
    run = simulate(job(attack=attack), tmp_path / "run", workers=1)
    write_report([run.directory], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "success of the attack" in page
    assert "fedavg · uniform · attack label_flip" in page
    assert "aggregation mean" not in page
