"""How many workers share a device: as many as its memory is found to hold, and fewer when it was not enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from fedscale.learn.devices import Meter, Usage

SHARE: Final = 0.9
"""Of the memory that there is, what is given away: later clients may be larger, and free memory lies in pieces."""


@dataclass(eq=False)
class Seat:
    """One device and the workers on it: one at first, whose use of memory says how many may join it.

    Attributes:
        most: workers that there may be. Each must reckon with so many, itself included; at 1 it has the device alone,
            and for good.
        environment: what makes a process compute on this device.
        now: workers that there are.
    """

    most: int
    environment: Mapping[str, str] = field(default_factory=dict)
    now: int = 1

    def measured(self, usage: Usage) -> int:
        """Return how many workers are to join the first one, now that its use of memory is known."""
        if self.now == self.most:
            return 0
        fitting = int(SHARE * usage.room / max(1, usage.peak))
        joining = max(0, min(fitting, self.most) - self.now)
        self.now += joining
        self.most = self.now
        return joining

    def exhausted(self, sharing: int) -> int:
        """Return how many workers are to leave, for good, now that one which was told of ``sharing`` had no memory.

        What was begun before others left says nothing of those who stay.
        """
        if sharing > self.most:
            return 0
        leaving = self.now - max(1, self.now // 2)
        self.now -= leaving
        self.most = self.now
        return leaving


def seats(meter: Meter, workers: int) -> list[Seat]:
    """Deal ``workers`` out to the devices of a kind; those that get none are not used."""
    used = min(meter.count(), workers)
    return [Seat(-(-(workers - device) // used), meter.environment(device)) for device in range(used)]
