"""The clients of a job: who gets which device and which slots, and what they are asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedscale.errors import JobError, TraceError
from fedscale.job import AvailabilityConf, DevicesConf
from fedscale.traces import published
from fedscale.traces.builtin import builtin_availability, builtin_devices
from fedscale.traces.devices import Devices
from fedscale.traces.population import Population, build_population
from fedscale.units import NEVER, to_micros

OFF = {"source": "none"}


def build(clients: int, devices: Any = None, availability: Any = None, seed: int = 1) -> Population:
    return build_population(clients, DevicesConf(**devices or {}), AvailabilityConf(**availability or {}), seed)


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, Any]:
    """Clients A, B and C as two files, as arguments of ``build``."""
    (tmp_path / "devices.csv").write_text(
        "client_id,ms_per_sample,down_kbps,up_kbps\nA,10,1000,900\nB,50,500,400\nC,20,2000,1900\n"
    )
    (tmp_path / "slots.csv").write_text("client_id,start,end,period\nA,0,20,1000\nB,0,18,500\nC,0,7,300\n")
    return {
        "devices": {"source": "csv", "file": tmp_path / "devices.csv", "assign": "in_order"},
        "availability": {"source": "csv", "file": tmp_path / "slots.csv", "assign": "in_order"},
    }


def test_clients_in_order_of_rows(tables: dict[str, Any]) -> None:
    population = build(5, **tables)
    compute, down, up = population.speeds(np.array([2, 0, 4]))
    assert (compute.tolist(), down.tolist(), up.tolist()) == ([20, 10, 50], [2000, 1000, 500], [1900, 900, 400])
    assert population.online(to_micros(7)).tolist() == [True, True, False, True, True]
    assert population.until(to_micros(7), np.array([1, 2])).tolist() == [to_micros(18), to_micros(7)]
    assert population.next_arrival(to_micros(20), np.array([0, 1, 2])) == to_micros(300)
    assert population.next_arrival(to_micros(20), np.array([0, 4])) == to_micros(500)
    assert population.next_arrival(to_micros(8), np.array([2, 3])) == to_micros(8)
    assert population.next_arrival(to_micros(8), np.array([], np.int64)) == NEVER


def test_fewer_clients_than_rows(tables: dict[str, Any]) -> None:
    assert build(2, **tables).online(to_micros(19)).tolist() == [True, False]


def test_random_rows_are_shared_only_when_they_run_out(tables: dict[str, Any]) -> None:
    for part in tables.values():
        part["assign"] = "random"
    population = build(8, **tables)
    for rows in (population.device_rows, population.slot_rows):
        assert sorted(rows[:3]) == sorted(rows[3:6]) == [0, 1, 2]
        assert rows[6] != rows[7]
    drawn = {seed: build(300, **tables, seed=seed) for seed in (1, 2)}
    assert drawn[1].device_rows.tolist() == build(300, **tables, seed=1).device_rows.tolist()
    assert drawn[1].device_rows.tolist() != drawn[2].device_rows.tolist()
    assert drawn[1].device_rows.tolist() != drawn[1].slot_rows.tolist()


def test_no_two_of_a_few_clients_are_the_same_phone() -> None:
    population = build(1000)
    assert len(set(population.device_rows)) == len(set(population.slot_rows)) == 1000


def test_devices_switched_off_are_all_alike(tables: dict[str, Any]) -> None:
    population = build(3, OFF, tables["availability"])
    compute, down, up = population.speeds(np.arange(3))
    assert compute.tolist() == [published.MEAN_MS_PER_SAMPLE] * 3
    assert down.tolist() == up.tolist() == [published.MEAN_KBPS] * 3
    assert population.online(to_micros(19)).tolist() == [True, False, False]


def test_availability_switched_off_is_always_online(tables: dict[str, Any]) -> None:
    population = build(4, tables["devices"], OFF)
    assert population.availability is None
    assert population.online(123).tolist() == [True] * 4
    assert population.until(123, np.array([1, 1])).tolist() == [NEVER, NEVER]
    assert population.next_arrival(123, np.array([3])) == 123
    assert population.next_arrival(123, np.array([], np.int64)) == NEVER
    assert population.speeds(np.array([1]))[0].tolist() == [50]


def test_many_clients_are_ordinary() -> None:
    population = build(300_000)
    time = to_micros(100_000)
    online = population.online(time)
    assert online.shape == (300_000,)
    assert len(population.devices) == len(population.availability or ()) == 100_000
    here, away = np.flatnonzero(online), np.flatnonzero(~online)
    assert (population.until(time, here[:1300]) > time).all()
    assert (population.until(time, away[:1300]) == time).all()
    assert population.next_arrival(time, here) == time
    assert population.next_arrival(time, away) > time
    twins = population.device_rows[:100_000] == population.device_rows[100_000:200_000]
    assert twins.mean() < 0.001


def test_the_built_in_population_depends_on_the_seed_alone() -> None:
    for build_table, column in ((builtin_devices, "down_kbps"), (builtin_availability, "starts")):
        once, again, other = (getattr(build_table(500, seed), column) for seed in (1, 1, 2))
        assert once.tolist() == again.tolist()
        assert once.tolist() != other.tolist()


@pytest.mark.parametrize(
    ("devices", "availability", "message"),
    [
        ({"source": "csv"}, OFF, "devices: source 'csv' needs a file; give one, e.g. devices.file=devices.csv"),
        ({"source": "fedscale"}, OFF, "e.g. devices.file=client_device_capacity"),
        (OFF, {"source": "csv"}, "availability: source 'csv' needs a file"),
        (OFF, {"source": "fedscale"}, "e.g. availability.file=client_behave_trace"),
        (
            {"file": "x.csv"},
            OFF,
            r"takes no file, but devices.file is '.*x\.csv'; .* devices.source=csv",
        ),
        (OFF, {"source": "none", "file": "x.csv"}, "availability: source 'none' takes no file"),
        ({"source": "buitlin"}, OFF, "unknown devices source 'buitlin': did you mean 'builtin'"),
    ],
)
def test_sources_that_do_not_fit_are_refused(devices: Any, availability: Any, message: str) -> None:
    with pytest.raises(JobError, match=message):
        build(3, devices, availability)


def test_a_population_of_nobody_is_refused() -> None:
    with pytest.raises(JobError, match="at least one"):
        build(0)


def test_devices_that_cannot_be_are_refused() -> None:
    with pytest.raises(TraceError, match="devices row 1: up_kbps is 0; it must be a number"):
        Devices(np.ones(2), np.ones(2), np.array([1.0, 0.0]))
    with pytest.raises(TraceError, match="columns of 2, 1 and 2 rows"):
        Devices(np.ones(2), np.ones(1), np.ones(2))
    with pytest.raises(TraceError, match="0 rows"):
        Devices(np.ones(0), np.ones(0), np.ones(0))
    with pytest.raises(TraceError, match="1 names for 2 rows"):
        Devices(np.ones(2), np.ones(2), np.ones(2), ("a",))
