"""Compression in whole runs: what is charged, what is lost, and what clients keep of it."""

import numpy as np
import pytest
from regression import CLASSES, FEATURES, ROUNDS, SIZES, descend, digests, flat, job, square, trained

from fedscale import resume, simulate
from fedscale.errors import JobError
from fedscale.learn.codecs import build_codec
from fedscale.report.log import read_log

NUMBERS = CLASSES * (FEATURES + 1)


def up(**conf):
    return {"up": conf}


def tasks(run):
    return [record for record in read_log(run.log) if record["kind"] == "task"]


def test_top_k_with_error_feedback_equals_numpy(clients, start, tmp_path):
    x, errors = start, [np.zeros(NUMBERS) for _ in clients]
    for _ in range(ROUNDS):
        sent = []
        for i, data in enumerate(clients):
            wanted = flat(descend(x, data, 3) - x) + errors[i]
            largest = np.zeros(NUMBERS, bool)
            largest[np.argsort(-np.abs(wanted))[:7]] = True
            sent.append(np.where(largest, wanted, 0))
            errors[i] = np.where(largest, 0, wanted)
        x = x + square(np.mean(sent, 0))
    found = trained(tmp_path, "run", compression=up(name="topk", k=7))
    np.testing.assert_allclose(found, x, rtol=1e-4, atol=1e-5)
    assert np.abs(found - trained(tmp_path, "whole")).max() > 1e-3


@pytest.mark.parametrize("engine", ["plain", "vectorised"])
def test_the_bytes_are_those_of_the_codec(engine, tmp_path):
    conf = {"name": "quantize", "bits": 4}
    run = simulate(job(compression={"up": conf, "down": {"name": "half"}}, engine=engine), tmp_path / "run", workers=1)
    sizes = [build_codec(name, options).size(NUMBERS) for name, options in (("half", {}), ("quantize", {"bits": 4}))]
    assert {(task["bytes_down"], task["bytes_up"]) for task in tasks(run)} == {tuple(sizes)}


def test_in_a_frame_every_task_has_bytes_of_its_own(tmp_path):
    run = simulate(job(compression=up(name="topk", k=7, frame="zlib")), tmp_path / "run", workers=1)
    assert len({task["bytes_up"] for task in tasks(run)}) > 1
    bare = simulate(job(compression=up(name="topk", k=7)), tmp_path / "bare", workers=1)
    assert digests(run) == digests(bare)  # a frame loses nothing


def test_clients_begin_with_what_is_left_of_the_model(clients, start, tmp_path):
    # Signs with one scale for all: from x, clients receive mean |x| · sign(x).
    x = start
    for _ in range(ROUNDS):
        received = np.abs(x).mean() * np.where(x >= 0, 1, -1)
        x = x + np.mean([descend(received, data, 3) - received for data in clients], 0)
    found = trained(tmp_path, "run", compression={"down": {"name": "sign"}})
    np.testing.assert_allclose(found, x, rtol=1e-4, atol=1e-5)


def test_what_scaffold_sends_beside_updates_stays_whole_and_both_keep_their_part(tmp_path, stop_after, resumed_by):
    settings = {"algorithm": "scaffold", "compression": up(name="topk", k=7), "checkpoint_every": 1}
    whole = simulate(job(**settings), tmp_path / "whole", workers=1)
    assert {task["bytes_up"] for task in tasks(whole)} == {build_codec("topk", {"k": 7}).size(NUMBERS) + 4 * NUMBERS}
    simulate(job(**settings), tmp_path / "parts", workers=2, observer=stop_after(2))
    assert resume(tmp_path / "parts", workers=resumed_by).log.read_bytes() == whole.log.read_bytes()


COUNTING = """
import torch
from fedscale.core.client import Client

class Counting(Client):
    @classmethod
    def state_length(cls, model):
        return 2

    def train(self, client_data, model, conf):
        result = super().train(client_data, model, conf)
        before = torch.zeros(2) if client_data.state is None else client_data.state
        result.metrics["visits"] = float(before[0])
        result.state = before + torch.tensor([1.0, 2.0]) if conf.version % 2 == 0 else None
        return result
"""


def test_a_class_and_a_codec_keep_their_numbers_side_by_side(tmp_path):
    plugin = tmp_path / "counting.py"
    plugin.write_text(COUNTING)
    seen = []

    from fedscale.core.aggregator import Aggregator

    class Watching(Aggregator):
        def client_completion_handler(self, outcome):
            seen.append(outcome.metrics["visits"])

    settings = {"plugins": [plugin], "compression": up(name="topk", k=7)}
    run = simulate(job(**settings), tmp_path / "run", workers=1, aggregator=Watching)
    # Versions 0 and 2 give a new state, 1 and 3 keep the old one; the codec's residual changes all the same.
    assert seen == [count for count in (0.0, 1.0, 1.0, 2.0) for _ in SIZES]
    assert digests(run) == digests(simulate(job(compression=up(name="topk", k=7)), tmp_path / "bare", workers=1))


def test_a_class_that_serialises_by_itself_leaves_no_place_for_a_codec(tmp_path):
    from fedscale.core.client import Client

    class Own(Client):
        def serialize_results(self, result):
            return b"12"

    with pytest.raises(JobError, match=r"compression\.up: Own has its own serialize_results; leave one of them out"):
        simulate(job(compression=up(name="half")), tmp_path / "run", workers=1, client=Own)


def test_models_cannot_travel_in_frames(tmp_path):
    with pytest.raises(JobError, match=r"compression\.down: .* must not depend on its content"):
        simulate(job(compression={"down": {"name": "half", "frame": "zlib"}}), tmp_path / "run", workers=1)


def test_a_dry_run_cannot_know_what_a_frame_takes(tmp_path):
    with pytest.raises(JobError, match=r"dry_run: what compression\.up sends is known only after training"):
        simulate(job(compression=up(name="topk", frame="zlib"), dry_run=True), tmp_path / "run", workers=1)
