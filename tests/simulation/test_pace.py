"""Steps and compression by device and link: who is asked for what, by hand; rounds are shorter, clients together."""

import json
import re

import numpy as np
import pytest
from safetensors.numpy import load_file

from fedscale import Job, resume, simulate
from fedscale.core.client import Client
from fedscale.errors import JobError
from fedscale.report.check import check_log
from fedscale.report.log import ROOT, link, read_log
from fedscale.report.page import _subject
from fedscale.select import SELECTORS
from fedscale.select.uniform import Uniform
from fedscale.simulation import setup
from fedscale.simulation.pace import build_pace

DEVICES = """client_id,ms_per_sample,down_kbps,up_kbps
A,10,1000,1000
B,50,500,500
C,20,2000,10
"""
"""A is quick, B computes slowly, C has a slow link upwards."""


def job(tmp_path, pacing=None, **sections):
    (tmp_path / "devices.csv").write_text(DEVICES)
    values = {
        "data": {
            "name": "synthetic",
            "sizes": [100] * 3,
            "classes": 4,
            "shape": [6],
            "split": {"train": 1, "validation": 0, "test": 0},
        },
        "model": {"name": "mlp", "hidden": 100},  # 6·100 + 100 + 100·4 + 4 = 1,104 numbers
        "local": {"steps": 5, "batch_size": 20},
        "rounds": {"participants": 3, "over_commitment": 1, "count": 2},
        "devices": {"source": "csv", "file": tmp_path / "devices.csv", "assign": "in_order"},
        "availability": "off",
        "pacing": pacing,
    }
    return Job.parse(values | sections)


def pace_of(job):
    parts = setup.prepare(job, {})
    return build_pace(job, parts.split.train, setup.pricer(job, parts))


def tasks(run):
    return [record for record in read_log(run.log) if record["kind"] == "task"]


SIGN = {"name": "sign"}
WHOLE, SIGNS = 80 + 4 * 1104, 150
"""Bytes of an update, and of its signs: a header of 8, a scale of 4 and 1,104 bits."""


def test_three_clients_by_hand(tmp_path):
    """A step is 20 samples of 3 forward passes: 0.6 s for A, 3 s for B, 1.2 s for C.

    Down and up, A takes 4496 · 8 / 1000 = 36 ms, B 72 ms, C 18 ms down, and at 10 kbit/s 3.6 s up, 0.12 s for signs.
    Five steps take 3.072, 15.144 and 9.615 s; the median is that of C. A takes 15 steps of 0.6 s: 9.072 s; a sixteenth
    would be late. B three of 3 s: 9.144 s. C has five steps in time as they are.
    """
    run = simulate(job(tmp_path, {"steps": [1, 50]}), tmp_path / "run", workers=1)
    assert check_log(run.log).ok
    first = {task["client"]: task for task in tasks(run)[:3]}
    assert [first[client].get("steps", 5) for client in range(3)] == [15, 3, 5]
    assert [first[client]["samples"] for client in range(3)] == [300, 60, 100]
    assert [first[client]["end"] for client in range(3)] == pytest.approx([9.071936, 9.143872, 9.614784])
    assert [first[client]["compute"] for client in range(3)] == pytest.approx([9, 9, 6])


@pytest.mark.parametrize(
    ("seconds", "steps", "levels"),
    [
        (10, [16, 3, 5], [0, 0, 0]),  # C: 3.615 s for its link, and 5 steps of 1.2 s; a sixth would be late
        (9, [14, 2, 7], [0, 0, 1]),  # C has no time for 5 steps and the whole update: signs, 0.12 s, and 7 steps
        (4, [6, 1, 3], [0, 0, 1]),  # C has time for none with the whole update, for 3 with signs
        (1.3, [2, 1, 1], [0, 1, 1]),  # B is late in any case, and C with less: what they send is as small as can be
        (100, [20, 20, 20], [0, 0, 0]),  # all bounded
    ],
)
def test_steps_and_levels_for_a_target_by_hand(seconds, steps, levels, tmp_path):
    pace = pace_of(job(tmp_path, {"steps": [1, 20], "seconds": seconds, "compression": [SIGN]}))
    found = pace.choose(np.arange(3), np.ones(3))
    assert ([*found[0]], [*found[1]]) == (steps, levels)
    durations = pace.durations(np.arange(3))
    in_time = {10: [1, 1, 1], 9: [1, 1, 1], 4: [1, 1, 1], 1.3: [1, 0, 0], 100: [1, 1, 1]}[seconds]
    assert [int(duration <= seconds * 1e6) for duration in durations] == in_time


def test_the_target_is_a_quantile_of_what_the_jobs_own_settings_take(tmp_path):
    for quantile, client in ((0, 0), (0.5, 2), (1, 1)):
        pace = pace_of(job(tmp_path, {"steps": [1, 20], "quantile": quantile}))
        assert pace.target == sorted(pace._pricer.durations(np.arange(3)))[[0, 2, 1].index(client)]
    assert pace_of(job(tmp_path, {"steps": [1, 20], "seconds": 7.5})).target == 7_500_000


def spread(run):
    first = [task["end"] - task["start"] for task in tasks(run)]
    return max(first) - min(first)


def test_clients_finish_together_and_rounds_are_shorter(tmp_path):
    """As a whole: the median is 9.6 s, so that the slowest has 15.1 s no more."""
    plain = simulate(job(tmp_path), tmp_path / "plain", workers=1)
    paced = simulate(job(tmp_path, {"steps": [1, 50], "compression": [SIGN]}), tmp_path / "paced", workers=1)
    assert spread(plain) > 12
    assert spread(paced) < 0.6
    ends = [[record["t"] for record in read_log(run.log) if record["kind"] == "commit"] for run in (plain, paced)]
    assert ends[0][-1] == pytest.approx(2 * 15.143872)
    assert ends[1][-1] == pytest.approx(2 * 9.614784)


def test_reports_say_that_clients_were_paced(tmp_path):
    found = [
        _subject(simulate(job(tmp_path, pacing), tmp_path / name, workers=1).metrics) for name, pacing in PACED.items()
    ]
    assert ["pacing" in subject for subject in found] == [True, False]


PACED = {"paced": {"steps": [1, 50]}, "plain": None}


@pytest.mark.parametrize(
    ("load", "line", "message"),
    [
        ({"bytes_up": 149}, {}, r"bytes_up is 150, more than the payload of 149"),
        ({"level": 2}, {}, r"no task has width 1\.0 at level 1"),
        ({}, {"width": 0.5}, r"no task has width 0\.5 at level"),
        ({}, {"level": 0}, r"bytes_up is 150, but a completed task moved the whole payload of 4496"),
    ],
)
def test_a_log_that_contradicts_its_table_of_loads_is_found_out(load, line, message, tmp_path):
    run = simulate(job(tmp_path, {"steps": [1, 20], "seconds": 9, "compression": [SIGN]}), tmp_path / "run", workers=1)
    records = list(read_log(run.log))
    records[1]["loads"][1] |= load
    (task,) = [record for record in records if record["kind"] == "task" and record["task"] == 2]
    task |= line
    altered, chain = tmp_path / "altered.jsonl", ROOT
    with altered.open("w") as file:
        for record in records:
            record.pop("chain", None)
            body = json.dumps(record, separators=(",", ":"), ensure_ascii=False)
            chain = link(chain, body)
            file.write(f'{body[:-1]},"chain":"{chain}"}}\n')
    findings = check_log(altered).findings
    assert findings and all("altered" not in finding for finding in findings)
    assert any(re.search(message, finding) for finding in findings), findings


def test_what_is_compressed_is_charged_as_it_is_sent(tmp_path):
    run = simulate(job(tmp_path, {"steps": [1, 20], "seconds": 9, "compression": [SIGN]}), tmp_path / "run", workers=1)
    sent = {task["client"]: (task["bytes_down"], task["bytes_up"], task.get("level", 0)) for task in tasks(run)}
    assert sent == {0: (WHOLE, WHOLE, 0), 1: (WHOLE, WHOLE, 0), 2: (WHOLE, SIGNS, 1)}
    population = next(record for record in read_log(run.log) if record["kind"] == "population")
    assert [(load["level"], load["bytes_up"]) for load in population["loads"]] == [(0, WHOLE), (1, SIGNS)]
    assert (population["bytes_down"], population["bytes_up"]) == (WHOLE, None)
    assert check_log(run.log).ok


class Counted(Client):
    def train(self, client_data, model, conf):
        assert len(client_data.steps(conf)) == conf.steps == [15, 3, 5][conf.client]
        return super().train(client_data, model, conf)


def test_clients_train_as_many_steps_as_they_are_asked_for(tmp_path):
    asked = {"steps": [1, 50]}
    runs = [
        simulate(job(tmp_path, asked, engine=engine), tmp_path / name, workers=1, **client)
        for name, engine, client in (("own", "plain", {"client": Counted}), ("blocks", "vectorised", {}))
    ]
    assert {task["fate"] for task in tasks(runs[0])} == {"completed"}
    assert (
        next(record for record in read_log(runs[1].log) if record["kind"] == "population")["engine"]["name"] != "plain"
    )
    own, blocks = (load_file(run.directory / "model.safetensors") for run in runs)
    for name in own:
        np.testing.assert_allclose(own[name], blocks[name], rtol=1e-4, atol=1e-6)


def test_asynchronous_clients_are_paced_too(tmp_path, stop_after):
    some = {
        "asynchronous": {"concurrency": 3},
        "rounds": {"participants": 2, "over_commitment": 1, "count": 5},
        "checkpoint_every": 1,
    }
    asked = {"steps": [1, 20], "seconds": 9, "compression": [SIGN]}
    run = simulate(job(tmp_path, asked, **some), tmp_path / "run", workers=1)
    assert check_log(run.log).ok
    steps = {(task["client"], task.get("steps", 5), task.get("level", 0)) for task in tasks(run)}
    assert steps == {(0, 14, 0), (1, 2, 0), (2, 7, 1)}
    simulate(job(tmp_path, asked, **some), tmp_path / "parts", workers=1, observer=stop_after(2))
    assert resume(tmp_path / "parts", workers=1).log.read_bytes() == run.log.read_bytes()


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.soak)])
@pytest.mark.parametrize("error_feedback", [True, False])
def test_narrow_models_are_paced_and_compressed(error_feedback, workers, tmp_path):
    topk = {"name": "topk", "ratio": 0.1, "error_feedback": error_feedback}
    asked = {"steps": [1, 20], "seconds": 9, "compression": [topk]}
    some = {"algorithm": {"name": "heterofl", "widths": [1, 0.5], "assign": "dynamic"}, "compression": {"up": "half"}}
    some |= {"rounds": {"participants": 3, "over_commitment": 1, "count": 5}}
    run = simulate(job(tmp_path, asked, **some), tmp_path / "run", workers=1)
    assert check_log(run.log).ok
    assert {task["fate"] for task in tasks(run)} == {"completed"}
    assert {(task.get("width", 1), task.get("level", 0)) for task in tasks(run)} >= {(1, 0), (0.5, 0)}
    population = next(record for record in read_log(run.log) if record["kind"] == "population")
    assert len({load["bytes_up"] for load in population["loads"]}) == 4
    again = simulate(job(tmp_path, asked, **some), tmp_path / "again", workers=workers)
    assert again.log.read_bytes() == run.log.read_bytes()


class Listening(Uniform):
    """Remembers what it is told of everybody's tasks."""

    told = ()

    def __init__(self, outlook):
        self.outlook = outlook

    def select(self, online, count, moment):
        Listening.told = self.outlook.duration(np.arange(3)).tolist()
        return super().select(online, count, moment)


def test_selectors_are_told_what_paced_tasks_take(tmp_path, monkeypatch):
    monkeypatch.setitem(SELECTORS._entries, "listening", Listening)
    run = simulate(job(tmp_path, {"steps": [1, 50]}, selector="listening"), tmp_path / "run", workers=1)
    assert Listening.told == [task["end"] for task in sorted(tasks(run)[:3], key=lambda task: task["client"])]
    assert Listening.told == pytest.approx([9.071936, 9.143872, 9.614784])


def test_what_stays_on_clients_is_left_out_at_every_level(tmp_path):
    """With the last layer, 100·4 + 4 numbers stay: 700 travel, or the bits of their signs."""
    asked = {"steps": [1, 20], "seconds": 7, "compression": [SIGN]}
    run = simulate(job(tmp_path, asked, algorithm="fedper"), tmp_path / "run", workers=1)
    assert check_log(run.log).ok
    assert {(task["bytes_up"], task.get("level", 0)) for task in tasks(run)} == {(72 + 4 * 700, 0), (8 + 4 + 88, 1)}


REFUSED = {
    "bounds": ({"steps": [5, 2]}, {}, r"pacing.*5 is more than 2"),
    "none": ({"steps": [0, 2]}, {}, r"pacing\.steps\.0"),
    "missing": ({"quantile": 0.5}, {}, r"'pacing\.steps' is required"),
    "quantile": ({"steps": [1, 2], "quantile": 1.5}, {}, r"pacing\.quantile"),
    "epochs": ({"steps": [1, 2]}, {"local": {"epochs": 1}}, r"pacing: it counts local steps: give local\.steps"),
    "unknown codec": ({"steps": [1, 2], "compression": ["topp"]}, {}, r"unknown codec 'topp'.*'topk'"),
    "sizes": (
        {"steps": [1, 2], "compression": [{"name": "topk", "frame": "zlib"}]},
        {},
        r"pacing: the size of an upload",
    ),
    "payload": (
        {"steps": [1, 2], "compression": [SIGN]},
        {"cost": {"payload_bytes": 9}},
        r"pacing: .*leave out cost\.payload_bytes",
    ),
    "fetchsgd": ({"steps": [1, 2], "compression": [SIGN]}, {"algorithm": "fetchsgd"}, r"'sign' acts on updates"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_paced_is_refused(name, tmp_path):
    pacing, sections, message = REFUSED[name]
    with pytest.raises(JobError, match=message):
        simulate(job(tmp_path, pacing, **sections), tmp_path / "run", workers=1)
