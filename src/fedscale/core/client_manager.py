"""The manager of clients: who is online, and who takes part."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fedscale import seeds
from fedscale.errors import RunError
from fedscale.outcomes import Outcome
from fedscale.select.base import Moment, Selector
from fedscale.units import Micros, to_micros

IntArray = npt.NDArray[np.int64]


class Presence(Protocol):
    """Knows who is online: a population with traces in a simulation, connected devices in a deployment."""

    def among(self, clients: IntArray) -> Callable[[Micros], IntArray]:
        """Return what says for a time which of ``clients`` (ascending) are online, ascending; it may remember."""
        ...


class ClientManager:
    """Chooses participants among the clients that are online. Override `select_participants` to choose otherwise.

    Args:
        presence: who is online when.
        clients: indices of the clients that may take part (those of the training split).
        selector: the policy behind the default `select_participants`.
        seed: the job's seed.
    """

    def __init__(self, presence: Presence, clients: IntArray, selector: Selector, seed: int) -> None:
        self.clients = clients
        self._presence = presence
        self._selector = selector
        self._seed = seed
        self._selections = 0
        self._watched: tuple[IntArray, Callable[[Micros], IntArray]] | None = None
        self._latest: tuple[float, IntArray] | None = None

    def online(self, cur_time: float) -> IntArray:
        """Return the clients that may take part and are online at ``cur_time`` (virtual seconds), ascending.

        The array is kept for whoever asks about the same time again, and cannot be written to.
        """
        if self._watched is None or self._watched[0] is not self.clients:  # a subclass may have replaced them
            self._watched, self._latest = (self.clients, self._presence.among(self.clients)), None
        if self._latest is None or self._latest[0] != cur_time:
            present = self._watched[1](to_micros(cur_time)).view()
            present.flags.writeable = False
            self._latest = cur_time, present
        return self._latest[1]

    def select_participants(
        self, num_of_clients: int, cur_time: float, feedbacks: Sequence[Outcome]
    ) -> Sequence[int] | IntArray:
        """Return at most ``num_of_clients`` distinct clients to start now.

        Args:
            num_of_clients: over-commitment included.
            cur_time: virtual seconds.
            feedbacks: outcomes of the tasks closed since the last call.
        """
        self._selector.feedback(feedbacks)
        rng = seeds.rng(self._seed, "select", self._selections)
        moment = Moment(cur_time, self._selections, rng)
        self._selections += 1
        return self._selector.select(self.online(cur_time), num_of_clients, moment)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps; extend it with what your subclass keeps between rounds."""
        return {"selections": self._selections, "selector": self._selector.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state from a checkpoint."""
        self._selections = state["selections"]
        self._selector.restore(state["selector"])


def participants(
    manager: ClientManager, num_of_clients: int, cur_time: float, feedbacks: Sequence[Outcome]
) -> list[int]:
    """Ask ``manager`` for participants and return them as plain numbers.

    Raises:
        RunError: `ClientManager.select_participants` returned something else, or clients that cannot take part now.
    """
    chosen = manager.select_participants(num_of_clients, cur_time, feedbacks)
    try:
        clients = np.array([operator.index(client) for client in chosen], np.int64)
    except (TypeError, OverflowError):
        raise RunError(f"select_participants returned {chosen!r}: a sequence of client numbers is wanted") from None
    _refuse(clients, manager.clients, "do not take part in training")
    _refuse(clients, manager.online(cur_time), f"are not online at {cur_time:g} s")
    plain: list[int] = clients.tolist()
    return plain


def _refuse(clients: IntArray, known: IntArray, why: str) -> None:
    """Refuse ``clients`` that are not among the ``known`` (ascending)."""
    places = np.searchsorted(known, clients)
    stranger = places == len(known)
    within = np.flatnonzero(~stranger)
    stranger[within] = known[places[within]] != clients[within]
    if stranger.any():
        raise RunError(f"select_participants returned clients that {why}: {_listed(clients[stranger].tolist())}")


def _listed(clients: Iterable[int]) -> str:
    ordered = sorted(set(clients))
    more = f" and {len(ordered) - 5} more" if len(ordered) > 5 else ""
    return ", ".join(map(str, ordered[:5])) + more
