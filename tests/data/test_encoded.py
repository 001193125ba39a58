"""Images that stay encoded until they are asked for."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from fedscale import limits
from fedscale.data.card import Card
from fedscale.data.encoded import Encoded
from fedscale.data.images import encode_image, open_image
from fedscale.data.ragged import Ragged
from fedscale.data.store import StoreWriter, open_store
from fedscale.errors import DataError, JobError
from fedscale.learn.build import build_model
from fedscale.section import Component

Images = pytest.importorskip("PIL.Image")


def card(shape: tuple[int, ...], without: tuple[str, ...] = ()) -> Card:
    return Card(
        name="pictures",
        title="-",
        description="-",
        task="classification",
        model=Component(name="mlp"),
        modality="image",
        classes=2,
        sample_shape=shape,
        decode=Component(name="image"),
        without=without,
        client_is="-",
        licence="-",
        source="-",
        citation="-",
        verified="-",
    )


def png(pixels: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Images.fromarray(pixels).save(buffer, "PNG")
    return np.frombuffer(buffer.getvalue(), np.uint8)


def write(path: Path, rows: list[np.ndarray], shape: tuple[int, ...]) -> None:
    with StoreWriter(path, card(shape)) as writer:
        labels = np.zeros(len(rows), np.int64)
        writer.append(np.array([1, len(rows) - 1]), {"x": Ragged.of(rows, np.uint8), "y": labels})


PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


@pytest.mark.parametrize("kept", [0, 1 << 30])
def test_pixels_come_out_as_they_went_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    monkeypatch.setattr(limits, "DECODED_BYTES", kept)
    rows = [PIXELS, PIXELS + 1, PIXELS + 2]
    write(tmp_path / "s", [png(row) for row in rows], (3, 4, 6))
    dataset = open_store(tmp_path / "s")
    column = dataset.client(1).columns["x"]
    assert isinstance(column, np.ndarray if kept else Encoded)
    assert (len(column), column.shape, column.dtype) == (2, (2, 3, 4, 6), np.uint8)
    np.testing.assert_array_equal(column[np.array([1, 0])], np.stack([rows[2], rows[1]]).transpose(0, 3, 1, 2))
    some = dataset.client(1).take(np.array([1])).columns["x"]
    np.testing.assert_array_equal(some[np.array([0])][0], rows[2].transpose(2, 0, 1))  # type: ignore[index]
    (block,) = dataset.blocks()
    assert isinstance(block.columns["x"], Encoded)


def test_other_sizes_and_colours_are_fitted(tmp_path: Path) -> None:
    wide = np.zeros((4, 8), np.uint8)
    wide[:, 2:6] = 200
    write(tmp_path / "s", [png(wide), png(np.stack([wide] * 3, axis=2))], (4, 4))
    for client in range(2):
        column = open_store(tmp_path / "s").client(client).columns["x"]
        assert (column[np.array([0])] == 200).all()  # type: ignore[index]


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    write(tmp_path / "s", [png(PIXELS), png(PIXELS)[:45], np.array([1, 2], np.uint8)], (3, 4, 6))
    with pytest.raises(DataError, match="client 1, sample 0: not an image that can be read: it is cut off"):
        open_store(tmp_path / "s").client(1).columns["x"][np.array([0])]  # type: ignore[index]


def test_images_too_large_to_be_true(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "IMAGE_PIXELS", 23)
    with pytest.raises(ValueError, match="6 × 4 pixels, more than the 23"):
        open_image(png(PIXELS).tobytes())


def test_encoding_bounds_the_longer_side() -> None:
    image = open_image(encode_image(Images.fromarray(np.zeros((40, 80, 3), np.uint8)), longest=20))
    assert image.size == (20, 10)


def test_labels_without_media_open_but_do_not_train(tmp_path: Path) -> None:
    lacking = card((3, 4, 6), without=("x",))
    with StoreWriter(tmp_path / "s", lacking) as writer:
        writer.append(np.array([2]), {"y": np.array([0, 1])})
    dataset = open_store(tmp_path / "s")
    assert list(dataset.client(0).columns) == ["y"]
    with pytest.raises(JobError, match="pictures has no column x: it was imported without media"):
        build_model(dataset.card, None, seed=1)


def test_each_client_of_a_small_set_keeps_its_own_pixels(tmp_path: Path) -> None:
    rows = [PIXELS, PIXELS + 1, PIXELS + 2]
    write(tmp_path / "s", [png(row) for row in rows], (3, 4, 6))
    dataset = open_store(tmp_path / "s")
    for client, first in ((0, 0), (1, 1), (0, 0)):
        pixels = dataset.client(client).columns["x"]
        np.testing.assert_array_equal(pixels[0], rows[first].transpose(2, 0, 1))  # type: ignore[index]
    assert dataset.client(1).columns["x"] is dataset.client(1).columns["x"]  # decoded once
