"""The same job gives the same bytes, whoever runs it, wherever and however often."""

import ast
import json
import random
from pathlib import Path

import numpy as np
import pytest
import rough
import torch

import fedscale
from fedscale import Job, simulate
from fedscale.core.client_manager import ClientManager
from fedscale.report.check import check_log
from fedscale.report.log import read_log


def records(directory, kind):
    return [record for record in read_log(directory / "log.jsonl") if record["kind"] == kind]


def test_in_the_rough_job_everything_happens(undisturbed):
    """Else the comparisons below would say little."""
    ledger = records(undisturbed, "end")[0]["ledger"]
    assert all(ledger[fate] > 0 for fate in ("completed", "straggler", "dropped", "failed", "rejected", "cancelled"))
    assert records(undisturbed, "jump")
    assert records(undisturbed, "abandon")
    assert check_log(undisturbed / "log.jsonl").ok


@pytest.mark.parametrize("workers", [2, pytest.param(4, marks=pytest.mark.soak)])
def test_any_number_of_workers_writes_the_same_bytes(rough_job, undisturbed, tmp_path, workers):
    done = rough.run("run", rough_job, "--out", tmp_path / "run", "--workers", workers)
    assert done.returncode == 0, done.stderr
    assert rough.facts(tmp_path / "run") == rough.facts(undisturbed)


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONHASHSEED": "1", "TZ": "Asia/Kathmandu", "LC_ALL": "C"},
        {"PYTHONHASHSEED": "random", "TZ": "America/St_Johns", "LC_ALL": "tr_TR.UTF-8", "OMP_NUM_THREADS": "2"},
    ],
    ids=["east", "west"],
)
def test_hash_seed_time_zone_and_locale_do_not_matter(rough_job, undisturbed, tmp_path, environment):
    done = rough.run("run", rough_job, "--out", tmp_path / "run", "--workers", 1, **environment)
    assert done.returncode == 0, done.stderr
    assert rough.facts(tmp_path / "run") == rough.facts(undisturbed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_digits_with_real_phones_on_1_2_4_and_8_workers(tmp_path, seed):
    """A convolutional network; its clients come from the built-in population and upload a large model."""
    settings = ["--set", "availability.source=builtin", "--set", "cost.payload_bytes=20000000", "--set", f"seed={seed}"]
    outs = [tmp_path / f"run-{workers}" for workers in (1, 2, 4, 8)]
    for out in outs:
        done = rough.run("run", "digits", *settings, "--out", out, "--workers", out.name.partition("-")[2])
        assert done.returncode == 0, done.stderr
    assert {fate for fate, count in records(outs[0], "end")[0]["ledger"].items() if count} >= {"completed", "dropped"}
    assert len({rough.facts(out) for out in outs}) == 1


def test_two_seeds_differ_in_every_stream(rough_job, undisturbed, tmp_path):
    job = Job.load(rough_job, ["seed=2"])
    other = simulate(job, tmp_path / "run", workers=1).directory
    one, two = (records(directory, "population")[0] for directory in (undisturbed, other))
    assert one["fingerprint"] != two["fingerprint"]  # the generated data
    assert one["samples"] != two["samples"]  # the split
    costs = [
        {task["client"]: task["download"] for task in records(directory, "task") if task["fate"] == "completed"}
        for directory in (undisturbed, other)
    ]
    common = sorted(costs[0].keys() & costs[1].keys())
    assert [costs[0][client] for client in common] != [costs[1][client] for client in common]  # the devices
    assert records(undisturbed, "select")[9]["clients"] != records(other, "select")[9]["clients"]
    assert records(undisturbed, "commit")[0]["params"] != records(other, "commit")[0]["params"]


def test_numbers_drawn_by_others_change_nothing(tmp_path):
    """Streams have names, and nothing in a run listens to the global generators."""
    job = Job.parse(
        {
            "data": {"name": "synthetic", "clients": 30, "samples": 20},
            "model": {"name": "mlp", "hidden": 8},
            "local": {"steps": 2},
            "rounds": {"participants": 6, "count": 4},
        }
    )

    class Drawing(ClientManager):
        def select_participants(self, *arguments):
            random.seed()
            torch.seed()
            np.random.default_rng().random()
            fedscale.seeds.rng(1, "another").random(5)
            return super().select_participants(*arguments)

    plain = simulate(job, tmp_path / "plain", workers=1)
    drawing = simulate(job, tmp_path / "drawing", workers=1, client_manager=Drawing)
    assert rough.facts(plain.directory) == rough.facts(drawing.directory)


@pytest.mark.parametrize("room", ["rounds", "learn", "select"])
def test_rooms_that_decide_and_train_know_neither_clock_nor_chance(room):
    forbidden = {"time", "datetime", "random", "secrets", "uuid"}
    for path in (Path(fedscale.__file__).parent / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert not forbidden & {alias.name.partition(".")[0] for alias in node.names}, path
            elif isinstance(node, ast.ImportFrom):
                assert str(node.module).partition(".")[0] not in forbidden, path


def test_the_log_holds_no_time_of_day(undisturbed):
    keys = set()
    for line in (undisturbed / "log.jsonl").read_text().splitlines():
        json.loads(line, object_hook=lambda values: keys.update(values) or values)
    assert not keys & {"date", "wall", "elapsed", "timestamp", "seconds", "host", "pid"}
