"""How many processes work is given to."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Return how many cores this process may use: where the system tells (Linux), those that it is bound to."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return usable or 1
