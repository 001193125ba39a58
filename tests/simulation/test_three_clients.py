"""Rounds worked out by hand: the meaning of time, fates and bytes, to the last figure."""

import pytest
from typer.testing import CliRunner
from worked import DEVICES, lines

from fedscale import Job, simulate
from fedscale.cli.main import app
from fedscale.errors import StalledError
from fedscale.report.check import check_log

A, B, C = 0, 1, 2


@pytest.fixture(params=["api", "command line"])
def run_case(request, tmp_path):
    """Run a job file, through Python and through the command line, and return its log."""

    def run(path):
        out = tmp_path / "out"
        if request.param == "api":
            simulate(Job.load(path), out, workers=1)
        else:
            result = CliRunner().invoke(app, ["run", str(path), "--out", str(out), "--workers", "1"])
            assert result.exit_code == 0, result.output
        assert check_log(out / "log.jsonl").ok
        return out / "log.jsonl"

    return run


def task(records, number):
    (found,) = [record for record in records if record["kind"] == "task" and record["task"] == number]
    return tuple(
        found[key]
        for key in ("client", "fate", "start", "end", "download", "compute", "upload", "bytes_down", "bytes_up")
    )


def test_the_case_is_reproduced_to_the_last_figure(three_clients, run_case):
    records = lines(run_case(three_clients()))

    starts = [
        (r["attempt"], r["t"], r["version"], r["wanted"], r["online"], r["clients"])
        for r in records
        if r["kind"] == "select"
    ]
    assert starts == [
        (1, 0.0, 0, 3, 3, [A, B, C]),
        (2, 7.0, 1, 3, 2, [A, B]),
        (3, 18.0, 2, 3, 1, [A]),
        (4, 300.0, 2, 3, 1, [C]),
    ]

    full = 125_000
    assert task(records, 0) == (A, "completed", 0.0, 5.0, 1.0, 3.0, 1.0, full, full)
    assert task(records, 1) == (B, "straggler", 0.0, 7.0, 2.0, 5.0, 0.0, full, 0)
    assert task(records, 2) == (C, "completed", 0.0, 7.0, 0.5, 6.0, 0.5, full, full)
    assert task(records, 3) == (A, "completed", 7.0, 12.0, 1.0, 3.0, 1.0, full, full)
    assert task(records, 4) == (B, "dropped", 7.0, 18.0, 2.0, 9.0, 0.0, full, 0)
    assert task(records, 5) == (A, "dropped", 18.0, 20.0, 1.0, 1.0, 0.0, full, 0)
    assert task(records, 6) == (C, "completed", 300.0, 307.0, 0.5, 6.0, 0.5, full, full)
    assert [r["samples"] for r in records if r["kind"] == "task"] == [100] * 7

    commits = [(r["version"], r["t"], r["completed"]) for r in records if r["kind"] == "commit"]
    assert commits == [(1, 7.0, 2), (2, 18.0, 1), (3, 307.0, 1)]
    abandons = [(r["attempt"], r["t"], r["completed"], r["needed"]) for r in records if r["kind"] == "abandon"]
    assert abandons == [(3, 20.0, 0, 1)]
    assert [(r["t"], r["to"]) for r in records if r["kind"] == "jump"] == [(20.0, 300.0)]

    end = records[-1]
    assert (end["kind"], end["t"], end["version"], end["attempts"], end["abandoned"]) == ("end", 307.0, 3, 4, 1)
    assert end["ledger"] == {
        "selected": 7,
        "completed": 4,
        "straggler": 1,
        "dropped": 2,
        "failed": 0,
        "rejected": 0,
        "late": 0,
        "cancelled": 0,
        "useful_seconds": 24.0,
        "wasted_seconds": 20.0,
        "bytes_down": 875_000,
        "bytes_up": 500_000,
        "wasted_bytes_down": 375_000,
        "wasted_bytes_up": 0,
    }


@pytest.mark.parametrize(("end", "bytes_up", "phases"), [(24, 0, (2.0, 15.0, 0.0)), (25, 62_500, (2.0, 15.0, 1.0))])
def test_dropped_in_the_middle_of_a_transfer_is_charged_what_passed(three_clients, run_case, end, bytes_up, phases):
    slots = f"client_id,start,end,period\nA,0,20,1000\nB,0,{end},500\nC,0,7,300\n"
    records = lines(run_case(three_clients(slots=slots, count=2)))
    client, fate, start, stop, *spent, down, up = task(records, 4)
    assert (client, fate, start, stop, down, up) == (B, "dropped", 7.0, float(end), 125_000, bytes_up)
    assert tuple(spent) == phases


def test_a_client_that_goes_and_is_back_before_its_finish_is_dropped_all_the_same(three_clients, run_case):
    # B needs 19 s; it is away for the instant [10, 11) only, and online again at its finish.
    slots = "client_id,start,end,period\nA,0,1000,1000\nB,0,10,500\nB,11,500,500\nC,0,300,300\n"
    records = lines(run_case(three_clients(slots=slots, participants=3, over_commitment=1.0, count=1)))
    assert task(records, 1) == (B, "dropped", 0.0, 10.0, 2.0, 8.0, 0.0, 125_000, 0)
    assert task(records, 0)[:2] == (A, "completed")


def test_a_slot_that_goes_on_across_the_period_is_one_slot(three_clients, run_case):
    # The clock jumps to 90; A needs 5 s and its slot [90, 100) goes on as [0, 20) of the next period.
    slots = "client_id,start,end,period\nA,97,100,100\nA,0,20,100\nB,,,500\nC,,,300\n"
    records = lines(run_case(three_clients(slots=slots, count=5)))
    # From 0: 0-5, 5-10, 10-15, 15-20 (finishing at the very end counts), jump to 97, 97-102 across the wrap.
    assert [r["t"] for r in records if r["kind"] == "commit"] == [5.0, 10.0, 15.0, 20.0, 102.0]
    assert [(r["t"], r["to"]) for r in records if r["kind"] == "jump"] == [(20.0, 97.0)]


def test_the_deadline_ends_the_round_and_a_finish_at_the_deadline_counts(three_clients, run_case):
    slots = "client_id,start,end,period\nA,0,1000,1000\nB,0,500,500\nC,0,300,300\n"
    records = lines(run_case(three_clients(slots=slots, participants=3, over_commitment=1.0, count=1, deadline=7)))
    assert task(records, 1) == (B, "straggler", 0.0, 7.0, 2.0, 5.0, 0.0, 125_000, 0)
    assert task(records, 2)[:4] == (C, "completed", 0.0, 7.0)
    assert [(r["t"], r["completed"]) for r in records if r["kind"] == "commit"] == [(7.0, 2)]


def test_below_the_minimum_share_the_work_of_those_who_finished_is_wasted(three_clients, tmp_path):
    slots = "client_id,start,end,period\nA,0,1000,1000\nB,0,18,500\nC,0,300,300\n"
    # All three are needed, B is dropped at 18 each time it is tried; it is online for 18 s of every 500.
    job = Job.load(
        three_clients(slots=slots, participants=3, over_commitment=1.0, min_share=1.0, count=1, max_hours=0.001)
    )
    simulate(job, tmp_path / "out", workers=1)
    records = lines(tmp_path / "out" / "log.jsonl")
    assert [task(records, number)[:4] for number in range(3)] == [
        (A, "cancelled", 0.0, 5.0),
        (B, "dropped", 0.0, 18.0),
        (C, "cancelled", 0.0, 7.0),
    ]
    (abandon,) = [r for r in records if r["kind"] == "abandon"]
    assert (abandon["completed"], abandon["needed"], abandon["t"]) == (2, 3, 18.0)
    assert abandon["ledger"]["wasted_seconds"] == 5 + 18 + 7
    assert abandon["ledger"]["wasted_bytes_up"] == 2 * 125_000 + 62_500  # B was one of two seconds into its upload
    assert records[-1]["why"] == "the virtual time is up"
    assert check_log(tmp_path / "out" / "log.jsonl").ok


def test_nobody_ever_online_is_an_error_and_not_a_wait(three_clients, tmp_path):
    slots = "client_id,start,end,period\nA,,,1000\nB,,,500\nC,,,300\n"
    with pytest.raises(StalledError, match="no client will ever be online"):
        simulate(Job.load(three_clients(slots=slots)), tmp_path / "out", workers=1)
    assert lines(tmp_path / "out" / "log.jsonl", "end")[0]["why"] == "no client will ever be online"


def test_a_model_too_large_for_every_slot_stalls_aloud(three_clients, tmp_path, monkeypatch):
    monkeypatch.setattr("fedscale.limits.ABANDONED_IN_A_ROW", 5)
    slow = DEVICES.replace(",10,", ",10000,").replace(",50,", ",10000,").replace(",20,", ",10000,")
    with pytest.raises(StalledError, match="5 attempts in a row were abandoned"):
        simulate(Job.load(three_clients(devices=slow)), tmp_path / "out", workers=1)
    assert check_log(tmp_path / "out" / "log.jsonl").ok
