"""VLOG: lists that belong together line by line, and what is asked of clips and frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from media_raw import npy, picture, put, video, vlog

from fedscale.data.identity import client_digest
from fedscale.data.importers.vlog import NAMES, Vlog
from fedscale.data.notes import Notes
from fedscale.data.store import open_store
from fedscale.errors import DataError

REAL = Path(__file__).parents[3] / "shared" / "data" / "raw" / "vlog"

CLIPS = [
    ("X/I/4/v_mozQXWErXI4/016", 6913, 0),
    ("X/I/4/v_mozQXWErXI4/017", 6913, 5),
    ("o/p/Y/v_7Tsrimk7opY/052", 2765, -1),
    ("H/m/o/v_WCykX02LHmo/019", 2765, 2),
]


def imported(tmp_path: Path, raw: Path, **options: object) -> Notes:
    notes = Notes()
    Vlog(raw=raw, **options).write(tmp_path / "store", notes)  # type: ignore[arg-type]
    return notes


def labels(path: Path, name: str = "y") -> list[list[object]]:
    dataset = open_store(path)
    columns = [dataset.client(client).columns[name] for client in range(len(dataset))]
    return [[row.tolist() for row in (column if name == "y" else column.rows())] for column in columns]  # type: ignore[union-attr]


def by_uploader(rows: dict[str, list[object]]) -> list[list[object]]:
    return [rows[name] for name in sorted(rows, key=client_digest)]


@pytest.mark.parametrize("folder", [".", "meta", "data_v1.1/meta"])
def test_lists_alone(tmp_path: Path, folder: str) -> None:
    vlog(tmp_path / "raw" / folder, CLIPS)
    notes = imported(tmp_path, tmp_path / "raw")
    assert labels(tmp_path / "store") == by_uploader({"6913": [0, 5], "2765": [2]})
    assert notes.skipped == {"a clip without label": 1}
    assert notes.first["a clip without label"].endswith("scene_category_full.npy row 3")
    dataset = open_store(tmp_path / "store")
    assert (dataset.card.without, dataset.card.label_names) == (("x",), NAMES["scene"])
    assert all(b"mozQXWErXI4" not in path.read_bytes() for path in (tmp_path / "store").iterdir())


def test_other_labels(tmp_path: Path) -> None:
    vlog(tmp_path / "raw", CLIPS)
    imported(tmp_path / "proxemic", tmp_path / "raw", labels="proxemic")
    assert labels(tmp_path / "proxemic" / "store") == by_uploader({"6913": [0, 3], "2765": [2]})
    imported(tmp_path / "objects", tmp_path / "raw", labels="hand_object")
    assert labels(tmp_path / "objects" / "store", "labels") == by_uploader({"6913": [[0], [5]], "2765": [[2]]})
    imported(tmp_path / "hands", tmp_path / "raw", labels="hand_state")
    assert labels(tmp_path / "hands" / "store") == by_uploader({"6913": [0, 5], "2765": [2]})
    cards = [open_store(tmp_path / name / "store").card for name in ("proxemic", "objects", "hands")]
    assert [(card.task, card.classes) for card in cards] == [
        ("classification", 4),
        ("multilabel", 30),
        ("classification", 9),
    ]


@pytest.mark.parametrize("place", [".", "clips", "data/clips"])
def test_clips(tmp_path: Path, place: str) -> None:
    vlog(tmp_path / "raw" / "meta", CLIPS)
    video(tmp_path / "raw" / place / CLIPS[0][0] / "clip.mp4", [(250, 0, 0)] * 3)
    for number in (1, 2):
        name = f"frame{'_' if place == 'data/clips' else ''}{number:06d}.jpg"  # both occur
        put(tmp_path / "raw" / place / CLIPS[3][0] / name, picture((0, 0, 250)))
    notes = imported(tmp_path, tmp_path / "raw", frames=2, size=16)
    assert labels(tmp_path / "store") == by_uploader({"6913": [0], "2765": [2]})
    assert notes.skipped == {"a clip without label": 1, "the video is not there": 1}
    red = by_uploader({"6913": [0], "2765": [1]}).index([0])
    x = open_store(tmp_path / "store").client(red).columns["x"][np.array([0])]  # type: ignore[index]
    assert x.shape == (1, 2, 3, 16, 16)
    np.testing.assert_allclose(x.mean((0, 1, 3, 4)), (250, 0, 0), atol=20)


def test_fedscales_mapping_numbers_clients_anew_in_each_file(tmp_path: Path) -> None:
    header = "client_id,data_path,label_name,label_id\n"
    folder = tmp_path / "raw" / "client_data_mapping"
    put(folder / "train.csv", f"{header}0,{CLIPS[0][0]}/,bedroom,0\n0,{CLIPS[1][0]}/,none-of-the-above,5\n")
    put(folder / "test.csv", f"{header}0,{CLIPS[3][0]}/,bathroom,2\n0,{CLIPS[2][0]}/,none-of-the-above,-1\n")
    notes = imported(tmp_path, tmp_path / "raw")
    assert labels(tmp_path / "store") == by_uploader({"train/0": [0, 5], "test/0": [2]})
    assert (notes.read, notes.skipped) == (4, {"a clip without label": 1})
    put(folder / "test.csv", f"{header}0,{CLIPS[3][0]}/,bathroom,6\n")
    with pytest.raises(DataError, match=r"test\.csv row 1: 'H/m/o/v_WCykX02LHmo/019', 6 is no clip"):
        imported(tmp_path / "again", tmp_path / "raw")


def test_frames_of_hands(tmp_path: Path) -> None:
    raw = vlog(tmp_path / "raw", CLIPS)
    put(raw / CLIPS[1][0] / "frame000003.jpg", picture((250, 0, 0)))
    line = "A/A/A/v_unknown/001/frame000001.jpg test 0\n"
    put(raw / "hand_state" / "hand_state.txt", (raw / "hand_state" / "hand_state.txt").read_text() + line)
    notes = imported(tmp_path, raw, labels="hand_state", size=16)
    assert labels(tmp_path / "store") == [[5]]
    assert notes.skipped == {"a frame of no clip in the manifest": 1, "the video is not there": 2}
    x = open_store(tmp_path / "store").client(0).columns["x"][np.array([0])]  # type: ignore[index]
    assert x.shape == (1, 3, 16, 16)


LABELS = "scene_category/scene_category_full.npy"
MANY = "hand_object/hand_object.npy"
HANDS = "hand_state/hand_state.txt"
ENTRIES = [f"{clip}/\n" for clip, _, _ in CLIPS]


@pytest.mark.parametrize(
    ("kind", "name", "content", "message"),
    [
        ("scene", "manifest.txt", None, r"vlog lacks manifest\.txt, uploaderId\.txt, scene_category/"),
        ("scene", "uploaderId.txt", None, r"vlog lacks uploaderId\.txt, which"),
        ("scene", LABELS, None, r"vlog lacks scene_category/scene_category_full\.npy, which"),
        ("scene", "manifest.txt", "".join(ENTRIES[:3]), r"uploaderId\.txt: 4 rows, but manifest\.txt has 3"),
        (
            "scene",
            "manifest.txt",
            "".join(["clip one\n", *ENTRIES[1:]]),
            r"manifest\.txt line 1: 'clip one' is not like",
        ),
        ("scene", "manifest.txt", "".join(["../../x/v_y/001/\n", *ENTRIES[1:]]), r"manifest\.txt line 1"),
        ("scene", "manifest.txt", "".join(["/etc/x/v_y/001/\n", *ENTRIES[1:]]), r"manifest\.txt line 1"),
        ("scene", "manifest.txt", b"\xff\xfe\0\0\n" + "".join(ENTRIES[1:]).encode(), r"manifest\.txt line 1"),
        ("scene", "uploaderId.txt", "1\n2\n3\n4\n5\n", r"uploaderId\.txt: 5 rows, but manifest\.txt has 4"),
        ("scene", "uploaderId.txt", "1\n2\nsomebody\n4\n", r"uploaderId\.txt line 3: 'somebody' is not like a whole"),
        ("scene", LABELS, npy(np.array([0, 1, 2])), r"full\.npy: 3 rows, but manifest\.txt has 4"),
        ("scene", LABELS, npy(np.array([0, 1, 6, 2])), r"full\.npy row 3: 6 is not from -1 to 5"),
        ("scene", LABELS, npy(np.array([0, -2, 1, 2])), r"full\.npy row 2: -2 is not from -1 to 5"),
        ("scene", LABELS, npy(np.array([0, 0.5, 1, 2])), r"full\.npy row 2: 0\.5 is not of whole numbers"),
        ("scene", LABELS, npy(np.zeros((4, 30))), r"shape \(4, 30\), not \(rows,\)"),
        ("scene", LABELS, npy(np.zeros(4))[:-5], r"full\.npy offset 155: the file ends"),
        ("scene", LABELS, b"0\n1\n2\n3\n", "no array in NumPy's format"),
        ("hand_object", MANY, npy(np.zeros((4, 29))), r"shape \(4, 29\), not \(rows, 30\)"),
        ("hand_object", MANY, npy(np.full((4, 30), 2)), r"hand_object\.npy row 1: 2 is not from -1 to 1"),
        (
            "hand_state",
            HANDS,
            "X/I/4/v_mozQXWErXI4/016/frame000003.jpg train 9\n",
            "line 1: .* is not an image, a phase",
        ),
        ("hand_state", HANDS, "X/I/4/v_mozQXWErXI4/016/frame000003.jpg\n", "line 1: .* is not an image, a phase"),
        (
            "hand_state",
            HANDS,
            "X/../v_mozQXWErXI4/016/frame000003.jpg train 0\n",
            "line 1: .* is not an image, a phase",
        ),
        ("hand_state", HANDS, "picture.jpg train 0\n", "line 1: 'picture.jpg train 0' is not an image, a phase"),
    ],
)
def test_malformed_lists(tmp_path: Path, kind: str, name: str, content: str | bytes | None, message: str) -> None:
    raw = vlog(tmp_path / "raw", CLIPS)
    (raw / name).unlink()
    if content is not None:
        put(raw / name, content)
    elif name == "manifest.txt":
        (raw / "uploaderId.txt").unlink()
        (raw / LABELS).unlink()
    with pytest.raises(DataError, match=message):
        imported(tmp_path, raw, labels=kind)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_real_names_of_objects_alone(tmp_path: Path) -> None:
    if not REAL.is_dir():
        pytest.skip(f"{REAL} is not there")
    wanted = r"vlog lacks manifest\.txt, .*; there is only hand_object/hand_object_labels\.txt"
    with pytest.raises(DataError, match=wanted):
        imported(tmp_path, REAL)
    assert (REAL / "hand_object" / "hand_object_labels.txt").read_text().split() == list(NAMES["hand_object"])
