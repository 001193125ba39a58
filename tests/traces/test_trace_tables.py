"""Tables that cannot be right are refused with one message that names file, row, column and value."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from fedscale import limits
from fedscale.errors import TraceError
from fedscale.traces.readers import load_client_availability, load_client_devices

DEVICES = "client_id,ms_per_sample,down_kbps,up_kbps\n"
SLOTS = "client_id,start,end,period\n"

BAD_DEVICES = {
    "": r"bad.csv row 1: columns none; there must be client_id,ms_per_sample,down_kbps,up_kbps or client_id,comp",
    "client_id,ms_per_sample,down_kbps\na,1,2\n": r"bad.csv row 1: columns client_id,ms_per_sample,down_kbps; there",
    "client_id,ms_per_sample,down_kbps,up_kbp\na,1,2,3\n": r"bad.csv row 1: unknown column 'up_kbp': .*'up_kbps'",
    "client_id,ms_per_sample,ms_per_sample,up_kbps\n": r"bad.csv row 1: column 'ms_per_sample' comes 2 times",
    DEVICES: r"bad.csv: 0 rows below the header",
    DEVICES + "a,1,2,3\nb,1,2\n": r"bad.csv row 3: 3 fields; there must be 4",
    DEVICES + "a,1,2,3\n\nb,1,2,3,4\n": r"bad.csv row 4: 5 fields; there must be 4",
    DEVICES + "a,1,2,3\n,1,2,3\n": r"bad.csv row 3: client_id is empty",
    DEVICES + "a,1,2,3\nb,1,2,3\na,1,2,3\n": r"bad.csv row 4: client_id is 'a'; it must be the only row of its client",
    DEVICES + "a,fast,2,3\n": r"bad.csv row 2: ms_per_sample is 'fast'; it must be a number",
    DEVICES + "a,1,2,3\nb,,2,3\n": r"bad.csv row 3: ms_per_sample is ''; it must be a number",
    DEVICES + "a,1,2,3\n\n\nb,0,2,3\n": r"bad.csv row 5: ms_per_sample is 0; it must be a number from 1e-06 to 1e\+07",
    DEVICES + "a,nan,2,3\n": r"bad.csv row 2: ms_per_sample is nan; it must be a number from",
    DEVICES + "a,1,-5,3\n": r"bad.csv row 2: down_kbps is -5; it must be a number from 0.001",
    DEVICES + "a,1,5,0\n": r"bad.csv row 2: up_kbps is 0; it must be",
    DEVICES + "a,1,5,inf\n": r"bad.csv row 2: up_kbps is inf; it must be",
    DEVICES + "a,1e99,5,5\n": r"bad.csv row 2: ms_per_sample is 1e\+99; it must be",
    "client_id,computation_ms_per_sample,communication_kbps\n7,10,0\n": r"bad.csv row 2: down_kbps is 0",
}

BAD_SLOTS = {
    "client_id,start,stop,period\na,0,1,2\n": r"bad.csv row 1: unknown column 'stop': did you mean 'start'",
    SLOTS + "a,0,5,10\na,3,8,10\n": r"bad.csv row 3: start is 3; it must not be before 5, .* slot of row 2 ends",
    SLOTS + "a,6,9,10\nb,0,1,5\na,0,7,10\n": r"bad.csv row 2: start is 6; it must not be before 7, .* row 4 ends",
    SLOTS + "a,5,4,10\n": r"bad.csv row 2: end is 4; it must be a number of seconds not before start",
    SLOTS + "a,5,5,10\n": r"bad.csv row 2: end is 5; it must be later than start",
    SLOTS + "a,5,11,10\n": r"bad.csv row 2: end is 11; it must be no later than the period",
    SLOTS + "a,-1,4,10\n": r"bad.csv row 2: start is -1; it must be a number of seconds from 0",
    SLOTS + "a,0,4,0\n": r"bad.csv row 2: period is 0; it must be a positive number of seconds up to 3.15576e\+09",
    SLOTS + "a,0,4,1e12\n": r"bad.csv row 2: period is 1e\+12; it must be",
    SLOTS + "a,0,4,10\na,5,6,11\n": r"bad.csv row 3: period is 11; it must be the same in all rows of a client",
    SLOTS + "a,0,nan,10\n": r"bad.csv row 2: end is nan; it must be",
    SLOTS + "a,,4,10\n": r"bad.csv row 2: start is ''; it must be a number",
    SLOTS + "a,0,4,\n": r"bad.csv row 2: period is ''; it must be a number",
    SLOTS + ",0,4,10\n": r"bad.csv row 2: client_id is empty",
}


def entry(**changed: Any) -> dict[str, Any]:
    return {"active": [0, 20], "inactive": [10, 30], "finish_time": 100, **changed}


BAD_ENTRIES = [
    ({}, "trace.json: must map 1 to"),
    ([entry()], "trace.json: must map 1 to"),
    ({"7": [1, 2]}, r"trace.json client 7: \[1, 2\] is not an entry"),
    ({"7": entry(active=[0])}, "trace.json client 7: active has 1 entries, inactive 2; one of each a slot"),
    ({"7": entry(active=None)}, "trace.json client 7: active and inactive must be lists"),
    ({"7": entry(finish_time="x")}, "trace.json client 7: finish_time is 'x'; it must be a number"),
    ({"7": entry(finish_time=True)}, "trace.json client 7: finish_time is True; it must be a number"),
    ({"7": entry(finish_time=0)}, "trace.json client 7: period is 0; it must be a positive number"),
    ({"6": entry(), "7": entry(active=[0, 31])}, "trace.json client 7 slot 1: end is 30; it must be .* not before"),
    ({"7": entry(active=[-1, 20])}, "trace.json client 7 slot 0: start is -1; it must be a number of seconds from 0"),
    ({"7": entry(inactive=[10, float("nan")])}, "trace.json client 7 slot 1: inactive is nan; it must be a finite"),
    ({"7": entry(inactive=[10, 10**400])}, "trace.json client 7 slot 1: inactive is 10+.*; it must be a finite number"),
]

BAD_CAPACITY = [
    ({"7": {"computation": 3.0}}, "trace.json client 7: communication is None; it must be a number"),
    (
        {"7": {"computation": 0, "communication": 5}},
        "trace.json client 7: ms_per_sample is 0; it must be a number from",
    ),
    ({"7": {"computation": 1, "communication": 0.0}}, "trace.json client 7: down_kbps is 0; it must be a number from"),
]


@pytest.mark.parametrize(("text", "message"), BAD_DEVICES.items(), ids=range(len(BAD_DEVICES)))
def test_a_bad_table_of_devices_is_refused(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(TraceError, match=message) as caught:
        load_client_devices(file)
    assert str(caught.value).startswith(str(file))


@pytest.mark.parametrize(("text", "message"), BAD_SLOTS.items(), ids=range(len(BAD_SLOTS)))
def test_a_bad_table_of_slots_is_refused(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(TraceError, match=message) as caught:
        load_client_availability(file)
    assert str(caught.value).startswith(str(file))


@pytest.mark.parametrize(("entries", "message"), BAD_ENTRIES)
def test_bad_entries_of_slots_are_refused(entries: Any, message: str, tmp_path: Path) -> None:
    file = tmp_path / "trace.json"
    file.write_text(json.dumps(entries))
    with pytest.raises(TraceError, match=message):
        load_client_availability(file)


@pytest.mark.parametrize(("entries", "message"), BAD_CAPACITY)
def test_bad_entries_of_devices_are_refused(entries: Any, message: str, tmp_path: Path) -> None:
    file = tmp_path / "trace.json"
    file.write_text(json.dumps(entries))
    with pytest.raises(TraceError, match=message):
        load_client_devices(file)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("slots.json", b"{", "slots.json: not valid JSON"),
        ("slots.json", b"[" * 100_000, "slots.json: not valid JSON"),
        ("slots.csv", b"client_id,start,end,period\n\xff\xfe,0,1,2\n", "slots.csv: not a CSV file in UTF-8"),
        ("slots.csv", b"client_\xff\n", "slots.csv: not a CSV file in UTF-8"),
        ("slots.xml", b"<a/>", "slots.xml: unknown file type '.xml'"),
        ("slots.pkl", pickle.dumps([1]), "slots.pkl: must map 1 to"),
    ],
)
def test_files_of_another_kind_are_refused(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(TraceError, match=message):
        load_client_availability(file)


@pytest.mark.parametrize("name", ["no.csv", "no.pkl"])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    for load in (load_client_devices, load_client_availability):
        with pytest.raises(TraceError, match=f"{name}: cannot be read: No such file"):
            load(tmp_path / name)


@pytest.mark.parametrize(("name", "limit"), [("a.pkl", "TRACE_WHOLE_BYTES"), ("a.csv", "TRACE_FILE_BYTES")])
def test_a_file_over_the_limit_is_refused(
    name: str, limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, limit, 10)
    file = tmp_path / name
    file.write_bytes(b"x" * 11)
    with pytest.raises(TraceError, match="more than the 10"):
        load_client_availability(file)
