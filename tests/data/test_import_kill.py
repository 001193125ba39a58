"""An import that is killed, and done again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from tabular_raw import TAOBAO, write

from fedscale.data.catalogue import DATASETS
from fedscale.data.notes import Notes
from fedscale.data.store import open_store

ROWS = 150_000


def test_killed_in_the_middle_and_done_again(tmp_path: Path) -> None:
    users = np.random.default_rng(1).integers(0, 5_000, ROWS).tolist()
    rows = "".join(f"{user},{1494137644 + row},{row % 97},430548_1007,1,0\n" for row, user in enumerate(users))
    header = TAOBAO["raw_sample.csv"].split("\n", 1)[0]
    raw = write(tmp_path / "raw", TAOBAO | {"raw_sample.csv": f"{header}\n{rows}"})
    command = [sys.executable, "-m", "fedscale.cli.main", "data", "import", "taobao", "--from", str(raw)]
    place = {**os.environ, "FEDSCALE_CACHE": str(tmp_path / "cache"), "COLUMNS": "200"}
    stores = tmp_path / "cache" / "datasets-1"
    first = subprocess.Popen(command, env=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while first.poll() is None and not list(stores.glob(".taobao.*")):
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    left = [path.name for path in stores.iterdir()]
    assert [name.startswith(".taobao.") for name in left] == [True]
    again = subprocess.run(command, env=place, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert [path.name for path in stores.iterdir()] == ["taobao"]
    DATASETS.build("taobao", {"raw": raw}).write(tmp_path / "whole", Notes())
    assert open_store(stores / "taobao").fingerprint == open_store(tmp_path / "whole").fingerprint
