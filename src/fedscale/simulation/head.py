"""The first two lines of a log: the job, and what it is run on."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

import fedscale
from fedscale.core import plugins
from fedscale.data.baselines import baselines
from fedscale.data.federated import FederatedDataset
from fedscale.job import Job
from fedscale.report.log import FORMAT, LogWriter
from fedscale.simulation.setup import Parts, payload


def write_head(log: LogWriter, job: Job, parts: Parts) -> None:
    """Write the two lines: the job, and what it is run on."""
    log.append(
        {
            "kind": "job",
            "format": FORMAT,
            "digest": job.digest,
            "job": job.model_dump(mode="json"),
            "versions": {
                "fedscale": fedscale.__version__,
                "python": platform.python_version(),
                "numpy": np.__version__,
                "torch": torch.__version__,
            },
            "plugins": {path.name: plugins.digest(path) for path in job.plugins},
        }
    )
    down, up = payload(job, parts.model)
    dataset, card = parts.dataset, parts.dataset.card
    log.append(
        {
            "kind": "population",
            "dataset": card.name,
            "fingerprint": dataset.fingerprint,
            "task": card.task,
            "metric": card.metric,
            "model": (job.model or card.model).name,
            "parameters": parts.model.parameters,
            "bytes_down": down,
            "bytes_up": None if parts.plugins.client.must_train_to_price() else up,
            **_group_sizes(dataset, parts),
            "devices": job.devices.source,
            "availability": job.availability.source,
            "baselines": baselines(dataset, parts.split.train, parts.test_clients) if len(parts.test_clients) else {},
        }
    )


def _group_sizes(dataset: FederatedDataset, parts: Parts) -> dict[str, Mapping[str, int]]:
    split = parts.split
    held_out = dataset.counts - parts.samples
    groups: dict[str, tuple[Any, Any]] = {
        "train": (split.train, parts.samples),
        "validation": (split.validation, dataset.counts),
        "test": (split.test, dataset.counts),
        "held_out": (split.train[held_out[split.train] > 0], held_out),
    }
    return {
        "clients": {name: len(clients) for name, (clients, _) in groups.items()},
        "samples": {name: int(counts[clients].sum()) for name, (clients, counts) in groups.items()},
    }
