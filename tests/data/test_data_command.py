"""The ``data`` commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from fedscale.cli.data import app
from fedscale.data.catalogue import DATASETS, load_dataset
from fedscale.errors import DataError, JobError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDSCALE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "cache"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_list_says_what_is_in_the_cache() -> None:
    run("get", "digits")
    shown = run("list").stdout
    rows = {line.split()[0]: line for line in shown.splitlines() if " yes " in line or " no " in line}
    assert sorted(rows) == DATASETS.names()
    assert " yes " in rows["digits"]
    assert " no " in rows["qmnist"]
    assert "next_token" in rows["shakespeare"]


def test_get_says_where_it_is(cache: Path) -> None:
    result = run("get", "digits")
    assert result.stdout == f"digits: 14 clients, 1,797 samples in {cache}/datasets-1/digits\n"


def test_get_takes_options() -> None:
    assert "30 clients, 150 samples" in run("get", "synthetic", "--set", "clients=30", "--set", "samples=5").stdout
    error = run("get", "synthetic", "--set", "clients").exception
    assert isinstance(error, JobError)
    assert "write key=value" in str(error)


def test_info_before_and_after() -> None:
    before = run("info", "digits").stdout
    assert "Not in the cache yet: fedscale data get digits" in before
    assert "load_digits" in before
    run("get", "digits")
    after = run("info", "digits").stdout
    assert "min 122 · p5 122 · p25 128 · median 130" in after
    assert "uint8 8 × 8, values 0 to 15" in after


def test_import_of_raw_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="qmnist is not in the cache: `fedscale data get qmnist` fetches it"):
        load_dataset("qmnist")
    raw = tmp_path / "raw"
    raw.mkdir()
    for part in ("train", "test"):
        images, labels = np.zeros((2, 28, 28), np.uint8), np.zeros((2, 8), ">i4")
        labels[:, 2] = 1 if part == "train" else 2
        head = bytes([0, 0, 8, 3]) + np.array(images.shape, ">u4").tobytes()
        (raw / f"qmnist-{part}-images-idx3-ubyte").write_bytes(head + images.tobytes())
        head = bytes([0, 0, 12, 2]) + np.array(labels.shape, ">u4").tobytes()
        (raw / f"qmnist-{part}-labels-idx2-int").write_bytes(head + labels.tobytes())
    assert "qmnist: 2 clients, 4 samples" in run("import", "qmnist", "--from", str(raw)).stdout
    error = run("import", "qmnist", "--from", str(raw)).exception
    assert isinstance(error, DataError)
    assert "qmnist is there already: remove it to import it anew" in str(error)


def test_help_has_examples() -> None:
    for command in ("list", "info", "get", "import"):
        assert f"fedscale data {command}" in run(command, "--help").stdout


def test_the_command_loads_nothing_heavy() -> None:
    heavy = ("torch", "pyarrow", "numpy", "sklearn", "rich.table")
    code = f"import sys, fedscale.cli.data; print([module for module in {heavy} if module in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_page_has_a_row_and_a_section_for_each_dataset() -> None:
    lines = run("list", "--page").stdout.splitlines()
    rows = [line for line in lines if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == DATASETS.names()
    assert [line.strip("# `") for line in lines if line.startswith("## ")] == DATASETS.names()
    assert {row.count("|") - row.count("\\|") for row in rows} == {11}
    assert "| `digits` | form | 14 | 1,797 | here | classification | accuracy | `mlp` | real files | yes |" in rows
    assert "| 442 | 1,700,000 |" in next(row for row in rows if row.startswith("| `taxi`"))


def test_an_import_shows_no_progress_where_nobody_watches(tmp_path: Path) -> None:
    real = Path(__file__).parents[3] / "shared" / "data" / "raw" / "taxi"
    if not real.is_dir():
        pytest.skip(f"{real} is not there")
    done = run("import", "taxi", "--from", str(real), "--to", str(tmp_path / "taxi"))
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        f"taxi: 2 clients, 2 samples in {tmp_path / 'taxi'}",
        f"use it in a job as  data: {tmp_path / 'taxi'}",
    ]
