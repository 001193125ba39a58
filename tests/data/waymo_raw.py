"""Scenes written as TFRecord files of both kinds, by the formats' documents."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

STEPS = 91
PERIODS = {"past": (0, 10), "current": (10, 11), "future": (11, 91)}
State = tuple[float, float, float, float, float, bool]
"""x, y, heading, velocity along x and y, valid."""


@dataclass
class Agent:
    """An agent of ``kind`` (1 vehicle, 2 pedestrian, 3 cyclist), and its 91 states."""

    kind: int
    states: Sequence[State]
    asked: bool = False


@dataclass
class Scenario:
    name: str
    agents: list[Agent] = field(default_factory=list)


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def message(*fields: tuple[int, object]) -> bytes:
    """Encode fields: ints as varints, floats as doubles, `Single` as floats, bytes with their length."""
    out = b""
    for number, value in fields:
        if isinstance(value, bytes):
            out += varint(number * 8 + 2) + varint(len(value)) + value
        elif isinstance(value, Single):
            out += varint(number * 8 + 5) + struct.pack("<f", value)
        elif isinstance(value, float):
            out += varint(number * 8 + 1) + struct.pack("<d", value)
        else:
            assert isinstance(value, int)
            out += varint(number * 8) + varint(value)
    return out


class Single(float):
    """A float of four bytes."""


def scenario(scene: Scenario, now: int = 10) -> bytes:
    """Encode a scene as the Scenario message."""
    tracks = [
        message(
            (1, 100 + number),
            (2, agent.kind),
            *((3, state(*values)) for values in agent.states),
        )
        for number, agent in enumerate(scene.agents)
    ]
    asked = [message((1, number), (2, 1)) for number, agent in enumerate(scene.agents) if agent.asked]
    return message(
        *((1, step / 10) for step in range(STEPS)),
        *((2, track) for track in tracks),
        (5, scene.name.encode()),
        (6, 0),
        (7, message((1, b""))),
        (8, b"\x08\x07"),
        (10, now),
        *((11, track) for track in asked),
    )


def state(x: float, y: float, heading: float, vx: float, vy: float, valid: bool) -> bytes:
    if not valid:
        return message((11, 0))
    size = [(number, Single(1.5)) for number in (5, 6, 7)]
    moving = [(8, Single(heading)), (9, Single(vx)), (10, Single(vy))]
    return message((2, float(x)), (3, float(y)), (4, 0.5), *size, *moving, (11, 1))


def floats(values: Iterable[float]) -> bytes:
    return message((2, message((1, b"".join(struct.pack("<f", value) for value in values)))))


def integers(values: Iterable[int]) -> bytes:
    return message((3, message((1, b"".join(varint(value) for value in values)))))


def example(scene: Scenario, slots: int = 128, **changed: bytes) -> bytes:
    """Encode a scene as a tf.Example with ``slots`` agents, those that are not there of type -1."""
    nobody = Agent(-1, [(-1.0, -1.0, -1.0, -1.0, -1.0, False)] * STEPS)
    agents = [*scene.agents, *[nobody] * (slots - len(scene.agents))]
    features = {
        "scenario/id": message((1, message((1, scene.name.encode())))),
        "state/type": floats(agent.kind for agent in agents),
        "state/tracks_to_predict": integers(agent.asked if agent.kind > 0 else -1 for agent in agents),
        "roadgraph_samples/dir": floats([0.0] * 9),
    }
    for period, bounds in PERIODS.items():
        part = [value for agent in agents for value in agent.states[slice(*bounds)]]
        for place, name in enumerate(("x", "y", "bbox_yaw", "velocity_x", "velocity_y")):
            features[f"state/{period}/{name}"] = floats(value[place] for value in part)
        features[f"state/{period}/valid"] = integers(value[5] for value in part)
    features |= {name: value for name, value in changed.items() if value}
    entries = [message((1, name.encode()), (2, value)) for name, value in features.items() if changed.get(name) != b""]
    return message((1, message(*((1, entry) for entry in entries))))


def checksum(content: bytes) -> int:
    """Return the masked CRC-32C, one bit after another."""
    register = 0xFFFFFFFF
    for byte in content:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    register ^= 0xFFFFFFFF
    return ((register >> 15 | register << 17) + 0xA282EAD8) & 0xFFFFFFFF


def record(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return length + struct.pack("<I", checksum(length)) + content + struct.pack("<I", checksum(content))


def still(x: float, y: float, heading: float = 0.0, kind: int = 1, asked: bool = False) -> Agent:
    """Return an agent that stays where it is."""
    return Agent(kind, [(x, y, heading, 0.0, 0.0, True)] * STEPS, asked)
