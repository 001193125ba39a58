"""What processes that benchmarks start are given."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment with ``more``, in which the same modules are found from any folder."""
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return {**os.environ, "PYTHONPATH": path, **more}
