"""With how many processes a run trains."""

from __future__ import annotations

import inspect
import sys

from fedscale.core.client import Client
from fedscale.cores import usable_cores
from fedscale.errors import JobError, RunError
from fedscale.simulation.progress import Observer
from fedscale.simulation.setup import Parts


def choose_workers(workers: int | None, parts: Parts, observer: Observer) -> int:
    """Return with how many processes to train: those asked for, else one per core, else one if the class cannot travel.

    Raises:
        JobError: several were asked for, but worker processes could not find the client's class.
    """
    client = parts.plugins.client
    if workers is not None and workers < 1:
        raise RunError(f"workers = {workers}: at least one is needed")
    if can_travel(client):
        return workers or usable_cores()
    if workers is None:
        observer.notice(f"{client.__name__} is not in a file of its own: training in this process only")
    elif workers > 1:
        raise JobError(
            f"workers = {workers}: {client.__name__} is defined in a notebook or a script, where worker processes "
            "cannot find it; put it into a file of its own and import it or name it as a plugin, or use workers=1"
        )
    return 1


def can_travel(client: type[Client]) -> bool:
    """Say whether a worker process can import the class: not if it lives in a notebook, a script or a function."""
    if client.__module__ == "__main__" or "<locals>" in client.__qualname__:
        return False
    module = sys.modules.get(client.__module__)
    return module is not None and inspect.getsourcefile(client) is not None
