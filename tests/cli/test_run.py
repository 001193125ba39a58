"""`fedscale run`, `resume` and `check`, as one types them."""

import io
import os
import pty
import re
import subprocess
import sys

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from fedscale import Job, recipe
from fedscale.cli.display import Interrupt, describe, panels
from fedscale.cli.main import app
from fedscale.recipes import RECIPES
from fedscale.report.log import read_log
from fedscale.simulation.progress import Progress

FIELDS = [
    "round",
    "virtual time",
    "online",
    "selected",
    "completed",
    "dropped",
    "training loss",
    "last test",
    "traffic",
    "time left",
]

SHORT = ["--set", "rounds.count=4", "--set", "evaluate.every=2", "--workers", "1"]


def fedscale(*arguments):
    """Run a command in this process."""
    return CliRunner().invoke(app, [*map(str, arguments)])


def process(*arguments, **options):
    """Run a command in a process of its own, in the way a user does."""
    command = [sys.executable, "-m", "fedscale.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A short run of the digits, and what was printed."""
    out = tmp_path_factory.mktemp("runs") / "digits"
    done = fedscale("run", "digits", *SHORT, "--out", out)
    assert done.exit_code == 0, done.output
    return out, done.output


def test_the_recipes_are_listed_with_what_they_are():
    done = fedscale("run", "--list")
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.output.splitlines()] == RECIPES.names()
    assert all(len(line.split()) > 3 for line in done.output.splitlines())


def test_a_job_is_shown_whole_as_yaml_that_can_be_run(tmp_path):
    done = fedscale("run", "digits", "--set", "rounds.count=3", "--plugin", tmp_path / "mine.py", "--show")
    assert done.exit_code == 0
    values = yaml.safe_load(done.output)
    assert values["rounds"]["count"] == 3
    assert values["plugins"] == [str(tmp_path / "mine.py")]
    expected = recipe("digits").with_settings(["rounds.count=3", f"plugins=[{tmp_path}/mine.py]"])
    assert Job.parse(values) == expected


def test_a_job_file_is_run_with_settings(tmp_path):
    (tmp_path / "job.yaml").write_text(recipe("digits").to_yaml())
    done = fedscale("run", tmp_path / "job.yaml", "--set", "rounds.count=7", "--show")
    assert yaml.safe_load(done.output)["rounds"]["count"] == 7


def test_a_folder_called_like_a_recipe_is_no_job(tmp_path, monkeypatch):
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert fedscale("run", "digits", "--show").exit_code == 0


def test_elsewhere_than_on_a_terminal_there_is_a_plain_line_per_round(finished):
    _, output = finished
    lines = [line for line in output.splitlines() if line.startswith("round ")]
    assert [line.split(",")[0] for line in lines] == ["round 1/4", "round 2/4", "round 3/4", "round 4/4"]
    for line in lines:
        assert [field for field in FIELDS if f"{field} " not in line] == []
    assert "\x1b" not in output
    assert "final accuracy" in output


def test_the_report_is_where_it_says(finished):
    out, output = finished
    assert output.splitlines()[-1] == f"Report: {out / 'report.html'}"
    assert (out / "report.html").stat().st_size > 100_000


def test_resuming_a_finished_run_says_so(finished):
    out, _ = finished
    before = (out / "log.jsonl").read_bytes()
    done = fedscale("resume", out)
    assert done.exit_code == 0
    assert done.output.startswith(f"{out}: this run is finished.\n")
    assert (out / "log.jsonl").read_bytes() == before


def test_a_log_that_adds_up_passes_and_an_altered_one_is_named_by_line(finished, tmp_path):
    out, _ = finished
    assert fedscale("check", out).exit_code == 0
    lines = (out / "log.jsonl").read_bytes().splitlines(keepends=True)
    number = next(number for number, line in enumerate(lines) if b'"kind":"commit"' in line)
    lines[number] = lines[number].replace(b'"completed":4', b'"completed":3', 1)
    (tmp_path / "log.jsonl").write_bytes(b"".join(lines))
    done = fedscale("check", tmp_path)
    assert done.exit_code == 1
    assert f"{tmp_path}/log.jsonl line {number + 1}: altered" in done.output.replace("\n", "")
    both = fedscale("check", out, tmp_path)
    assert both.exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "digit"], "'digit' is neither a file nor a recipe: did you mean 'digits'"),
        (["run", "absent.yaml"], "absent.yaml: cannot be read"),
        (["run", "digits", "--set", "rounds.cuont=3"], "unknown key 'rounds.cuont': did you mean 'count'"),
        (["run", "digits", "--set", "selector=oart", "--out", "out"], "unknown selector 'oart'"),
        (["run", "digits", "--plugin", "absent.py", "--out", "out"], "absent.py: cannot be read: No such file"),
        (["run", "digits", "--out", "full"], "full is not empty: choose another place, or resume the run in it"),
        (["run", "digits", "--out", "full/file"], "full/file is a file: choose another place"),
        (["resume", "absent"], "absent: no run is here (job.yaml is missing)"),
        (["resume", "full"], "full: no run is here (job.yaml is missing)"),
        (["check", "absent"], "absent/log.jsonl: cannot be read: No such file or directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_an_error_that_names_it(tmp_path, monkeypatch, arguments, message):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    monkeypatch.chdir(tmp_path)
    done = fedscale(*arguments)
    assert done.exit_code == 1
    assert message in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_an_error_is_one_line_without_a_traceback_and_exit_status_1(tmp_path):
    done = process("run", "qmnis", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: 'qmnis' is neither a file nor a recipe: did you mean 'qmnist'")
    assert done.stderr.endswith("?\n") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["run"], ["run", "digits", "--workers", "0"], ["run", "--no-such-option"], ["nothing"]]
)
def test_wrong_usage_has_exit_status_2(arguments):
    assert fedscale(*arguments).exit_code == 2


def test_on_a_terminal_a_panel_shows_every_field(tmp_path):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "fedscale.cli.main", "run", "digits", *SHORT, "--out", str(tmp_path / "run")]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs, env=environment) as running:
        os.close(theirs)
        shown = b"".join(iter(lambda: read(ours), b"")).decode()
    os.close(ours)
    assert running.returncode == 0, shown
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "Loading data and workers" in text
    assert f"digits → {tmp_path}" in text
    panels = [panel for panel in text.split("╭") if "virtual time" in panel]
    assert len(panels) >= 4
    for field in FIELDS:
        assert field in panels[-1]
    assert "4/4" in panels[-1]
    assert re.search(r"last test +accuracy 0\.\d{4} loss", panels[-1])
    assert "━" in panels[-1]  # the bar
    assert next(read_log(tmp_path / "run" / "log.jsonl"))["kind"] == "job"


def read(descriptor):
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # the other side is closed
        return b""


def test_what_is_not_known_yet_is_shown_as_such():
    progress = Progress(
        version=0, rounds=9, attempt=1, virtual_seconds=75.0, online=3, selected=3, completed=0, dropped=3,
        loss=None, metrics={}, bytes_down=1_500_000, bytes_up=0, seconds_left=None,
    )  # fmt: skip
    shown = describe(progress)
    assert list(shown) == FIELDS
    assert shown["round"] == "0/9"
    assert shown["virtual time"] == "1 min 15 s"
    assert (shown["training loss"], shown["last test"], shown["time left"]) == ("-", "-", "?")
    assert shown["traffic"] == "1.5 MB down 0 B up"


def test_a_plugin_from_the_command_line_is_part_of_the_job(tmp_path):
    (tmp_path / "mine.py").write_text("from fedscale.core.client import Client\nclass Mine(Client):\n    pass\n")
    out = tmp_path / "run"
    assert fedscale("run", "digits", *SHORT, "--plugin", tmp_path / "mine.py", "--out", out).exit_code == 0
    head = next(read_log(out / "log.jsonl"))
    assert head["job"]["plugins"] == ["mine.py"]
    assert list(head["files"]) == ["plugins.0"]


def test_brackets_in_names_are_shown_as_they_are():
    progress = Progress(
        version=1, rounds=9, attempt=1, virtual_seconds=75.0, online=3, selected=3, completed=3, dropped=0,
        loss=0.5, metrics={"f1[/macro]": 0.25}, bytes_down=1_500_000, bytes_up=0, seconds_left=3.0,
    )  # fmt: skip
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with panels(console, Interrupt(console), "mine → runs/a[/b]") as shown:
        shown.attempt(progress)
    text = console.file.getvalue()
    assert "runs/a[/b]" in text
    assert "f1[/macro] 0.2500" in text
