"""The messages between a pool and its workers: JSON texts on a socket pair; vectors travel through shared memory."""

from __future__ import annotations

import json
from dataclasses import fields
from multiprocessing.connection import Connection
from typing import Any, Final

from fedscale.execute.base import ClientSums, Report
from fedscale.learn.conf import TrainConf
from fedscale.outcomes import Fate

_CONF: Final = [field.name for field in fields(TrainConf)]


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


def train_request(kind: str, stamp: int, tasks: list[TrainConf], work: tuple[int, int]) -> dict[str, Any]:
    """Ask for a block of tasks to be trained (kind ``train``) or measured (kind ``upload_sizes``).

    ``alone`` asks to train one after another even where the engine can train them together.
    """
    return {
        "kind": kind,
        "stamp": stamp,
        "items": [conf.task for conf in tasks],
        "tasks": [{name: getattr(conf, name) for name in _CONF} for conf in tasks],
        "work": work,
        "alone": False,
    }


def test_request(stamp: int, clients: list[int], version: int) -> dict[str, Any]:
    """Ask for a block of clients to be tested."""
    return {"kind": "test", "stamp": stamp, "items": clients, "clients": clients, "version": version}


def read_report(values: dict[str, Any]) -> Report:
    """Rebuild a report from its message."""
    fate = values.pop("fate")
    return Report(**values, fate=None if fate is None else Fate(fate))


def read_sums(values: dict[str, Any]) -> ClientSums:
    """Rebuild a client's test sums from their message."""
    return ClientSums(**values)
