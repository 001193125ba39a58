"""The benchmarks: their bare loops do the work that FedScale does, and the command runs."""

import math
import mmap
import os
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT))

from benchmarks import bare, memory, oneimport, rawfiles, rounds, scaling, startup, stores, team  # noqa: E402
from benchmarks.__main__ import main  # noqa: E402

from fedscale import Job, simulate  # noqa: E402
from fedscale.data.store import open_store  # noqa: E402

SAMPLES = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("benchmarks")


def work(folder, model, clients=5, batch=SAMPLES):
    """Every step takes all samples of a client, so that their order does not matter."""
    if model in ("char_lstm", "context_mlp"):
        store = stores.texts(folder, clients, rows=SAMPLES)
    else:
        store = stores.images(folder, clients, samples=SAMPLES, shape=(6, 6), classes=4)
    return team.Work(store, model, clients, steps=3, batch=batch)


def trained(task, count, out):
    """Return the model after so many of FedScale's rounds over all clients, as one vector."""
    job = Job.parse(
        {
            "data": {"name": str(task.store), "split": {"train": 1.0, "validation": 0.0, "test": 0.0}},
            "model": task.model,
            "local": {"steps": task.steps, "batch_size": task.batch, "lr": bare.LR},
            "rounds": {"participants": task.clients, "count": count, "over_commitment": 1.0},
            "availability": "off",
        }
    )
    simulate(job, out, workers=1)
    _, _, module = team.load(task)
    module.load_state_dict(load_file(out / "model.safetensors"))
    return bare.flat(module).detach()


@pytest.mark.parametrize("model", ["logistic_regression", "mlp", "cnn", "context_mlp"])
def test_a_bare_round_does_what_a_round_of_fedscale_does(model, folder, tmp_path):
    task = work(folder, model)
    before, after = (trained(task, count, tmp_path / str(count)) for count in (1, 2))
    total, weight = team.Share(task).train(before)
    assert weight == task.clients * SAMPLES
    change, norm = after - before, torch.linalg.vector_norm
    assert norm(change) > 1e-3
    assert norm(total / weight - change) < 1e-3 * norm(change)


@pytest.mark.parametrize(
    ("by_hand", "module"),
    [
        (bare.LogisticRegression, nn.Sequential(nn.Flatten(), nn.Linear(12, 5))),
        (bare.MLP, nn.Sequential(nn.Flatten(), nn.Linear(12, 7), nn.ReLU(), nn.Linear(7, 5))),
    ],
)
@pytest.mark.parametrize("stored", [False, True])
def test_gradients_by_hand_are_those_of_autograd(by_hand, module, stored):
    """On clients of different sizes, whose number is no multiple of those at once, in any order of rows."""
    torch.manual_seed(1)
    sizes = [9, 12, 30, 10, 9, 9, 11, 17, 13, 20]
    assert len(sizes) % bare.AT_ONCE
    clients = [(torch.randn(size, 3, 4), torch.randint(5, (size,))) for size in sizes]
    visits = [bare.visits(size, steps=4, batch=8) for size in sizes]
    start = bare.flat(module).clone()
    expected, weight = bare.Plain(module, bare.class_loss, clients).train(start, visits)
    total, same = by_hand(module, clients, stored=stored).train(start, visits)
    assert weight == same == sum(sizes)
    assert expected.abs().max() > 0.01 * weight * bare.LR
    torch.testing.assert_close(total, expected, rtol=1e-4, atol=1e-6 * weight)


@given(samples=st.integers(1, 40), steps=st.integers(1, 10), batch=st.integers(1, 40))
def test_every_sample_is_visited_once_before_any_is_visited_again(samples, steps, batch):
    visits = bare.visits(samples, steps, batch)
    assert visits.shape == (steps, min(samples, batch))
    counts = torch.bincount(visits.reshape(-1), minlength=samples)
    whole, rest = divmod(visits.numel(), samples)
    assert sorted(counts.tolist()) == [whole] * (samples - rest) + [whole + 1] * rest


def test_two_processes_do_what_one_does(folder):
    task = work(folder, "mlp")
    alone = team.Alone(task)
    with closing(team.gather(task, 2)) as pair:
        pair._vector.copy_(alone._vector)
        for _ in range(2):
            alone.round()
            pair.round()
        torch.testing.assert_close(pair._vector, alone._vector, rtol=1e-4, atol=1e-6)


def test_both_sides_are_timed_in_turns(folder, monkeypatch):
    small = rounds.Case(partial(stores.images, samples=SAMPLES, shape=(6, 6), classes=4), steps=1, batch=2)
    monkeypatch.setitem(rounds.CASES, "mlp", small)
    ours, bare_seconds, ratios = rounds.measure("mlp", participants=4, rounds=3, workers=1, folder=folder)
    assert ours > 0
    assert bare_seconds > 0
    assert len(ratios) == 3
    sides = rounds.speedup("mlp", participants=4, rounds=2, folder=folder, repeats=1)
    assert all(side.median(processes) > 0 for side in sides for processes in (1, 2))


def test_a_speed_up_is_ones_time_over_twos_and_the_first_round_warms_up(folder, monkeypatch):
    watched = {1: rounds.Turns(ours=[9, 6, 6], bare=[9, 8, 8]), 2: rounds.Turns(ours=[9, 4, 4], bare=[9, 2, 2])}
    monkeypatch.setattr(rounds.team, "gather", lambda work, workers: team.Alone(work))
    monkeypatch.setattr(rounds, "_run", lambda model, store, participants, number, workers, other: watched[workers])
    ours, bare_side = rounds.speedup("mlp", participants=4, rounds=2, folder=folder, repeats=2)
    assert (ours.ratios, bare_side.ratios) == ([1.5, 1.5], [4, 4])
    assert [ours.median(processes) for processes in (2, 1)] == [4, 6]


def test_the_footprint_of_a_process_grows_with_what_it_holds():
    before = memory.footprint(psutil.Process())
    held = mmap.mmap(-1, 50_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # no memory that somebody let go of
    np.frombuffer(held, np.uint8)[:] = 1
    after = memory.footprint(psutil.Process())
    assert 45e6 < after.own - before.own < 60e6
    assert held[-1] == 1
    assert after.whole >= after.own


def test_points_are_measured_and_drawn(folder, tmp_path):
    points = scaling.by_clients([2, 5], 2, folder)
    assert [number for number, _ in points] == [2, 5]
    assert all(0 < seconds < 60 for _, seconds in points)
    scaling.plot(points, "Title", "clients", tmp_path / "out" / "plot.html")
    assert "in proportion to the first" in (tmp_path / "out" / "plot.html").read_text()


@pytest.mark.parametrize("name", rawfiles.GENERATORS)
def test_what_is_generated_is_imported_whole(name, tmp_path, monkeypatch):
    monkeypatch.setattr(rawfiles, "ADS", 100)
    monkeypatch.setattr(rawfiles, "DIFFERENT", 2)
    (tmp_path / "raw").mkdir()
    rawfiles.GENERATORS[name](tmp_path / "raw", 30, 3)
    oneimport.write(name, tmp_path / "raw", tmp_path / "store")
    dataset = open_store(tmp_path / "store")
    assert len(dataset) == 3
    if name == "blog":
        # Ten posts of 200 words and an end each are 2,010 tokens: 2,009 predictions, 64 a row.
        assert dataset.counts.tolist() == [32] * 3
    else:
        assert dataset.counts.sum() == 30


@pytest.mark.soak
def test_the_first_round_begins_after_torch_is_imported():
    whole, torch_alone, differences = startup.measure(1, workers=1)
    assert whole > 0.5 * torch_alone > 0
    assert differences == [pytest.approx(whole - torch_alone)]


def run(*arguments, seconds=1200):
    environment = {**os.environ, "COLUMNS": "120", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "benchmarks", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds, check=False
    )


@pytest.mark.parametrize(
    ("argument", "code", "told"),
    [
        (
            "--help",
            0,
            [
                "rounds",
                "speedup",
                "memory",
                "scaling",
                "startup",
                "queries",
                "imports",
                "decoding",
                "coordinator",
                "--quick",
            ],
        ),
        ("speed", 2, ["unknown: speed; known: rounds"]),
    ],
)
def test_the_command_says_what_it_measures(argument, code, told, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks", argument])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == code
    said = "".join(capsys.readouterr())
    assert [words for words in told if words not in said] == []


@pytest.mark.soak
def test_a_quick_look_at_everything(tmp_path):
    done = run("--quick", "--out", tmp_path / "plots")
    assert done.returncode == 0, done.stderr
    assert "mlp, 50 clients, 2 processes" in done.stdout
    assert "inaturalist: 60 rows of 6 clients" in done.stdout
    assert {path.name for path in (tmp_path / "plots").iterdir()} >= {"clients.html", "population.html"}
    ratios = [line.split("│")[-2] for line in done.stdout.splitlines() if "clients, 1 process" in line]
    assert ratios
    assert all(0.1 < float(ratio.split()[0]) < 100 and math.isfinite(float(ratio.split()[0])) for ratio in ratios)
