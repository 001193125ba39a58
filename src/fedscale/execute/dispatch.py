"""Who works on what: requests to workers, wherever these are, and answers folded in the order of the requests.

The result does not depend on how many workers there are, which of them did what, or how often one was replaced.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from fedscale import limits
from fedscale.errors import WorkerError
from fedscale.execute.forecast import Forecast
from fedscale.learn.shelf import copied
from fedscale.outcomes import Fate

WINDOW: Final = 4
"""Blocks per worker that may be ahead of the fold, if memory allows."""

Request = dict[str, Any]
Answer = dict[str, Any]


class Station(Protocol):
    """One worker as the dispatcher sees it."""

    @property
    def ready(self) -> bool:
        """Whether a request can be sent; a worker that is being started may be far from that."""
        ...

    @property
    def depth(self) -> int:
        """Requests that may be sent before the first is answered: a second one saves the wait for it."""
        ...

    @property
    def node(self) -> str:
        """The machine that the worker is on."""
        ...

    @property
    def item(self) -> int:
        """The task or client that the worker is at, or -1."""
        ...

    def ask(self, request: Request) -> None:
        """Send a request. A worker that is gone is noticed by `answer`."""
        ...

    def answer(self) -> Answer | None:
        """Return the answer to the oldest request, or ``None`` if the worker is gone. Take its sum before asking."""
        ...

    def restart(self) -> None:
        """Replace a worker that is gone."""
        ...


Wait = Callable[[Sequence[Any]], Sequence[Any]]
"""Waits for some of the busy stations: those that have answered or are gone, possibly none of them yet."""


Adjust = Callable[[Any, Answer], None]
"""Is told which station gave which answer."""


class Sweep:
    """A list of requests, how far it has got, and what waits for its turn to be folded.

    ``seconds`` are those that the workers took for it, together.
    """

    def __init__(self, requests: Sequence[Request], fold: Callable[[Answer], None], ahead: int) -> None:
        self.requests = list(requests)
        self._fold = fold
        self._ahead = ahead
        self._todo = list(range(len(requests)))
        self._next = 0
        self._waiting: dict[int, Answer] = {}
        self.seconds = 0.0

    @property
    def left(self) -> int:
        """Requests that nobody was asked yet."""
        return len(self._todo)

    @property
    def done(self) -> bool:
        """Every request is answered and folded."""
        return self._next == len(self.requests)

    def next(self, forecast: Forecast, node: str) -> int | None:
        """Return the number of the request to begin now on a node: here the longest of those within the window."""
        within = [number for number in self._todo if number < self._next + self._ahead]
        if not within:
            return None
        chosen = max(within, key=lambda number: (forecast.seconds(self.requests[number]), -number))
        self._todo.remove(chosen)
        return chosen

    def put_back(self, number: int, request: Request) -> None:
        """Have a request done again, or what is left of it."""
        self.requests[number] = request
        self._todo.insert(0, number)

    def take(self, number: int, answer: Answer) -> None:
        """Fold an answer if it is its turn, with those that waited for it, else keep it."""
        if number != self._next:
            if "total" in answer:
                answer["total"] = copied(answer["total"])
            self._waiting[number] = answer
            return
        self._fold(answer)
        self._next += 1
        while self._next in self._waiting:
            self._fold(self._waiting.pop(self._next))
            self._next += 1


class Dispatcher:
    """Keeps stations busy with the requests of one or more sweeps; those begun later come first.

    Args:
        stations: the workers.
        wait: for some of them.
        together: a worker names only the first task of those it is at.
        adjust: lets workers join or leave when an answer tells of their device's memory: its "usage", or that it is
            "exhausted". Then the worker has ended, and leaves or is started anew.
    """

    def __init__(
        self, stations: Sequence[Station], wait: Wait, *, together: bool, adjust: Adjust = lambda station, answer: None
    ) -> None:
        self._wait = wait
        self._adjust = adjust
        self._together = together
        self._asked: dict[Station, deque[tuple[Sweep, int]]] = {station: deque() for station in stations}
        self._sweeps: list[Sweep] = []
        self._deaths: Counter[int] = Counter()
        self._forecast = Forecast()

    def join(self, station: Station) -> None:
        """Take in another worker."""
        self._asked[station] = deque()

    def leave(self, station: Station) -> None:
        """Let a worker go; what it was asked is for others."""
        self._put_back(self._asked.pop(station))

    def begin(self, sweep: Sweep) -> None:
        """Hand out the first requests of a sweep, before those of others that are under way."""
        self._sweeps = [sweep, *(other for other in self._sweeps if not other.done)]
        self._deaths.clear()
        self._hand_out()

    def finish(self, sweep: Sweep) -> None:
        """Work until a sweep is done."""
        while not sweep.done:
            for station in self._wait([station for station, asked in self._asked.items() if asked]):
                if station in self._asked:  # it may have left, on what another one answered
                    self._take(station)
            self._hand_out()

    def finish_all(self) -> None:
        """Work until every sweep is done; who began them may still ask for their results."""
        for sweep in self._sweeps:
            self.finish(sweep)

    def _hand_out(self) -> None:
        """Give every station something to do and then, if it takes it, something to go on with."""
        for turn in range(max((station.depth for station in self._asked), default=0)):
            for station, asked in self._asked.items():
                if station.ready and len(asked) == turn < station.depth:
                    self._ask(station, asked)

    def _ask(self, station: Station, asked: deque[tuple[Sweep, int]]) -> None:
        for sweep in self._sweeps:
            if asked and sweep.left <= len(self._asked):
                continue  # towards the end, what is left is for whoever is done first
            number = sweep.next(self._forecast, station.node)
            if number is not None:
                asked.append((sweep, number))
                station.ask(sweep.requests[number])
                return

    def _take(self, station: Station) -> None:
        asked = self._asked[station]
        sweep, number = asked.popleft()
        request = sweep.requests[number]
        answer = station.answer()
        if answer is None or "exhausted" in answer:
            self._put_back(asked)
            sweep.put_back(number, self._bury(station, request) if answer is None else request)
            if answer is not None:
                self._adjust(station, answer)
            return
        seconds = answer.pop("seconds", None)
        sweep.seconds += seconds or 0.0
        self._forecast.learn(request, seconds)
        answer["items"] = request["items"]
        if "reports" in answer:
            answer["reports"] += [_given_up(task) for task in request.get("given_up", [])]
        sweep.take(number, answer)
        if "usage" in answer:
            self._adjust(station, answer)
        self._hand_out()  # only now: what comes next may overwrite the sum

    def _put_back(self, asked: deque[tuple[Sweep, int]]) -> None:
        while asked:
            sweep, untouched = asked.pop()
            sweep.put_back(untouched, sweep.requests[untouched])

    def _bury(self, station: Station, request: Request) -> Request:
        """Replace a dead worker; return what of its request is still to be done."""
        item = station.item
        station.restart()
        self._deaths[item] += 1
        if item not in request["items"]:  # it died between items, which is nobody's fault, but must not go on for ever
            if self._deaths[item] < limits.TASK_DEATHS * len(self._asked):
                return request
            raise WorkerError("worker processes end between tasks, again and again: see their messages above")
        if self._deaths[item] < limits.TASK_DEATHS:
            return request
        if "tasks" not in request:
            raise WorkerError(
                f"testing client {item} ended {limits.TASK_DEATHS} workers: out of memory, or a crash in its code"
            )
        if self._together and not request["alone"] and len(request["items"]) > 1:
            self._deaths[item] = 0
            return {**request, "alone": True}
        kept = [conf for conf in request["tasks"] if conf["task"] != item]
        return {
            **request,
            "items": [conf["task"] for conf in kept],
            "tasks": kept,
            "given_up": [*request.get("given_up", []), item],
        }


def _given_up(task: int) -> dict[str, Any]:
    why = f"its training ended {limits.TASK_DEATHS} workers (out of memory, a crash, or no end)"
    return {"task": task, "fate": Fate.FAILED.value, "why": why}
