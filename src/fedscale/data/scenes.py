"""Scenes of Waymo's Open Motion Dataset, from its two kinds of records: tf.Example and the Scenario message.

Field numbers are those of scenario.proto in waymo-research/waymo-open-dataset and of TensorFlow's example.proto and
feature.proto; the features' names are those of the dataset's documentation.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fedscale.data.protowire import BYTES, VARINT, Span, fields, side_by_side, varint, varints

Numbers = npt.NDArray[np.float64]

STEPS: Final = 91
"""States of an agent, 0.1 s apart: 10 past, the current one, 80 future."""

NOW: Final = 10
"""Index of the current state."""

_PAST: Final = {"past": NOW, "current": 1, "future": STEPS - NOW - 1}
"""States of each of a tf.Example's three periods."""

_QUANTITIES: Final = ("x", "y", "bbox_yaw", "velocity_x", "velocity_y")
_STATE: Final = {2: "<f8", 3: "<f8", 8: "<f4", 9: "<f4", 10: "<f4", 11: "u1"}
"""ObjectState: center_x, center_y, heading, velocity_x, velocity_y, valid."""


@dataclass(frozen=True)
class Scene:
    """What agents did in 9.1 seconds.

    Attributes:
        types: (agents,): 1 vehicle, 2 pedestrian, 3 cyclist, 4 other.
        states: (agents, `STEPS`, 5): x and y in metres, heading in radians, velocity along x and y in m/s.
        valid: (agents, `STEPS`): whether an agent was seen.
        asked: (agents,): whether the owner's challenge asks for a prediction of it.
    """

    types: npt.NDArray[np.int64]
    states: Numbers
    valid: npt.NDArray[np.bool_]
    asked: npt.NDArray[np.bool_]


class OtherLengthError(ValueError):
    """A scenario that is not of 9.1 s: the owner's test part has 1.1 s, its training_20s some 20 s."""


def scenario_id(content: bytes) -> bytes:
    """Return the name of the scenario that a record of either kind is of.

    Raises:
        ValueError: it is neither.
    """
    if _is_example(content):
        return _text(content, _feature(_features(content), "scenario/id"))
    for number, kind, (start, stop) in fields(content):
        if number == 5 and kind == BYTES:
            return content[start:stop]
    raise ValueError("no scenario_id (field 5): neither a tf.Example nor a Scenario")


def read_scene(content: bytes) -> Scene:
    """Return the scene in a record of either kind.

    Raises:
        OtherLengthError: it is of another part of the set, which has other steps.
        ValueError: it is neither, or not as it should be.
    """
    return _example(content) if _is_example(content) else _scenario(content)


def _is_example(content: bytes) -> bool:
    """Say whether a message is one field 1 of bytes, as a tf.Example is."""
    return [(number, kind) for number, kind, _ in itertools.islice(fields(content), 2)] == [(1, BYTES)]


def _example(content: bytes) -> Scene:
    features = _features(content)
    if not any(name.startswith(b"state/future/") for name in features):
        raise OtherLengthError("no features state/future/...")

    def numbers(name: str, steps: int) -> Numbers:
        values = _numbers(content, _feature(features, name))
        if len(values) != steps * agents or not np.isfinite(values).all():
            raise ValueError(f"feature {name!r}: {len(values)} numbers, not {steps * agents} finite ones")
        return values.reshape(-1, steps)

    def whole(name: str) -> Numbers:
        return np.concatenate([numbers(f"state/{period}/{name}", steps) for period, steps in _PAST.items()], axis=1)

    agents = len(_numbers(content, _feature(features, "state/type")))
    return Scene(
        numbers("state/type", 1)[:, 0].astype(np.int64),
        np.stack([whole(name) for name in _QUANTITIES], axis=2),
        whole("valid") == 1,
        numbers("state/tracks_to_predict", 1)[:, 0] == 1,
    )


def _features(content: bytes) -> dict[bytes, Span]:
    """Return where each feature of a tf.Example is, by name."""
    ((_, _, all_of_them),) = fields(content)
    result = {}
    for number, kind, entry in fields(content, all_of_them):
        parts = {part: span for part, kind, span in fields(content, entry) if kind == BYTES} if kind == BYTES else {}
        if number != 1 or not {1, 2} <= set(parts):
            raise ValueError(f"byte {entry[0]}: not a feature with a name")
        result[content[slice(*parts[1])]] = parts[2]
    return result


def _feature(features: dict[bytes, Span], name: str) -> Span:
    if name.encode() not in features:
        raise ValueError(f"no feature {name!r}")
    return features[name.encode()]


def _list(content: bytes, feature: Span) -> tuple[int, list[tuple[int, Span]]]:
    """Return which of the lists a feature has (1 bytes, 2 floats, 3 integers), and its values: kind and place."""
    found = list(fields(content, feature))
    if len(found) != 1 or found[0][1] != BYTES:
        raise ValueError(f"byte {feature[0]}: not a list of values")
    return found[0][0], [(kind, span) for number, kind, span in fields(content, found[0][2]) if number == 1]


def _text(content: bytes, feature: Span) -> bytes:
    which, values = _list(content, feature)
    if which != 1 or len(values) != 1:
        raise ValueError(f"byte {feature[0]}: not one text")
    return content[slice(*values[0][1])]


def _numbers(content: bytes, feature: Span) -> Numbers:
    """Return a feature's numbers, whether they are packed or not."""
    which, values = _list(content, feature)
    packed = b"".join(content[slice(*span)] for _, span in values)
    if which == 2 and len(packed) % 4 == 0:
        return np.frombuffer(packed, "<f4").astype(np.float64)
    if which == 3:
        return varints(packed).astype(np.float64)
    raise ValueError(f"byte {feature[0]}: not numbers")


def _scenario(content: bytes) -> Scene:
    types: list[int] = []
    spans: list[Span] = []
    asked: list[int] = []
    now = NOW
    steps = set()
    for number, kind, span in fields(content):
        if number == 10:
            now = varint(content, span[0])[0]
        elif number == 2 and kind == BYTES:
            agent = _track(content, span)
            types.append(agent[0])
            spans += agent[1]
            steps.add(len(agent[1]))
        elif number == 11 and kind == BYTES:
            index = [varint(content, place[0])[0] for part, _, place in fields(content, span) if part == 1]
            asked.append(index[0] if index else 0)
    _check_steps(steps, now)
    if asked and max(asked) >= len(types):
        raise ValueError(f"tracks_to_predict: track {max(asked)} of {len(types)}")
    columns = side_by_side(content, spans, _STATE)
    states = np.stack([columns[number] for number in list(_STATE)[:-1]], axis=1).reshape(-1, STEPS, len(_STATE) - 1)
    valid = (columns[11] == 1).reshape(-1, STEPS)
    if not np.isfinite(states).all():
        raise ValueError("a state that is not finite")
    return Scene(np.array(types, np.int64), states, valid, np.isin(np.arange(len(types)), asked))


def _track(content: bytes, span: Span) -> tuple[int, list[Span]]:
    """Return an agent's type, and where its states are."""
    kind_of_agent, states = 0, []
    for number, kind, place in fields(content, span):
        if number == 2 and kind == VARINT:
            kind_of_agent = varint(content, place[0])[0]
        elif number == 3 and kind == BYTES:
            states.append(place)
    return kind_of_agent, states


def _check_steps(steps: set[int], now: int) -> None:
    if steps == {NOW + 1} or (steps and min(steps) > STEPS):
        raise OtherLengthError(f"tracks with {max(steps)} states, not {STEPS}")
    if wrong := steps - {STEPS}:
        raise ValueError(f"a track with {min(wrong)} states, not {STEPS}")
    if now != NOW:
        raise ValueError(f"current_time_index is {now}, not {NOW}")
