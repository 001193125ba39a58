"""What became of a task: its fate, and the outcome that selectors and users' hooks learn of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Fate(StrEnum):
    """How a task ended: every task has exactly one."""

    COMPLETED = "completed"
    """Its update is part of a version."""
    STRAGGLER = "straggler"
    """Still under way when its attempt ended."""
    DROPPED = "dropped"
    """Its device went away before it finished."""
    FAILED = "failed"
    """Its training raised an error, or killed its worker."""
    REJECTED = "rejected"
    """Its update was refused: not finite, wrong shape, impossible weight."""
    LATE = "late"
    """Its update is older than the policy admits."""
    CANCELLED = "cancelled"
    """It finished, but its attempt was abandoned."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One closed task, in seconds of virtual time.

    Attributes:
        task: its unique number.
        client: who was asked.
        version: the model that it trained on.
        fate: how it ended.
        start: when it was sent.
        end: when it ended.
        duration: how long the whole task takes on this device, had it been left to finish.
        samples: training samples of the client.
        loss: mean training loss per sample, if it was trained.
        metrics: what the client's program reported beside it.
    """

    task: int
    client: int
    version: int
    fate: Fate
    start: float
    end: float
    duration: float
    samples: int
    loss: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
