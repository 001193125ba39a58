"""Going on with a run: from anywhere, and only with what it was begun with."""

import pytest
from worked import lines

from fedscale import Job, resume, simulate
from fedscale.errors import CheckpointError, RunError


@pytest.fixture
def stopped(three_clients, tmp_path, monkeypatch, stop_after):
    """A run of the worked case by relative paths, with a plugin, stopped after two attempts; and its whole twin."""
    path = three_clients()
    (tmp_path / "mine.py").write_text("from fedscale.core.client import Client\n\nclass Mine(Client):\n    pass\n")
    path.write_text(path.read_text() + "plugins: [mine.py]\n")
    monkeypatch.chdir(tmp_path)
    job = Job.load(path.relative_to(tmp_path))
    whole = simulate(job, "whole", workers=1)
    run = simulate(job, "part", workers=1, observer=stop_after(2))
    assert not run.finished
    assert len(lines(run.log, "commit")) == 2
    return run, whole


def test_a_run_with_relative_paths_goes_on_from_another_folder_to_the_same_bytes(stopped, tmp_path, monkeypatch):
    run, whole = (tmp_path / found.directory for found in stopped)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert resume(str(run), workers=1).finished
    for name in ("log.jsonl", "model.safetensors"):
        assert (run / name).read_bytes() == (whole / name).read_bytes()


def test_the_log_holds_no_folder_of_this_machine(stopped, tmp_path):
    run, _ = stopped
    assert str(tmp_path) not in run.log.read_text()
    head = lines(run.log, "job")[0]
    assert head["job"]["devices"]["file"] == "devices.csv"
    assert sorted(head["files"]) == ["availability.file", "devices.file", "plugins.0"]


@pytest.mark.parametrize(
    ("name", "old", "new", "key"),
    [
        ("job.yaml", "count: 3", "count: 4", r"rounds\.count: 3, now 4"),
        ("../devices.csv", "A,10,", "A,11,", r"devices\.file: '"),
        ("../mine.py", "pass", "x = 1", r"plugins\.0: '"),
    ],
)
def test_what_was_changed_since_is_named(stopped, name, old, new, key):
    run, _ = stopped
    path = run.directory / name
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(CheckpointError, match=f"changed since the run began: .*{key}"):
        resume(run.directory, workers=1)


def test_where_no_run_is_it_says_so(tmp_path):
    with pytest.raises(RunError, match="no run is here"):
        resume(tmp_path)
