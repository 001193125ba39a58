"""What a worker of a cluster leaves on its node when it dies: a folder, and in it which task it was at.

This is read in a new process on that node, which need not import any library to do so.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

COUNTER: Final = "item"
"""File of eight bytes: the task or client, or -1."""


def read_item(folder: str) -> int:
    """Return which task or client the worker of ``folder`` was at, or -1, and remove its files."""
    try:
        content = (Path(folder) / COUNTER).read_bytes()
    except OSError:
        return -1
    shutil.rmtree(folder, ignore_errors=True)
    return int.from_bytes(content, "little", signed=True)
