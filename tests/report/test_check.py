from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedscale.errors import LogError
from fedscale.report.check import check_log

Record = dict[str, Any]
Write = Callable[[Path, list[Record]], Path]

CHAIN_ONLY = re.compile(
    r"population (parameters|baselines\..*|(clients|samples)\..*)"  # facts of the dataset and the model
    r"|select (online|wanted)|abandon needed"  # checked as bounds only
    r"|evaluate clients\..*"  # which clients they were
    r"|task (samples|weight|loss)"  # weight and loss of a lone or an unused update
    r"|commit lr"
)
"""Numbers that no other line repeats: with the chain recomputed, an alteration may pass (see docs/metrics.md)."""


def number_paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every number within a record."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from number_paths(item, (*path, key))
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield path


def add_to(record: Record, path: tuple[Any, ...], delta: float) -> None:
    for key in path[:-1]:
        record = record[key]
    record[path[-1]] += delta


def test_three_clients_add_up(three_clients: Path) -> None:
    result = check_log(three_clients / "log.jsonl")
    assert (result.lines, result.tasks, result.finished, result.findings, result.ok) == (21, 7, True, [], True)


def test_every_altered_digit_breaks_the_chain_at_its_line(three_clients: Path) -> None:
    log = three_clients / "log.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    for index, line in enumerate(lines):
        for place in [match.start() for match in re.finditer(r"(?<=[:\[,])\d", line)][:20]:
            digit = str((int(line[place]) + 1) % 10)
            log.write_text("".join([*lines[:index], line[:place] + digit + line[place + 1 :], *lines[index + 1 :]]))
            first = next(iter(check_log(log).findings))
            assert first.startswith(f"line {index + 1}: altered"), (line[place - 20 : place + 5], first)


@pytest.mark.parametrize("delta", [1, -1, 0.5])
def test_numbers_altered_under_a_repaired_chain(
    records: list[Record], tmp_path: Path, write_log: Write, delta: float
) -> None:
    """Every number is found out, but for those that only the chain protects."""
    found = 0
    for index, path in [(i, path) for i, record in enumerate(records) for path in number_paths(record)]:
        altered = copy.deepcopy(records)
        add_to(altered[index], path, delta)
        result = check_log(write_log(tmp_path / "log.jsonl", altered))
        name = f"{records[index]['kind']} {'.'.join(map(str, path))}"
        assert not result.ok or CHAIN_ONLY.fullmatch(name), (name, delta)
        found += not result.ok
    assert found > 260


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), attempts=st.integers(1, 8), where=st.randoms(use_true_random=False))
def test_random_logs_pass_and_an_alteration_does_not(
    tmp_path: Path, write_log: Write, random_log: Any, seed: int, attempts: int, where: Any
) -> None:
    log = tmp_path / "log.jsonl"
    records = random_log(np.random.default_rng(seed), attempts)
    assert check_log(write_log(log, records)).findings == []
    index, path = where.choice([(i, path) for i, record in enumerate(records) for path in number_paths(record)])
    if CHAIN_ONLY.fullmatch(f"{records[index]['kind']} {'.'.join(map(str, path))}"):
        return
    add_to(records[index], path, where.choice([1, -1, 1e-3, 17]))
    assert not check_log(write_log(log, records)).ok


def test_a_lost_line_and_what_follows_from_it_are_both_named(three_clients: Path) -> None:
    log = three_clients / "log.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:4] + lines[5:]))  # without B's straggler line
    assert check_log(log).findings == [
        "line 5: altered, or a line before it is missing (chain is broken)",
        "line 5: task 2 is out of order",
        "line 6: tasks without a line: 1",
        "line 6: ledger.selected is 3, but the tasks so far add up to 2",
        "line 6: ledger.straggler is 1, but the tasks so far add up to 0",
        "line 6: ledger.wasted_seconds is 7.0, but the tasks so far add up to 0.0",
        "line 6: ledger.bytes_down is 375000, but the tasks so far add up to 250000",
        "line 6: ledger.wasted_bytes_down is 125000, but the tasks so far add up to 0",
    ]


def test_a_line_twice_is_named(three_clients: Path) -> None:
    log = three_clients / "log.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:4] + lines[3:]))
    findings = check_log(log).findings
    assert "line 5: altered, or a line before it is missing (chain is broken)" in findings
    assert "line 5: task 0 was not selected in attempt 1, or has a line already" in findings


def test_a_run_that_goes_on_is_no_mistake(three_clients: Path) -> None:
    log = three_clients / "log.jsonl"
    whole = log.read_bytes()
    ends = [match.end() for match in re.finditer(rb"\n", whole)]
    for cut in [*ends[:-1], *(end - 7 for end in ends)]:
        log.write_bytes(whole[:cut])
        result = check_log(log)
        assert result.ok and not result.finished


def test_garbage_is_named_and_the_rest_still_checked(three_clients: Path) -> None:
    log = three_clients / "log.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([*lines[:7], b"\xff\xfe not json\n", *lines[7:-1], b"[1, 2]\n", lines[-1]]))
    assert check_log(log).findings == ["line 8: not a record of a log", "line 22: not a record of a log"]


@pytest.mark.parametrize(
    ("index", "change", "finding"),
    [
        (3, {"fate": "vanished"}, "line 4: task: fate is 'vanished', not one of completed, straggler"),
        (3, {"upload": None}, "line 4: task: upload is None, not a finite number"),
        (3, {"download": 1.0000001}, "line 4: task: download is 1.0000001, not a time of whole microseconds from 0"),
        (4, {"bytes_down": 125_001}, "line 5: bytes_down is 125001, more than the payload of 125000"),
        (4, {"bytes_down": 124_999}, "line 5: bytes_down is 124999, but the download had ended"),
        (6, {"version": 2}, "line 7: version is 2, expected 1"),
        (6, {"kind": "committ"}, "line 7: unknown kind 'committ'"),
        (8, {"clients": [0, 0]}, "line 9: a client was selected twice in one attempt"),
        (0, {"format": True}, "line 1: format is True, expected 1"),
        (18, {"ledger": []}, "line 19: commit: a field is missing or is of the wrong type (TypeError"),
    ],
)
def test_the_sentence_names_line_field_and_value(
    records: list[Record], tmp_path: Path, write_log: Write, index: int, change: Record, finding: str
) -> None:
    records[index] |= change
    findings = check_log(write_log(tmp_path / "log.jsonl", records)).findings
    assert any(line.startswith(finding) for line in findings), findings


def test_lines_in_another_order_are_named(records: list[Record], tmp_path: Path, write_log: Write) -> None:
    records.insert(5, records.pop(6))  # the commit before its last task
    findings = check_log(write_log(tmp_path / "log.jsonl", records)).findings
    assert "line 6: tasks without a line: 2" in findings
    assert "line 7: 'task' cannot follow 'commit'" in findings


def test_a_missing_log_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"log\.jsonl: cannot be read: No such file"):
        check_log(tmp_path / "log.jsonl")


def test_findings_are_counted_when_there_are_too_many(
    records: list[Record], tmp_path: Path, write_log: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedscale.limits.CHECK_FINDINGS", 3)
    records[1]["bytes_up"] += 1  # four completed tasks moved too little
    findings = check_log(write_log(tmp_path / "log.jsonl", records)).findings
    assert len(findings) == 4 and findings[-1] == "and 1 more findings"
