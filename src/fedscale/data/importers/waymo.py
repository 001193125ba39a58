"""``waymo``: where the agents of a traffic scene will go; a scene (scenario) is a client.

S. Ettinger et al., "Large Scale Interactive Motion Forecasting for Autonomous Driving: The Waymo Open Motion Dataset",
ICCV 2021. Scenes of 9.1 s are cut from drives at 10 Hz: 1.1 s are known, 8 s are to be predicted. Each agent that is
seen at the current step is a sample, in a frame of its own; Table 5's 65 samples a client say the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fedscale.data.card import Card, Figures
from fedscale.data.importing import CLIENT, Importer, Loaded, Scanned
from fedscale.data.mapping import no_raw_files
from fedscale.data.notes import Notes
from fedscale.data.rawfile import COMPRESSED, found
from fedscale.data.scenes import NOW, STEPS, OtherLengthError, Scene, read_scene, scenario_id
from fedscale.data.tfrecord import Place, read_record, read_records
from fedscale.errors import DataError
from fedscale.section import Component

FEATURES: Final = ("x", "y", "velocity x", "velocity y", "sin heading", "cos heading", "valid")
KINDS: Final = (1, 2, 3)
"""Types of agents that have a feature each: vehicle, pedestrian, cyclist."""

OTHER_LENGTH: Final = "a scenario of another length than 9.1 s (of testing or training_20s)"

NOBODY: Final = Scene(np.zeros(0, np.int64), np.zeros((0, STEPS, 5)), np.zeros((0, STEPS), bool), np.zeros(0, bool))

Rate = Literal[2, 10]
Agents = Literal["valid", "to_predict"]
Array = npt.NDArray[Any]


def _card(rate: int) -> Card:
    times = rate * 8
    return Card(
        name="waymo",
        title="Waymo Open Motion",
        description="where the agents of a traffic scene will be in the next 8 seconds",
        task="regression",
        metric="ade",
        model=Component(name="trajectory_gru"),
        modality="tensor",
        sample_shape=(NOW + 1, len(FEATURES) + len(KINDS)),
        target_shape=(times, 3),
        x_scale=0.1,
        client_is="scenario (scenario/id, scenario_id)",
        licence="Waymo Dataset License Agreement for Non-Commercial Use",
        terms="sign in and accept the licence at https://waymo.com/open/download, then fetch with gsutil",
        source="Waymo LLC, gs://waymo_open_dataset_motion_v_1_2_1 (and other versions), uncompressed/",
        layout=(
            "*.tfrecord-NNNNN-of-NNNNN or *.tfrecord at any depth, of tf.Example (uncompressed/tf_example) or Scenario "
            "messages (uncompressed/scenario); not compressed. Testing and training_20s are left out"
        ),
        preprocessing=(
            "a sample for each agent that is valid at the current step and at one later step that counts (option "
            "`agents`: valid, or those to_predict). Its place is the origin and its heading the x axis. Steps that are "
            f"not valid are zeros. Targets every {1 / rate:g} s (option `rate`: 2 or 10 a second). A scenario that "
            "comes twice counts once. Roads and signals are not read"
        ),
        sample=(
            f"x: float32 ({NOW + 1}, {len(FEATURES) + len(KINDS)}), at 10 Hz, the current step last: "
            f"{', '.join(FEATURES)}, vehicle, pedestrian, cyclist (m, m/s); y: float32 ({times}, 3), x, y (m), valid"
        ),
        paper=Figures(clients=496_358, samples=32_500_000),
        citation="S. Ettinger et al.: The Waymo Open Motion Dataset. ICCV 2021",
        verification="real",
        verified=(
            "one real record of each kind (of different scenes), also read by the protobuf library; both kinds made "
            "from one scene, with the same samples; checksums against RFC 3720"
        ),
    )


@dataclass(frozen=True)
class Waymo(Importer):
    """Agents by scenario, from TFRecord files of either kind.

    Attributes:
        rate: positions to predict in a second; 2 as in the owner's challenge, or all 10.
        agents: all that are valid, or those that the owner's challenge asks for.
    """

    rate: Rate = 2
    agents: Agents = "valid"

    parallel: ClassVar[bool] = True
    together: ClassVar[int | None] = 32

    @property
    def card(self) -> Card:
        """Return the card."""
        return _card(self.rate)

    def scan(self, raw: Path, notes: Notes) -> Iterator[Scanned]:
        """Yield where each scenario is."""
        paths = found(raw, "**/*.tfrecord", "**/*.tfrecord-*-of-*")
        if not paths:
            raise no_raw_files(raw, "waymo", ["*.tfrecord-NNNNN-of-NNNNN, in folders or not"])
        for path in paths:
            if path.suffix in COMPRESSED:
                raise DataError(f"{path}: compressed, but records are looked up in the file itself: unpack it first")
            places, names = [], []
            for place, content in read_records(path, notes):
                try:
                    names.append(scenario_id(content))
                except ValueError as error:
                    read_record(place)  # its checksum may tell more
                    raise DataError(f"{place}: {error}") from None
                places.append(place)
            notes.read += len(places)
            yield _scanned(places, names)

    def load(self, rows: pa.Table) -> Loaded:
        """Read scenes, and return samples of their agents."""
        scenario = rows[CLIENT].to_numpy()
        again = np.r_[False, scenario[1:] == scenario[:-1]]
        places = rows.filter(pa.array(~again)).drop_columns(CLIENT).to_pylist()
        scenes = [_scene(Place(**place | {"path": Path(place["path"])})) for place in places]
        samples = [_samples(scene or NOBODY, self) for scene in scenes]
        kept = np.zeros(len(rows), np.int64)
        kept[~again] = [len(x) for x, _ in samples]
        x, y = (np.concatenate(part) for part in zip(*samples, strict=True))
        skipped = {"a scenario that came before": int(again.sum()), OTHER_LENGTH: scenes.count(None)}
        return Loaded({"x": x, "y": y}, kept, skipped)


def _scanned(places: list[Place], names: list[bytes]) -> Scanned:
    rows = {
        "path": pa.array([str(place.path) for place in places], pa.string()),
        "number": pa.array([place.number for place in places], pa.int64()),
        "offset": pa.array([place.offset for place in places], pa.int64()),
        "length": pa.array([place.length for place in places], pa.int64()),
    }
    return Scanned(pa.array(names, pa.binary()), pa.table(rows))


def _scene(place: Place) -> Scene | None:
    """Return a scene; nothing if it is of a part of the set with other steps."""
    content = read_record(place)
    try:
        return read_scene(content)
    except OtherLengthError:
        return None
    except ValueError as error:
        raise DataError(f"{place}: {error}") from None


def _samples(scene: Scene, options: Waymo) -> tuple[Array, Array]:
    """Return inputs (n, 11, features) and targets (n, times, 3) of the agents that count."""
    every = 10 // options.rate
    later = np.arange(NOW + every, STEPS, every)
    chosen = scene.valid[:, NOW] & scene.valid[:, later].any(axis=1)
    if options.agents == "to_predict":
        chosen &= scene.asked
    states = _own_frame(scene.states[chosen])
    valid = scene.valid[chosen]
    x = np.zeros((len(states), NOW + 1, len(FEATURES) + len(KINDS)), np.float32)
    x[..., : len(FEATURES)] = np.concatenate([states[:, : NOW + 1], valid[:, : NOW + 1, None]], axis=2)
    x[~valid[:, : NOW + 1]] = 0
    x[..., len(FEATURES) :] = (scene.types[chosen, None] == KINDS)[:, None]
    y = np.concatenate([states[:, later, :2], valid[:, later, None]], axis=2).astype(np.float32)
    y[~valid[:, later]] = 0
    return x, y


def _own_frame(states: Array) -> Array:
    """Return x, y, velocities, sine and cosine of heading of (agents, steps, 5), seen from each one's current state."""
    here, heading = states[:, NOW, None, :2], states[:, NOW, 2]
    cosine, sine = np.cos(heading), np.sin(heading)
    turn = np.stack([np.stack([cosine, -sine], axis=1), np.stack([sine, cosine], axis=1)], axis=1)
    places, speeds = (states[..., :2] - here) @ turn, states[..., 3:] @ turn
    turned = states[..., 2] - heading[:, None]
    return np.concatenate([places, speeds, np.sin(turned)[..., None], np.cos(turned)[..., None]], axis=2)
