"""The log: what is written is read back, and any change to it is found at its line."""

import errno
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedscale.errors import LogError, WriteError
from fedscale.report.log import ROOT, LogWriter, link, read_log

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
RECORDS = st.lists(
    st.dictionaries(st.text().filter(lambda key: key not in ("kind", "chain")), VALUES, max_size=3).map(
        lambda values: {"kind": "task", **values}
    ),
    max_size=6,
)
THREE = [{"kind": "job", "format": 1}, {"kind": "task", "loss": 0.1 + 0.2}, {"kind": "end", "why": "done – ü"}]


def write(path, records, offset=0, chain=ROOT):
    log = LogWriter(path, offset, chain)
    for record in records:
        log.append(record)
    log.close()
    return log


@pytest.fixture
def three(tmp_path):
    path = tmp_path / "log.jsonl"
    write(path, THREE)
    return path


@settings(max_examples=60, deadline=None)
@given(records=RECORDS)
def test_what_is_written_is_read_back(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    log = write(path, records)
    assert list(read_log(path)) == records
    assert log.offset == path.stat().st_size


def test_a_line_is_compact_json_with_the_chain_of_all_lines_before_it(three):
    first, second, third = three.read_bytes().splitlines()
    assert second.startswith(b'{"kind":"task","loss":0.30000000000000004,"chain":"')
    chain = link(ROOT, '{"kind":"job","format":1}')
    assert json.loads(first)["chain"] == chain
    assert json.loads(second)["chain"] == link(chain, '{"kind":"task","loss":0.30000000000000004}')
    assert "done – ü".encode() in third


def test_numbers_that_json_does_not_have_are_refused(tmp_path):
    log = LogWriter(tmp_path / "log.jsonl")
    with pytest.raises(ValueError, match="not JSON compliant"):
        log.append({"kind": "task", "loss": float("nan")})
    log.close()


def test_several_records_are_written_as_one_by_one_or_not_at_all(three, tmp_path):
    log = LogWriter(tmp_path / "several.jsonl")
    log.append(THREE[0])
    with pytest.raises(ValueError, match="not JSON compliant"):
        log.extend([THREE[1], {"kind": "task", "loss": float("inf")}])
    log.extend(THREE[1:])
    log.extend([])
    log.close()
    assert (tmp_path / "several.jsonl").read_bytes() == three.read_bytes()
    assert log.offset == three.stat().st_size


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_altered_line_is_named(three, number):
    lines = three.read_bytes().splitlines(keepends=True)
    lines[number - 1] = lines[number - 1].replace(b"0", b"1", 1).replace(b'1,"', b'2,"', 1).replace(b"done", b"Done")
    three.write_bytes(b"".join(lines))
    with pytest.raises(LogError, match=rf"log.jsonl line {number}: altered"):
        list(read_log(three))


def test_a_lost_or_moved_line_is_found_at_the_line_that_follows(three):
    lines = three.read_bytes().splitlines(keepends=True)
    three.write_bytes(lines[0] + lines[2])
    with pytest.raises(LogError, match="line 2: altered"):
        list(read_log(three))
    three.write_bytes(lines[1] + lines[0] + lines[2])
    with pytest.raises(LogError, match="line 1: altered"):
        list(read_log(three))


def test_without_verification_only_the_form_counts(three):
    three.write_bytes(three.read_bytes().replace(b'"format":1', b'"format":2'))
    assert [record["kind"] for record in read_log(three, verify=False)] == ["job", "task", "end"]


def test_every_cut_yields_the_whole_lines_before_it(three):
    """A run that is killed while it writes leaves a part of a line, which is no mistake."""
    whole = three.read_bytes()
    ends = [index for index, byte in enumerate(whole, start=1) if byte == ord("\n")]
    for cut in range(len(whole) + 1):
        three.write_bytes(whole[:cut])
        assert list(read_log(three)) == THREE[: sum(end <= cut for end in ends)]


@pytest.mark.parametrize(
    "line",
    [b"{}\n", b"\xff\xfe\n", b"[1]\n", b'{"kind":1,"chain":"0"}\n', b'{"chain":"0"}\n', b"[" * 99_999 + b"\n", b"\n"],
)
def test_what_is_no_record_is_refused_by_name(tmp_path, line):
    path = tmp_path / "log.jsonl"
    path.write_bytes(line)
    with pytest.raises(LogError, match=r"log\.jsonl line 1: not a record of a log"):
        list(read_log(path))


def test_a_line_beyond_the_limit_is_refused_before_it_is_read_whole(three, monkeypatch):
    monkeypatch.setattr("fedscale.limits.LOG_LINE_BYTES", 40)
    with pytest.raises(LogError, match="line 1: longer than 40 bytes"):
        list(read_log(three))


def test_a_log_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(LogError, match="cannot be read: No such file"):
        list(read_log(tmp_path / "log.jsonl"))


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
@pytest.mark.parametrize("tail", [b"", b'{"kind":"ta', b'{"kind":"task","chain":"0"}\n'])
def test_writing_goes_on_after_an_offset_as_if_it_had_never_stopped(tmp_path, three, kept, tail):
    whole = three.read_bytes()
    path = tmp_path / "other.jsonl"
    first = write(path, THREE[:kept])
    with path.open("ab") as file:
        file.write(tail)
    write(path, THREE[kept:], first.offset, first.chain)
    assert path.read_bytes() == whole


def test_a_log_that_lost_its_end_is_not_gone_on_with(three):
    size = three.stat().st_size
    chain = json.loads(three.read_bytes().splitlines()[-1])["chain"]
    os.truncate(three, size - 5)
    with pytest.raises(LogError, match=r"log\.jsonl line 3: not a record of a log"):
        LogWriter(three, size, chain)
    three.unlink()
    with pytest.raises(LogError, match="cannot be read: No such file"):
        LogWriter(three, size, chain)
    assert not three.exists()


def test_a_log_that_was_altered_is_not_gone_on_with(three):
    lines = three.read_bytes().splitlines(keepends=True)
    chain = json.loads(lines[1])["chain"]
    offset = len(lines[0] + lines[1])
    three.write_bytes(lines[0].replace(b'"format":1', b'"format":2') + lines[1] + lines[2])
    with pytest.raises(LogError, match="line 1: altered"):
        LogWriter(three, offset, chain)
    three.write_bytes(lines[0])
    with pytest.raises(LogError, match=f"ends after {len(lines[0])} bytes, but its checkpoint was made after {offset}"):
        LogWriter(three, offset, chain)


def test_a_full_disk_is_a_typed_error_that_names_the_file(tmp_path, monkeypatch):
    log = LogWriter(tmp_path / "log.jsonl")
    log.append({"kind": "job"})

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match=r"log\.jsonl: cannot be written: No space left on device"):
        log.sync()
    with pytest.raises(WriteError):
        log.close()
    assert log._file.closed


def test_a_place_where_nothing_may_be_written_is_a_typed_error(tmp_path):
    with pytest.raises(WriteError, match="cannot be written: Is a directory"):
        LogWriter(tmp_path)
