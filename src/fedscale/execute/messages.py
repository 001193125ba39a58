"""The messages between a pool and its workers: JSON texts on a socket pair; vectors travel through shared memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from multiprocessing.connection import Connection
from operator import attrgetter
from typing import Any, Final

from fedscale.execute.base import ClientSums, Report
from fedscale.learn.conf import TrainConf
from fedscale.outcomes import Fate

_CONF: Final = [field.name for field in fields(TrainConf) if field.name not in ("task", "client")]
_OWN: Final = ("malicious", "steps", "epochs", "width", "level")
_own_values: Final[Callable[[TrainConf], tuple[Any, ...]]] = attrgetter(*_OWN)
_NO_ROWS: Final[Mapping[int, int]] = {}
_NOTHING: Final = vars(Report(task=-1))


def send(connection: Connection, message: dict[str, Any]) -> None:
    """Send one message."""
    connection.send_bytes(json.dumps(message).encode())


def receive(connection: Connection) -> dict[str, Any]:
    """Wait for one message.

    Raises:
        EOFError: the other side is gone.
    """
    message: dict[str, Any] = json.loads(connection.recv_bytes())
    return message


def train_request(
    kind: str, stamp: int, tasks: list[TrainConf], work: tuple[int, int], rows: Mapping[int, int] = _NO_ROWS
) -> dict[str, Any]:
    """Ask for a block of tasks to be trained (kind ``train``) or measured (kind ``upload_sizes``).

    The tasks of a block differ in task and client only, in effort, and in whether the client is malicious. ``alone``
    asks to train one after another even where the engine can train them together. ``rows`` says where the updates of
    tasks are kept, if they are.
    """
    usual = _own_values(tasks[0])
    return {
        "kind": kind,
        "stamp": stamp,
        "items": [conf.task for conf in tasks],
        "tasks": [_task(conf, usual) for conf in tasks],
        "conf": {name: getattr(tasks[0], name) for name in _CONF},
        "work": work,
        "rows": [[conf.task, rows[conf.task]] for conf in tasks] if rows else None,
        "alone": False,
    }


def test_request(stamp: int, clients: list[int], version: int) -> dict[str, Any]:
    """Ask for a block of clients to be tested."""
    return {"kind": "test", "stamp": stamp, "items": clients, "clients": clients, "version": version}


def _task(conf: TrainConf, usual: tuple[Any, ...]) -> dict[str, Any]:
    """Return what a task does not share with the first of its block, whose own values are the ``usual`` ones."""
    values = _own_values(conf)
    own = zip(_OWN, values, usual, strict=True) if values != usual else ()
    return {"task": conf.task, "client": conf.client, **{name: value for name, value, other in own if value != other}}


def read_tasks(request: dict[str, Any]) -> list[TrainConf]:
    """Rebuild the tasks of a request."""
    return [TrainConf(**{**request["conf"], **task}) for task in request["tasks"]]


def write_report(report: Report) -> dict[str, Any]:
    """Return a report as its message: what differs from a report of nothing."""
    return {name: value for name, value in vars(report).items() if value != _NOTHING[name]}


def read_report(values: dict[str, Any]) -> Report:
    """Rebuild a report from its message."""
    fate = values.pop("fate", None)
    return Report(**values, fate=None if fate is None else Fate(fate))


def read_sums(values: dict[str, Any]) -> ClientSums:
    """Rebuild a client's test sums from their message."""
    return ClientSums(**values)
