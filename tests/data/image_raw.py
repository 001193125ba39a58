"""Tiny raw files of images in their owners' layouts, and what tests of such importers share."""

from __future__ import annotations

import io
import json
import math
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from fedscale import recipe, simulate
from fedscale.data.federated import FederatedDataset
from fedscale.data.identity import client_digest
from fedscale.data.importing import Importer
from fedscale.data.notes import Notes
from fedscale.data.store import open_store
from fedscale.errors import DataError
from fedscale.report.check import check_log

SHARED = Path(__file__).parents[3] / "shared" / "data"


MODELS = [
    pytest.param(["model.name=cnn"], id="a small model"),
    pytest.param([], id="the recipe's own", marks=pytest.mark.soak),
]
"""Settings for two rounds of a recipe: torchvision's models take seconds to import and to build."""


def real(name: str, kind: str = "raw") -> Path:
    """Return a folder or file of real data, or skip."""
    path = SHARED / kind / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path


def encoded(pixels: npt.ArrayLike, kind: str = "PNG", **options: Any) -> bytes:
    """Return an image file's bytes."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(buffer, kind, **options)
    return buffer.getvalue()


def plain(path: Path, colour: Sequence[int], size: tuple[int, int] = (40, 30)) -> None:
    """Write an image of one colour, of this width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.broadcast_to(np.array(colour, np.uint8), (size[1], size[0], 3))
    path.write_bytes(encoded(pixels, "JPEG", quality=95))


def text(path: Path, content: str) -> None:
    """Write a text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def mapping(raw: Path, **splits: Sequence[str]) -> None:
    """Write FedScale's mapping files; rows are ``client,path,name,label``."""
    for split, rows in splits.items():
        lines = ["client_id,sample_path,label_name,label_id", *rows]
        text(raw / "client_data_mapping" / f"{split}.csv", "\n".join(lines) + "\n")


def table(raw: Path, name: str, *rows: str) -> None:
    """Write a CSV file, header first."""
    text(raw / name, "\n".join(rows) + "\n")


def imported(importer: type[Importer], raw: Path, store: Path, **options: Any) -> tuple[FederatedDataset, Notes]:
    """Import, and return the store and what was noted."""
    notes = Notes()
    importer(raw=raw, **options).write(store, notes)
    return open_store(store), notes


def labels(dataset: FederatedDataset) -> list[list[int]]:
    """Return the labels of each client."""
    return [dataset.client(client).columns["y"][:].tolist() for client in range(len(dataset))]  # type: ignore[union-attr]


def by_digest(rows: Mapping[str, Any]) -> list[Any]:
    """Return the values in the order in which the clients of their names are numbered."""
    return [rows[name] for name in sorted(rows, key=client_digest)]


def no_name_in(store: Path, *names: str) -> None:
    """Make sure that no client's name is in a store's files."""
    content = b"".join(path.read_bytes() for path in store.iterdir())
    for name in names:
        assert name.encode() not in content


def refused(importer: type[Importer], raw: Path, store: Path, match: str, **options: Any) -> None:
    """Make sure that an import fails with a typed error, and leaves nothing."""
    with pytest.raises(DataError, match=match):
        importer(raw=raw, **options).write(store, Notes())
    assert not store.exists()
    assert [path.name for path in store.parent.iterdir() if path.name.startswith(".")] == []


def trained(name: str, store: Path, runs: Path, *settings: str) -> float:
    """Run two rounds of a recipe on a store, and return the last value of the set's metric.

    Without a model among the settings, torchvision is needed.
    """
    if not any(setting.startswith("model.") for setting in settings):
        pytest.importorskip("torchvision", exc_type=(ImportError, RuntimeError), reason="the recipe's model needs it")
    small = [
        f"data.name={store}",
        "data.split.train=0.5",
        "data.split.validation=0",
        "data.split.test=0.5",
        "rounds.count=2",
        "rounds.participants=1",
        "local.steps=1",
        "local.batch_size=2",
        "availability.source=none",
        "evaluate.every=1",
    ]
    run = simulate(recipe(name).with_settings([*small, *settings]), runs / "run", workers=1)
    assert check_log(run.log).ok
    value = run.metrics.evaluations[run.metrics.metric].to_pylist()[-1]
    assert math.isfinite(value)
    return float(value)


def tf_example(**features: Any) -> bytes:
    """Serialise a ``tf.train.Example``, as the message's definition says."""
    entries = b"".join(
        _field(1, _field(1, name.encode()) + _field(2, _feature(value))) for name, value in features.items()
    )
    return _field(1, entries)


def _feature(value: Any) -> bytes:
    if isinstance(value, bytes):
        return _field(1, _field(1, value))
    array = np.asarray(value)
    if array.dtype.kind == "f":
        return _field(2, _field(1, array.astype("<f4").tobytes()))
    return _field(3, _field(1, b"".join(_varint(int(number) % (1 << 64)) for number in array.reshape(-1))))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def database(path: Path, rows: Sequence[tuple[Any, Any, Any]]) -> None:
    """Write a database as TensorFlow Federated publishes them: split, client, serialised example."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE examples (split_name TEXT, client_id TEXT, serialized_example_proto BLOB)")
    connection.execute("CREATE TABLE client_metadata (client_id TEXT, split_name TEXT, num_examples INTEGER)")
    connection.executemany("INSERT INTO examples VALUES (?, ?, ?)", rows)
    connection.commit()
    connection.close()


def leaf(path: Path, content: Mapping[str, tuple[list[Any], list[Any]]], **other: Any) -> None:
    """Write a JSON file as LEAF does."""
    whole = {
        "users": list(content),
        "num_samples": [len(y) for _, y in content.values()],
        "user_data": {user: {"x": x, "y": y} for user, (x, y) in content.items()},
    }
    text(path, json.dumps(whole | other))


def annotation(raw: Path, name: str, objects: Sequence[tuple[str, Sequence[float]]], size: str = "80,40") -> None:
    """Write a PASCAL VOC file of FedScale's detection archive: objects by name and xmin, ymin, xmax, ymax."""
    width, _, height = size.partition(",")
    sized = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>" if size else ""
    inside = "".join(
        f"<object><name>{label}</name><difficult>0</difficult><bndbox>"
        + "".join(
            f"<{side}>{edge}</{side}>" for side, edge in zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=True)
        )
        + "</bndbox></object>\n"
        for label, edges in objects
    )
    content = f"<annotation>\n<filename>{name}.jpg</filename>\n{sized}\n{inside}</annotation>\n"
    text(raw / "VOCdevkit2007" / "VOC2007" / "Annotations" / f"{name}.xml", content)


def detection_mapping(raw: Path, **splits: Sequence[str]) -> None:
    """Write the mapping of FedScale's detection archive; rows are ``client,image``, labels are -1 there."""
    for split, rows in splits.items():
        lines = ["client_id,data_path,label_name,label_id", *(f"{row},,-1" for row in rows)]
        text(raw / "client_data_mapping" / f"{split}.csv", "\n".join(lines) + "\n")
