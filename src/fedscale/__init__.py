"""FedScale: benchmarking and running federated learning, with real training, realistic clients and a virtual clock.

::

    import fedscale

    run = fedscale.simulate(fedscale.Job(data="shakespeare"))
    run.metrics.evaluations.to_pandas()
    run.report()

Heavy libraries are imported when they are first needed: importing this package is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from fedscale.data.catalogue import load_dataset
    from fedscale.errors import FedScaleError
    from fedscale.job import Job
    from fedscale.recipes import recipe
    from fedscale.simulation.run import Run, resume, simulate
    from fedscale.traces.readers import load_client_availability, load_client_devices

_PUBLIC = {
    "FedScaleError": "fedscale.errors",
    "Job": "fedscale.job",
    "Run": "fedscale.simulation.run",
    "load_client_availability": "fedscale.traces.readers",
    "load_client_devices": "fedscale.traces.readers",
    "load_dataset": "fedscale.data.catalogue",
    "recipe": "fedscale.recipes",
    "resume": "fedscale.simulation.run",
    "simulate": "fedscale.simulation.run",
}

__all__ = [
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


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'fedscale' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*__all__, "__version__"])
