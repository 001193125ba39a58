"""What an observer of a run is told while it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Progress:
    """The state of a run after an attempt.

    Attributes:
        version: rounds committed so far.
        rounds: rounds to commit in all.
        attempt: attempts so far, abandoned ones included.
        virtual_seconds: the virtual clock.
        online: clients that were online when the attempt started.
        selected: clients that the attempt started.
        completed: of these, those that completed.
        dropped: of these, those that went away.
        loss: mean training loss of the latest commit, if any.
        metrics: of the latest evaluation, if any.
        bytes_down, bytes_up: traffic since the job began.
        seconds_left: real time that the rest may take, judged by the attempts so far.
    """

    version: int
    rounds: int
    attempt: int
    virtual_seconds: float
    online: int
    selected: int
    completed: int
    dropped: int
    loss: float | None
    metrics: dict[str, float]
    bytes_down: int
    bytes_up: int
    seconds_left: float | None


class Observer(Protocol):
    """Watches a run and may end it."""

    def notice(self, message: str) -> None:
        """Something worth a line happened."""
        ...

    def attempt(self, progress: Progress) -> None:
        """An attempt ended."""
        ...

    def stop_asked(self) -> bool:
        """Say whether the run should stop, in good order, before the next attempt."""
        ...


class Silent:
    """Watches and says nothing."""

    def notice(self, message: str) -> None:
        """Say nothing."""

    def attempt(self, progress: Progress) -> None:
        """Say nothing."""

    def stop_asked(self) -> bool:
        """Never ask."""
        return False
