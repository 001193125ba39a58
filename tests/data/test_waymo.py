"""Waymo's motion scenes: records, checksums, messages, samples."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from waymo_raw import STEPS, Agent, Scenario, checksum, example, floats, integers, message, record, scenario, still
from waymo_raw import varint as encoded

from fedscale.data.crc32c import LANES, crc32c, masked
from fedscale.data.identity import client_digest
from fedscale.data.importers.waymo import Waymo
from fedscale.data.notes import Notes
from fedscale.data.protowire import fields, varint, varints
from fedscale.data.scenes import read_scene
from fedscale.data.store import open_store
from fedscale.data.tfrecord import read_record, read_records
from fedscale.errors import DataError

REAL = Path(__file__).parents[3] / "shared" / "data" / "raw" / "waymo"


def north(step: int) -> tuple[float, float, float, float, float, bool]:
    """A car at (100, 50) at step 10 that drives north at 5 m/s and turns its head by 0.1 a step; gone at step 50."""
    return 100.0, 50 + (step - 10) * 0.5, math.pi / 2 + 0.125 * (step - 10), 0.0, 5.0, step not in (3, 50)


CAR = Agent(1, [north(step) for step in range(STEPS)], asked=True)
GONE = Agent(2, [(0.0, 0.0, 0.0, 0.0, 0.0, step < 10) for step in range(STEPS)])
NO_FUTURE = Agent(3, [(0.0, 0.0, 0.0, 0.0, 0.0, step <= 10) for step in range(STEPS)])
SCENE = Scenario("a3bb37c25ce56418", [still(1, 2, kind=3), CAR, GONE, NO_FUTURE, still(3, 4, 1.0, kind=4)])


def imported(tmp_path: Path, records: dict[str, bytes], **options: Any) -> tuple[dict[str, tuple[Any, Any]], Notes]:
    for name, content in records.items():
        (tmp_path / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "raw" / name).write_bytes(content)
    notes = Notes()
    Waymo(raw=tmp_path / "raw", **options).write(tmp_path / "store", notes)
    dataset = open_store(tmp_path / "store")
    names = sorted([SCENE.name, "other"], key=client_digest) if len(dataset) > 1 else [SCENE.name]
    columns = [dataset.client(client).columns for client in range(len(dataset))]
    return {name: (np.asarray(c["x"]), np.asarray(c["y"])) for name, c in zip(names, columns, strict=True)}, notes


@pytest.mark.parametrize("kind", [scenario, example])
def test_samples_of_agents(tmp_path: Path, kind: Any) -> None:
    samples, _ = imported(tmp_path, {"training/training.tfrecord-00000-of-01000": record(kind(SCENE))})
    x, y = samples[SCENE.name]
    assert (x.shape, y.shape) == ((3, 11, 10), (3, 16, 3))
    assert x[:, 0, 7:].tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 0]]  # cyclist, vehicle, other
    assert x[0, :, :7].tolist() == [[0, 0, 0, 0, 0, 1, 1]] * 11
    car = x[1]
    np.testing.assert_allclose(car[10, :7], [0, 0, 5, 0, 0, 1, 1], atol=1e-5)
    np.testing.assert_allclose(car[9, :7], [-0.5, 0, 5, 0, math.sin(-0.125), math.cos(-0.125), 1], atol=1e-5)
    assert not car[3, :7].any()
    assert car[3, 7] == 1
    ahead = [[2.5 * time, 0, 1] for time in range(1, 17)]
    ahead[7] = [0, 0, 0]  # step 50
    np.testing.assert_allclose(y[1], ahead, atol=1e-4)
    np.testing.assert_allclose(y[2], [[0, 0, 1]] * 16)


@pytest.mark.parametrize("kind", [scenario, example])
def test_all_steps_and_only_those_that_are_asked_for(tmp_path: Path, kind: Any) -> None:
    samples, _ = imported(tmp_path, {"a.tfrecord": record(kind(SCENE))}, rate=10, agents="to_predict")
    ((x, y),) = samples.values()
    assert (x.shape, y.shape) == ((1, 11, 10), (1, 80, 3))
    np.testing.assert_allclose(y[0, 79], [40, 0, 1], atol=1e-4)
    assert y[0, :, 2].tolist() == [step != 50 for step in range(11, 91)]


def test_two_scenarios_and_one_that_comes_twice(tmp_path: Path) -> None:
    other = Scenario("other", [still(0, 0)])
    records = {
        "tf_example/a.tfrecord": record(example(SCENE)) + record(example(other, slots=3)),
        "scenario/a.tfrecord": record(scenario(SCENE)),
    }
    samples, notes = imported(tmp_path, records)
    assert {name: len(x) for name, (x, _) in samples.items()} == {SCENE.name: 3, "other": 1}
    assert notes.record() == {"read": 3, "skipped": {"a scenario that came before": 1}, "told": []}
    for path in (tmp_path / "store").iterdir():
        assert SCENE.name.encode() not in path.read_bytes()


def test_parts_of_other_lengths(tmp_path: Path) -> None:
    car = CAR.states
    test, longer = (Scenario(name, [Agent(1, states)]) for name, states in (("t", car[:11]), ("l", [*car, *car])))
    blind = {f"state/future/{name}": b"" for name in ("x", "y", "bbox_yaw", "velocity_x", "velocity_y", "valid")}
    records = {
        "scenario/testing/testing.tfrecord-00000-of-00150": record(scenario(test)),
        "scenario/training_20s/training_20s.tfrecord-00000-of-01000": record(scenario(longer, now=100)),
        "tf_example/testing/testing_tfexample.tfrecord-00000-of-00150": record(example(Scenario("e", [CAR]), **blind)),
    }
    with pytest.raises(DataError, match=r"no sample is left of 3 rows: 3 a scenario of another length than 9\.1 s"):
        imported(tmp_path, records)
    samples, notes = imported(tmp_path, {"scenario/training/training.tfrecord-00000-of-01000": record(scenario(SCENE))})
    assert [len(x) for x, _ in samples.values()] == [3]
    assert notes.skipped == {"a scenario of another length than 9.1 s (of testing or training_20s)": 3}
    with pytest.raises(DataError, match=r"b\.tfrecord\.gz: compressed.*unpack it first"):
        imported(tmp_path / "packed", {"b.tfrecord.gz": gzip.compress(record(scenario(SCENE)))})


def test_checksums() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert [crc32c(bytes(32)), crc32c(b"\xff" * 32)] == [0x8A9136AA, 0x62A8AB43]  # RFC 3720, B.4
    assert [crc32c(bytes(range(32))), crc32c(bytes(range(31, -1, -1)))] == [0x46DD794E, 0x113FDB5C]


@pytest.mark.parametrize("size", [0, 1, LANES - 1, LANES, LANES + 1, 3 * LANES + 7])
def test_checksums_of_any_length(size: int) -> None:
    content = np.random.default_rng(size).bytes(size)
    assert masked(crc32c(content)) == checksum(content)


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_packed_numbers(numbers: list[int]) -> None:
    content = b"".join(map(encoded, numbers))
    assert varints(content).tolist() == numbers
    if numbers:
        assert varint(content, 0) == (numbers[0] % 2**64, len(encoded(numbers[0])))


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_an_error(content: bytes) -> None:
    for read in (lambda: list(fields(content)), lambda: varints(content), lambda: read_scene(content)):
        try:
            read()
        except ValueError:
            continue


def bare(**changed: bytes) -> bytes:
    return record(
        example(SCENE, slots=5, **{f"state/{name.replace('__', '/')}": value for name, value in changed.items()})
    )


GOOD = record(scenario(SCENE))
SHORT = Agent(1, CAR.states[:90])
NAN = Agent(1, [(math.nan, *state[1:]) for state in CAR.states])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"TFRecord", "record 1: cut off: 8 of 12 bytes"),
        (b"\x1f\x8b" + bytes(100), "record 1: its length does not fit its checksum: damaged, or no TFRecord"),
        (GOOD + GOOD[:5], "record 2: cut off: 5 of 12 bytes"),
        (GOOD[:-1], r"record 1: cut off: \d+ of \d+ bytes are there; fetch the file again"),
        (GOOD[:500] + b"\x55" + GOOD[501:], "record 1: its content does not fit its checksum"),
        (GOOD[:9] + b"\x00" + GOOD[10:], "record 1: its length does not fit"),
        (struct.pack("<QI", 1 << 40, checksum(struct.pack("<Q", 1 << 40))), "record 1: 1099511627776 bytes, more than"),
        (record(b""), "record 1: no scenario_id"),
        (record(b"\xff" * 20), "record 1: byte 10: a number of more than 10 bytes"),
        (record(message((5, b"x"), (3, b"ab"))[:-1]), "record 1: byte 3: field 3 does not fit into its message"),
        (record(message((5, b"x")) + b"\x0b"), "record 1: byte 3: a field of the unknown kind 3"),
        (record(scenario(Scenario("x", [SHORT]))), "a track with 90 states, not 91"),
        (record(scenario(Scenario("x", [NAN]))), "record 1: a state that is not finite"),
        (record(scenario(SCENE, now=9)), "current_time_index is 9, not 10"),
        (record(message((1, message((1, b"abc"))))), "record 1: byte"),
        (bare(type=b""), "record 1: no feature 'state/type'"),
        (bare(past__x=floats([0.0] * 49)), "feature 'state/past/x': 49 numbers, not 50 finite ones"),
        (bare(current__y=floats([math.inf] * 5)), "feature 'state/current/y': 5 numbers, not 5 finite"),
        (bare(past__x=integers([0] * 49)), "feature 'state/past/x': 49 numbers"),
        (bare(past__x=message((1, message((1, b"text"))))), "record 1: byte .*: not numbers"),
        (record(scenario(Scenario("x", [GONE]))), "no sample is left of 1 rows"),
    ],
)
def test_malformed(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        imported(tmp_path, {"a.tfrecord": content})
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_real_records(tmp_path: Path) -> None:
    if not REAL.is_dir():
        pytest.skip(f"{REAL} is not there")
    Waymo(raw=REAL).write(tmp_path / "store", Notes())
    dataset = open_store(tmp_path / "store")
    names = sorted(["a3bb37c25ce56418", "637f20cafde22ff8"], key=client_digest)
    assert dict(zip(names, dataset.counts.tolist(), strict=True)) == {"a3bb37c25ce56418": 71, "637f20cafde22ff8": 49}
    for client in range(2):
        x = np.asarray(dataset.client(client).columns["x"])
        assert np.abs(x[:, 10, 3]).max() < 1.5  # nobody slides sideways
        assert x[:, 10, 2].max() > 10


def test_a_real_scenario_as_an_example() -> None:
    if not REAL.is_dir():
        pytest.skip(f"{REAL} is not there")
    ((place, _),) = read_records(REAL / "motion_data_one_scenario.tfrecord", Notes())
    scene = read_scene(read_record(place))
    agents = []
    for kind, states, known, asked in zip(scene.types, scene.states, scene.valid, scene.asked, strict=True):
        values = [(*state, bool(valid)) for state, valid in zip(states.tolist(), known, strict=True)]
        agents.append(Agent(int(kind), values, bool(asked)))
    again = read_scene(example(Scenario("637f20cafde22ff8", agents), slots=len(agents)))
    np.testing.assert_array_equal(again.types, scene.types)
    np.testing.assert_array_equal(again.valid, scene.valid)
    np.testing.assert_array_equal(again.asked, scene.asked)
    np.testing.assert_array_equal(again.states, scene.states.astype(np.float32))


def test_a_real_example_as_another_reader_sees_it() -> None:
    pytest.importorskip("google.protobuf")
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    if not REAL.is_dir():
        pytest.skip(f"{REAL} is not there")
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="t", syntax="proto3")

    def define(name: str, **parts: tuple[int, int, int, str]) -> None:
        described = file.message_type.add(name=name)
        for part, (number, label, kind, of) in parts.items():
            described.field.add(name=part, number=number, label=label, type=kind, type_name=f".t.{of}" if of else None)

    define("Ints", value=(1, 3, 3, ""))
    define("Floats", value=(1, 3, 2, ""))
    define("Feature", floats=(2, 1, 11, "Floats"), ints=(3, 1, 11, "Ints"))
    define("Entry", key=(1, 1, 9, ""), value=(2, 1, 11, "Feature"))
    define("Features", entry=(1, 3, 11, "Entry"))
    define("Example", features=(1, 1, 11, "Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    ((place, _),) = read_records(REAL / "motion_data_one_example.tfrecord", Notes())
    content = read_record(place)
    theirs = message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Example")).FromString(content)
    features = {entry.key: entry.value for entry in theirs.features.entry}
    scene = read_scene(content)
    assert scene.types.tolist() == list(features["state/type"].floats.value)
    assert scene.asked.tolist() == [value == 1 for value in features["state/tracks_to_predict"].ints.value]
    future = np.array(features["state/future/velocity_y"].floats.value).reshape(128, 80)
    np.testing.assert_array_equal(scene.states[:, 11:, 4], future)
    past = np.array(features["state/past/valid"].ints.value).reshape(128, 10)
    np.testing.assert_array_equal(scene.valid[:, :10], past == 1)
