"""Checkpoints: what goes in comes out, and what is damaged is never used."""

import errno
import json
import os
import pickle
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from fedscale.errors import CheckpointError, WriteError
from fedscale.report.checkpoint import load_checkpoint, load_newest, save_checkpoint

TENSORS = st.sampled_from(
    [
        torch.arange(6, dtype=torch.float32).reshape(2, 3),
        torch.zeros(0),
        torch.tensor(2.5, dtype=torch.float64),
        torch.tensor([1, -1]),
        torch.tensor([True, False]),
        torch.arange(6).reshape(2, 3).t(),
    ]
)
KEYS = st.sampled_from(["a", "b", "tensor", "none", "a/b", "~", "~1", "/", "", "0"])
STATES = st.dictionaries(
    KEYS,
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | TENSORS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)
STATE = {
    "time": 7_000_000,
    "chain": "0123456789abcdef",
    "aggregator": {"vector": torch.linspace(-1, 1, 40), "optimizer": {"m": torch.ones(40), "steps": [1, 2]}},
}


def same(one, other):
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


@settings(max_examples=100, deadline=None)
@given(state=STATES)
def test_a_state_comes_back_as_it_was(tmp_path_factory, state):
    assert same(state, load_checkpoint(save_checkpoint(tmp_path_factory.mktemp("state"), 1, state)))


def test_infinities_and_tuples(tmp_path):
    state = load_checkpoint(save_checkpoint(tmp_path, 1, {"best": float("inf"), "pair": (1, 2)}))
    assert state == {"best": float("inf"), "pair": [1, 2]}
    pairs = {"pairs": [(1, torch.ones(2)), (2, None)]}
    assert same({"pairs": [[1, torch.ones(2)], [2, None]]}, load_checkpoint(save_checkpoint(tmp_path, 2, pairs)))


def test_one_tensor_may_appear_twice_and_as_a_part_of_itself(tmp_path):
    vector = torch.arange(4.0)
    state = {"now": vector, "best": vector, "head": vector[:2]}
    assert same(state, load_checkpoint(save_checkpoint(tmp_path, 1, state)))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"seen": {3: 0.5}}, r"/seen has the key 3; keys are texts, so write str\(key\)"),
        (
            {"seen": [np.zeros(3)]},
            "/seen/0 is a ndarray; a state holds numbers, texts, lists, dictionaries and tensors",
        ),
        ({"seen": {1, 2}}, "/seen is a set"),
        ({"loss": np.float32(1)}, "/loss is a float32"),
    ],
)
def test_what_would_not_come_back_is_refused_when_it_is_saved(tmp_path, state, message):
    with pytest.raises(CheckpointError, match=message):
        save_checkpoint(tmp_path, 1, state)
    assert list(tmp_path.iterdir()) == []


def test_the_newest_two_are_kept(tmp_path):
    for attempt in (5, 10, 15, 100):
        save_checkpoint(tmp_path, attempt, {"attempt": attempt})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-00000015.safetensors",
        "checkpoint-00000100.safetensors",
    ]
    assert load_newest(tmp_path, print) == {"attempt": 100}


def test_no_checkpoint_is_no_state(tmp_path):
    said = []
    assert load_newest(tmp_path, said.append) is None
    assert load_newest(tmp_path / "absent", said.append) is None
    assert said == []


@pytest.fixture
def two(tmp_path):
    """Two checkpoints; the path and the bytes of the newer one."""
    save_checkpoint(tmp_path, 5, {**STATE, "attempt": 5})
    path = save_checkpoint(tmp_path, 10, {**STATE, "attempt": 10})
    return path, path.read_bytes()


def assert_refused(path: Path):
    """The damaged file is named, and the one before it is used."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)
    said = []
    state = load_newest(path.parent, said.append)
    assert (state["attempt"], len(said)) == (5, 1)
    assert str(path) in said[0]


def test_a_truncated_file_is_refused_wherever_it_was_cut(two):
    path, whole = two
    for cut in np.linspace(0, len(whole) - 1, 100, dtype=int).tolist():
        path.write_bytes(whole[:cut])
        assert_refused(path)


def test_a_flipped_bit_is_found_wherever_it_is(two):
    path, whole = two
    for number, offset in enumerate(np.linspace(0, len(whole) - 1, 200, dtype=int).tolist()):
        damaged = bytearray(whole)
        damaged[offset] ^= 1 << number % 8
        path.write_bytes(damaged)
        assert_refused(path)


def test_a_file_that_claims_a_terabyte_is_refused_at_once(two):
    path, whole = two
    path.write_bytes(struct.pack("<Q", 1 << 40) + whole[8:])
    begin = time.perf_counter()
    with pytest.raises(CheckpointError, match="its header claims 1099511627776 bytes"):
        load_checkpoint(path)
    assert time.perf_counter() - begin < 0.1
    assert_refused(path)


class Evil:
    def __reduce__(self):
        return os.system, ("touch canary",)


def header(entries):
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text


FOREIGN = {
    "empty": b"",
    "a pickle": pickle.dumps(Evil()),
    "an array of objects": header({"x": {"dtype": "O", "shape": [1], "data_offsets": [0, 8]}}) + bytes(8),
    "offsets beyond the end": header({"x": {"dtype": "F32", "shape": [9], "data_offsets": [0, 1 << 40]}}) + bytes(8),
    "no metadata": save({"x": torch.zeros(2)}),
    "a deep nest": save({"x": torch.zeros(2)}, {"state": "[" * 100_000, "digest": "0"}),
    "noise": bytes(range(256)) * 8,
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_foreign_files_under_the_name_of_a_checkpoint_are_refused(two, content, monkeypatch):
    path, _ = two
    monkeypatch.chdir(path.parent)
    path.write_bytes(content)
    assert_refused(path)
    assert not Path("canary").exists()


@pytest.mark.parametrize("text", ["[" * 100_000 + "]" * 100_000, "[]", "1", '"state"'])
def test_a_file_with_a_sound_digest_must_hold_a_state(two, text):
    from fedscale.report.checkpoint import _digest

    path, _ = two
    path.write_bytes(save({"none": torch.zeros(0)}, {"state": text, "digest": _digest(text, {})}))
    assert_refused(path)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_disk_that_refuses_leaves_the_checkpoints_as_they_were(two, code, monkeypatch):
    path, whole = two

    def refuse(handle):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(WriteError, match=rf"checkpoint-00000015.* cannot be written: {os.strerror(code)}"):
        save_checkpoint(path.parent, 15, STATE)
    assert len(list(path.parent.iterdir())) == 2
    assert path.read_bytes() == whole
