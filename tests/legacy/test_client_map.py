"""The pickle of early releases that says who has which samples."""

from __future__ import annotations

import csv
import io
import lzma
import pickle
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fedscale import limits
from fedscale.cli.main import app
from fedscale.data.catalogue import DATASETS
from fedscale.data.notes import Notes
from fedscale.data.store import open_store
from fedscale.errors import DataError
from fedscale.legacy.clientmap import read_client_map, write_image_lists, write_mapping

ENTRIES = {"yes_742d6431_nohash_1.wav": 7, "no_742d6431_nohash_0.wav": 7, "yes_0a7c2a8d_nohash_0.wav": 3}


def dump(folder: Path, content: object, protocol: int = 3) -> Path:
    path = folder / "clientDataMap"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_samples_clients_and_words(tmp_path: Path, protocol: int) -> None:
    found = read_client_map(dump(tmp_path, ENTRIES, protocol))
    assert found.names == tuple(ENTRIES)
    assert found.clients.tolist() == [0, 0, 1]  # by first appearance
    assert found.words == ("yes", "no", "yes")
    assert found.counts().tolist() == [2, 1]


def test_as_the_csv_file_of_later_releases(tmp_path: Path) -> None:
    path = write_mapping(read_client_map(dump(tmp_path, ENTRIES)), tmp_path)
    assert path == tmp_path / "client_data_mapping" / "train.csv"
    assert path.read_text() == (
        "client_id,sample_name,sample_category,category_id\n"
        "0,yes_742d6431_nohash_1.wav,yes,1\n"
        "0,no_742d6431_nohash_0.wav,no,0\n"
        "1,yes_0a7c2a8d_nohash_0.wav,yes,1\n"
    )


def test_names_that_do_not_tell_what_a_sample_is(tmp_path: Path) -> None:
    found = read_client_map(dump(tmp_path, {"000a1249af2bc5f0": "alice, of A", "00ff": "bob"}))
    assert (found.words, found.clients.tolist()) == ((), [0, 1])
    assert write_mapping(found, tmp_path).read_text() == "client_id,sample_name\n0,000a1249af2bc5f0\n1,00ff\n"


class Anything:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"a": 1, 5: 2}, "entry 2: the name of a sample is 5; it must be a text"),
        ({"a\nb": 1}, r"entry 1: the name of a sample is 'a\\nb'"),
        ({"a": 1.5}, r"entry 1, 'a': the client is 1\.5; text or number needed"),
        ({"a": True}, "entry 1, 'a': the client is True"),
        ({"a": [1]}, r"entry 1, 'a': the client is \[1\]"),
        ({}, "must be a dictionary of names and clients, not {}"),
        ([1], r"must be a dictionary of names and clients, not \[1\]"),
        ({"a": Anything()}, "global .*print.* is refused; only plain data is read from a pickle"),
    ],
)
def test_what_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: object, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        read_client_map(dump(tmp_path, content))
    assert capsys.readouterr().out == ""


def test_files_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = dump(tmp_path, ENTRIES)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match="cut short or damaged"):
        read_client_map(path)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_client_map(tmp_path / "absent")
    monkeypatch.setattr(limits, "TRACE_WHOLE_BYTES", 10)
    with pytest.raises(DataError, match="more than the 10 bytes that are read"):
        read_client_map(path)


def test_the_published_map(tmp_path: Path) -> None:
    """103,171 recordings of 2,187 speakers, put back into the pickle that they were published as."""
    source = Path(__file__).parents[3] / "shared" / "data" / "samples" / "fedscale_speech_commands_clientDataMap.csv.xz"
    if not source.exists():
        pytest.skip("the real data are not here")
    with lzma.open(source, "rt") as file:
        rows = list(csv.reader(file))[1:]
    path = dump(tmp_path, {name: int(client) for name, client, *_ in rows})
    found = read_client_map(path)
    assert (len(found.names), len(found.counts()), len({*found.words})) == (103_171, 2_187, 35)
    assert np.percentile(found.counts(), [5, 50, 95]).round().tolist() == [21, 30, 122]
    result = CliRunner().invoke(app, ["convert-map", str(path), "--out", str(tmp_path)])
    assert result.exit_code == 0, result.exception
    assert result.stdout.startswith("2,187 clients, 103,171 samples; per client: min ")
    assert len((tmp_path / "client_data_mapping/train.csv").read_text().splitlines()) == 103_172


def objects(root: Path) -> Path:
    """The early archive of Open Images: two objects of one author, one of another in both splits, one of no class."""
    names = ["train/4fa8__m_01.jpg", "train/4fa8__m_0x.jpg", "train/b37f__m_02.jpg", "test/7e85__m_02.jpg"]
    for name in [*names, "train/no object.jpg", "test/7e85__m_02.png"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"no image")
    (root / "classTags").write_text("m_02\nm_00\nm_01\n")
    return dump(root, {"4fa8": 33, "b37f": 9, "7e85": 9, "249e": 5})


def test_images_of_objects_are_listed_with_their_classes(tmp_path: Path) -> None:
    root = tmp_path / "openImg"
    result = CliRunner().invoke(app, ["convert-map", str(objects(root)), "--out", str(root)])
    assert result.exit_code == 0, result.exception
    head = "client_id,sample_name,sample_category,category_id\n"
    lists = {path.name: path.read_text() for path in (root / "client_data_mapping").iterdir()}
    assert lists == {
        "train.csv": head + "author0,4fa8__m_01.jpg,m_01,2\nauthor1,b37f__m_02.jpg,m_02,0\n",
        "test.csv": head + "author1,7e85__m_02.jpg,m_02,0\n",
    }
    assert "train.csv: 2 objects, 1 of classes that classTags lacks\n" in result.stdout
    (root / "classTags").unlink()
    ((path, rows, others), _) = write_image_lists(read_client_map(root / "clientDataMap"), root)
    assert (path.name, rows, others) == ("train.csv", 3, 0)
    assert path.read_text().splitlines()[1:3] == ["author0,4fa8__m_01.jpg,m_01,0", "author0,4fa8__m_0x.jpg,m_0x,2"]
    picture = io.BytesIO()
    pytest.importorskip("PIL.Image").new("RGB", (9, 9)).save(picture, "JPEG")
    for image in root.rglob("*.jpg"):
        image.write_bytes(picture.getvalue())
    DATASETS.build("openimage", {"raw": root, "pixels": 8}).write(tmp_path / "store", Notes())
    dataset = open_store(tmp_path / "store")
    assert sorted(dataset.counts.tolist()) == [2, 2]
    assert dataset.card.label_names == ("m_01", "m_02", "m_0x")


def test_a_map_of_another_archive(tmp_path: Path) -> None:
    path = objects(tmp_path)
    (tmp_path / "test" / "ffff__m_00.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"test/ffff__m_00\.jpg: the map has no client of 'ffff': is it of another"):
        write_image_lists(read_client_map(path), tmp_path)
    assert not (tmp_path / "client_data_mapping").exists()
