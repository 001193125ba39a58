"""The running account of a job: tasks by fate, client seconds and bytes, useful and wasted."""

from __future__ import annotations

from typing import Any

from fedscale.outcomes import Fate
from fedscale.rounds.cost import Cost
from fedscale.units import to_seconds


class Ledger:
    """Sums since the job began, kept in whole microseconds and bytes, so that they add up exactly."""

    def __init__(self) -> None:
        self.fates = dict.fromkeys(Fate, 0)
        self.useful = 0
        self.wasted = 0
        self.bytes_down = 0
        self.bytes_up = 0
        self.wasted_bytes_down = 0
        self.wasted_bytes_up = 0

    def charge(self, fate: Fate, spent: Cost) -> None:
        """Enter one closed task."""
        self.fates[fate] += 1
        self.bytes_down += spent.bytes_down
        self.bytes_up += spent.bytes_up
        if fate is Fate.COMPLETED:
            self.useful += spent.total
        else:
            self.wasted += spent.total
            self.wasted_bytes_down += spent.bytes_down
            self.wasted_bytes_up += spent.bytes_up

    def record(self) -> dict[str, Any]:
        """Return the account as it stands in the log: seconds and bytes."""
        return {
            "selected": sum(self.fates.values()),
            **{fate.value: count for fate, count in self.fates.items()},
            "useful_seconds": to_seconds(self.useful),
            "wasted_seconds": to_seconds(self.wasted),
            "bytes_down": self.bytes_down,
            "bytes_up": self.bytes_up,
            "wasted_bytes_down": self.wasted_bytes_down,
            "wasted_bytes_up": self.wasted_bytes_up,
        }

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {**vars(self), "fates": {fate.value: count for fate, count in self.fates.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state from a checkpoint."""
        vars(self).update(state)
        self.fates = {fate: state["fates"][fate.value] for fate in Fate}
