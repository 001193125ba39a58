"""How long one waits from the command to the first round, beside what it takes to import torch."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.children import environment

CLOCK: Final = '''
"""Writes down when participants are first asked for: the start of the first round."""

import time
from pathlib import Path

from fedscale.core.client_manager import ClientManager


class Clock(ClientManager):
    def select_participants(self, num_of_clients, cur_time, feedbacks):
        started = Path(__file__).with_name("started")
        if not started.exists():
            started.write_text(str(time.monotonic()))
        return super().select_participants(num_of_clients, cur_time, feedbacks)
'''

JOB: Final = """
data: {name: synthetic, clients: 100, samples: 10}
local: {steps: 1}
rounds: {participants: 5, count: 1}
plugins: [clock.py]
"""

RUN: Final = "from fedscale.cli.main import main; main()"


def measure(repeats: int, workers: int) -> tuple[float, float, list[float]]:
    """Return median seconds from the command to the first round and of importing torch, and each pair's difference."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "clock.py").write_text(CLOCK)
        (folder / "job.yaml").write_text(JOB)
        pairs = [(_first_round(folder, number, workers), _import_torch(folder)) for number in range(repeats + 1)]
    runs, imports = zip(*pairs[1:], strict=True)  # the first run generates the data and fills the system's caches
    return statistics.median(runs), statistics.median(imports), [run - other for run, other in pairs[1:]]


def _first_round(folder: Path, number: int, workers: int) -> float:
    options = ["run", "job.yaml", "--out", f"run-{number}", "--workers", str(workers)]
    begin = time.monotonic()
    _python(folder, RUN, *options)
    started = folder / "started"
    seconds = float(started.read_text()) - begin
    started.unlink()
    return seconds


def _import_torch(folder: Path) -> float:
    begin = time.monotonic()
    _python(folder, "import torch")
    return time.monotonic() - begin


def _python(folder: Path, code: str, *arguments: str) -> None:
    command = [sys.executable, "-c", code, *arguments]
    variables = environment(FEDSCALE_CACHE=str(folder / "cache"))
    subprocess.run(command, cwd=folder, env=variables, stdout=subprocess.DEVNULL, check=True)
