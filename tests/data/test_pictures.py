"""Images in files of their own: where they are looked for, what is kept of them, and what is no image."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_raw import encoded, imported, labels, mapping, plain, refused
from PIL import Image

from fedscale import limits
from fedscale.data.gather import Gather
from fedscale.data.images import open_image
from fedscale.data.importers.openimage import Openimage
from fedscale.data.pictures import EDGES, Folders, cropped, folders_of, stored_images
from fedscale.data.pictureset import first_ones, label_numbers

PIXELS = np.arange(30 * 40 * 3, dtype=np.uint8).reshape(30, 40, 3)
JPEG, PNG = encoded(PIXELS, "JPEG"), encoded(PIXELS)


def test_folders_in_which_paths_may_begin(tmp_path: Path) -> None:
    for path in (
        "train/a.jpg",
        "train/deep/b.jpg",
        "xx/yy/zz/c.png",
        "xx/yy/zz/ww/d.jpg",
        "a/b/c/abc.jpg",
        ".hidden/e.jpg",
    ):
        plain(tmp_path / path, (1, 2, 3), (4, 4))
    folders = folders_of(tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in folders.bases]
    # what is below images is not looked at, nor folders of one letter, which divide ids
    assert names == [".", "train", "xx", "xx/yy", "xx/yy/zz"]
    assert folders.find("a.jpg") == tmp_path / "train/a.jpg"
    assert folders.find("a/b/c/abc.jpg") == tmp_path / "a/b/c/abc.jpg"
    assert folders.find("elsewhere/a.jpg") == tmp_path / "train/a.jpg"
    assert folders.find("none.jpg") is None


def test_many_folders_are_parts_of_paths(tmp_path: Path) -> None:
    for number in range(70):
        plain(tmp_path / f"images/s{number}/{number}.jpg", (1, 2, 3), (4, 4))
    folders = folders_of(tmp_path)
    assert [path.name for path in folders.bases] == [tmp_path.name, "images"]
    assert folders.find("s5/5.jpg") == tmp_path / "images/s5/5.jpg"


@pytest.mark.parametrize(
    ("box", "size"),
    [
        ((0, 0, 1, 1), (40, 30)),
        ((0.25, 0.5, 0.75, 1), (20, 15)),
        ((0.5, 0.5, 0.5001, 0.5001), (1, 1)),
        ((0.9999, 0.9999, 1, 1), (1, 1)),
    ],
)
def test_parts_of_images(box: tuple[float, ...], size: tuple[int, int]) -> None:
    assert cropped(Image.fromarray(PIXELS), np.array(box, np.float32)).size == size


def test_a_part_is_where_its_box_is() -> None:
    part = np.asarray(cropped(Image.fromarray(PIXELS), np.array((0.25, 0.5, 0.75, 1), np.float32)))
    np.testing.assert_array_equal(part, PIXELS[15:, 10:30])
    for box in ((0.5, 0, 0.5, 1), (0, 0.6, 1, 0.5)):
        with pytest.raises(ValueError, match="a box without area"):
            cropped(Image.fromarray(PIXELS), np.array(box, np.float32))


def test_one_image_is_read_once_for_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "b.png").write_bytes(b"noise")
    paths = ["a.png", "a.png", "b.png", "b.png", "c.png"]
    edges: dict[str, Any] = {edge: np.array([place > 1] * 5, np.float32) for place, edge in enumerate(EDGES)}
    rows = pa.table({"path": paths, **edges})
    reads = []
    find = Folders.find
    monkeypatch.setattr(Folders, "find", lambda self, path: reads.append(path) or find(self, path))
    contents, kept, skipped = stored_images(rows, Folders((tmp_path,)), (8, 8))
    assert reads == ["a.png", "b.png", "c.png"]
    assert kept.tolist() == [True, True, False, False, False]
    assert [open_image(content.tobytes()).size for content in contents] == [(8, 8)] * 2
    assert skipped == {
        "not an image that can be read: it is cut off or of no known kind": 2,
        "the image is not there": 1,
    }


def test_the_middle_is_kept_unless_all_is_squeezed(tmp_path: Path) -> None:
    wide = np.zeros((20, 80, 3), np.uint8)
    wide[:, :20] = wide[:, 60:] = 250
    (tmp_path / "a.png").write_bytes(encoded(wide))
    rows = pa.table({"path": ["a.png"]})
    for squeezed, edge in ((False, 0), (True, 250)):
        (content,), _, _ = stored_images(rows, Folders((tmp_path,)), (16, 16), squeezed)
        pixels = np.asarray(open_image(content.tobytes())).astype(int)
        assert np.abs(pixels[:, :2] - edge).max() < 25
        assert np.abs(pixels[:, 7:9]).max() < 25


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def header(width: int, height: int, depth: int = 8) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0))


MALFORMED: dict[str, bytes] = {
    "empty": b"",
    "text": b"<html>404 Not Found</html>",
    "noise": bytes(range(256)) * 4,
    "zeros": bytes(1000),
    "JPEG of two bytes": JPEG[:2],
    "JPEG cut in its header": JPEG[:100],
    "JPEG cut in its image": JPEG[: len(JPEG) // 2],
    "JPEG without a begin": JPEG[2:],
    "PNG cut in its header": PNG[:20],
    "PNG cut in its image": PNG[:200],
    "PNG with a wrong checksum": PNG[:60] + bytes([PNG[60] ^ 255]) + PNG[61:],
    "PNG of nothing but a header": header(4, 4) + chunk(b"IEND", b""),
    "PNG of no width": header(0, 4) + chunk(b"IEND", b""),
    "PNG of an unknown depth": header(4, 4, 77) + chunk(b"IEND", b""),
    "PNG that is a bomb": header(1 << 30, 1 << 30) + chunk(b"IDAT", zlib.compress(bytes(999))) + chunk(b"IEND", b""),
    "GIF cut": encoded(PIXELS[:, :, 0], "GIF")[:30],
    "BMP cut": encoded(PIXELS, "BMP")[:99],
    "TIFF cut": encoded(PIXELS, "TIFF")[:60],
    "WEBP cut": encoded(PIXELS, "WEBP")[:40],
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_no_image_is_left_out(tmp_path: Path, case: str) -> None:
    with pytest.raises(ValueError, match=r"not an image that can be read|more than the"):
        open_image(MALFORMED[case])
    mapping(tmp_path / "raw", train=["a,good.png,x,0", "a,bad.png,x,1"])
    (tmp_path / "raw" / "good.png").write_bytes(PNG)
    (tmp_path / "raw" / "bad.png").write_bytes(MALFORMED[case])
    dataset, notes = imported(Openimage, tmp_path / "raw", tmp_path / "store", pixels=8)
    assert labels(dataset) == [[0]]
    assert sum(notes.skipped.values()) == 1
    mapping(tmp_path / "raw", train=["a,bad.png,x,1"])
    refused(Openimage, tmp_path / "raw", tmp_path / "out" / "store", "no sample is left of 1 rows")


@given(st.sampled_from([JPEG, PNG]), st.data())
def test_damage_never_surprises(content: bytes, data: st.DataObject) -> None:
    damaged = bytearray(content)
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=8)):
        damaged[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    try:
        assert open_image(bytes(damaged[:cut])).size[0] > 0
    except ValueError:
        assert bytes(damaged[:cut]) != content


def test_files_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    monkeypatch.setattr(limits, "IMAGE_FILE_BYTES", len(PNG) - 1)
    _, kept, skipped = stored_images(pa.table({"path": ["a.png"]}), Folders((tmp_path,)), (8, 8))
    assert (kept.tolist(), list(skipped)) == ([False], [f"the image is a file of more than {len(PNG) - 1} bytes"])


def test_greys_palettes_and_transparency_become_colours(tmp_path: Path) -> None:
    whole = Image.fromarray(PIXELS)
    for number, mode in enumerate(("L", "P", "RGBA", "1", "CMYK", "I;16")):
        image = Image.fromarray(PIXELS[:, :, 0].astype(np.uint16)) if mode == "I;16" else whole.convert(mode)
        image.save(tmp_path / f"{number}.tiff")
    rows = pa.table({"path": [f"{number}.tiff" for number in range(6)]})
    contents, kept, _ = stored_images(rows, Folders((tmp_path,)), (8, 6))
    assert kept.all()
    assert {(open_image(content.tobytes()).size, open_image(content.tobytes()).mode) for content in contents} == {
        ((8, 6), "RGB")
    }


def gathered(folder: Path, rows: dict[str, Any]) -> Gather:
    gather = Gather(folder)
    table = pa.table(rows)
    gather.add(pa.array(["someone"] * len(table)), table)
    return gather


def numbering(folder: Path, most: int | None = None, **rows: Any) -> tuple[int, list[Any] | None, Any]:
    found = label_numbers(gathered(folder, rows), most)
    return found.classes, None if found.labels is None else found.labels.to_pylist(), found.names


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (None, (4, ["7", "90", "1000", "x"], ("7", "90", "1000", "x"))),
        (2, (2, ["7", "90"], ("7", "90"))),
        (3, (3, ["7", "90", "1000"], ("7", "90", "1000"))),
    ],
)
def test_text_is_numbered_by_its_order_and_chosen_by_frequency(tmp_path: Path, most: Any, expected: Any) -> None:
    found = numbering(tmp_path, most, label=pa.array(["90", "1000", "7", "90", "x"], pa.large_string()))
    assert found == expected


def test_numbers_stay_unless_there_are_too_many(tmp_path: Path) -> None:
    rows = {"label": [5, 2, 5], "name": ["five", "two", "five"]}
    assert numbering(tmp_path, None, **rows) == (6, None, ("", "", "two", "", "", "five"))
    assert numbering(tmp_path, 2, **rows) == (6, None, ("", "", "two", "", "", "five"))
    assert numbering(tmp_path, 1, **rows) == (1, [5], ("five",))
    assert label_numbers(Gather(tmp_path), None).classes == 0


def test_the_first_of_equal_boxes() -> None:
    edges: dict[str, Any] = {edge: [0.0, 0.0, 0.0, 0.5] for edge in EDGES}
    rows = pa.table({"path": ["a", "b", "a", "a"], "label": ["x", "x", "x", "x"], **edges})
    assert first_ones(rows).tolist() == [True, True, False, True]
