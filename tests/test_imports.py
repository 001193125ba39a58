"""The house rules that imports can break: one direction, a pure coordinator, a quick start."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fedscale

ROOT = Path(fedscale.__file__).parent

ALLOWED = {
    "root": set(),
    "data": {"root"},
    "traces": {"root"},
    "legacy": {"root", "data", "traces"},
    "rounds": {"root"},
    "learn": {"root", "data", "traces"},
    "select": {"root", "data", "traces"},
    "core": {"root", "data", "traces", "learn", "select", "rounds"},
    "testing": {"root", "data", "traces", "learn", "select", "rounds", "core", "execute", "report", "simulation"},
    "execute": {"root", "data", "traces", "learn", "select", "rounds", "core"},
    "report": {"root", "data", "traces", "learn", "select", "rounds", "core"},
    "recipes": {"root"},
    "simulation": {"root", "data", "traces", "learn", "select", "rounds", "core", "execute", "report"},
    "cli": {
        "root",
        "data",
        "traces",
        "learn",
        "select",
        "rounds",
        "core",
        "execute",
        "report",
        "simulation",
        "recipes",
        "legacy",
    },
}
"""Which rooms a room may import from, itself aside. The root's ``__init__`` only names what it imports lazily."""

PURE = {"collections", "dataclasses", "enum", "heapq", "math", "typing", "__future__", "numpy"}
"""All that the coordinator may import from outside."""


def modules():
    return sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def room(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return parts[0] if len(parts) > 1 else "root"


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room_of(name: str) -> str | None:
    parts = name.split(".")
    if parts[0] != "fedscale":
        return None
    return parts[1] if len(parts) > 1 and (ROOT / parts[1]).is_dir() else "root"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    here = room(path)
    for name in imported(path):
        there = room_of(name)
        assert there in (None, here) or there in ALLOWED[here], f"{here} must not import {name}"


@pytest.mark.parametrize("path", sorted((ROOT / "rounds").glob("*.py")), ids=lambda path: path.name)
def test_the_coordinator_is_pure(path):
    foreign = {name.split(".")[0] for name in imported(path)} - {"fedscale"}
    assert foreign <= PURE, f"rounds/ must not import {foreign - PURE}"


def test_the_root_files_that_the_coordinator_uses_are_pure_too():
    used = {
        name.split(".")[1]
        for path in (ROOT / "rounds").glob("*.py")
        for name in imported(path)
        if room_of(name) == "root"
    }
    for name in used:
        foreign = {found.split(".")[0] for found in imported(ROOT / f"{name}.py")} - {"fedscale"}
        assert foreign <= PURE | {"difflib"}, f"{name}.py must not import {foreign}"


@pytest.mark.parametrize("command", ["import fedscale", "import fedscale.cli.main"])
def test_importing_is_quick_and_loads_nothing_heavy(command):
    heavy = "{'torch', 'plotly', 'pyarrow', 'pandas', 'sklearn', 'ray', 'jax', 'transformers'}"
    code = f"import sys; {command}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_are_pinned():
    assert sorted(fedscale.__all__) == [
        "FedScaleError",
        "Job",
        "Run",
        "load_client_availability",
        "load_client_devices",
        "load_dataset",
        "recipe",
        "resume",
        "simulate",
    ]
    for name in fedscale.__all__:
        assert getattr(fedscale, name) is not None
