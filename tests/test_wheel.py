"""The wheel, installed into a clean environment and used away from the checkout (it needs a package index)."""

import importlib.util
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SMALL = ("--set", "rounds.count=2", "--set", "rounds.participants=5", "--set", "data.max_clients=300")

pytestmark = pytest.mark.soak


def command(*arguments: object, cwd: Path, seconds: float) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(argument) for argument in arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel; the build's own requirements are fetched unless they are here."""
    out = tmp_path_factory.mktemp("wheel")
    isolation = ["--no-isolation"] if importlib.util.find_spec("hatchling") else []
    command(sys.executable, "-m", "build", "--wheel", *isolation, "--outdir", out, ROOT, cwd=out, seconds=600)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def bin_directory(wheel, tmp_path_factory):
    """Install the wheel and what it needs, and nothing else."""
    directory = tmp_path_factory.mktemp("environment")
    venv.create(directory, with_pip=True)
    pip = (directory / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    command(*pip, "--constraint", ROOT / "constraints.txt", wheel, cwd=directory, seconds=1800)
    return directory / "bin"


def test_the_wheel_holds_what_it_should(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"fedscale/py.typed", "fedscale/report/page.html.j2", "fedscale/cli/main.py"} <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"fedscale"}
    source = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src" / "fedscale").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert source <= names


def test_the_demonstration_runs_from_the_wheel(bin_directory, tmp_path):
    program = bin_directory / "fedscale"
    where = command(
        bin_directory / "python", "-c", "import fedscale; print(fedscale.__file__)", cwd=tmp_path, seconds=60
    )
    assert Path(where.strip()).is_relative_to(bin_directory.parent)
    output = command(program, "run", "demo", *SMALL, "--out", "demo", "--workers", 2, cwd=tmp_path, seconds=600)
    assert "Report: demo/report.html" in output
    assert "finished" in command(program, "check", "demo", cwd=tmp_path, seconds=60)
    command(program, "report", "demo", "--out", "page.html", cwd=tmp_path, seconds=60)
    assert "<html" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_what_is_not_installed_is_named_with_its_remedy(bin_directory, tmp_path):
    environment = {**os.environ, "FEDSCALE_CACHE": str(tmp_path / "cache")}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [bin_directory / "fedscale", "run", "digits", "--out", "digits"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "pip install 'fedscale[digits]'" in done.stderr
