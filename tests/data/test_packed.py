"""What is given to an import: one file, an archive as it was downloaded, archives within it, ones that stay packed."""

from __future__ import annotations

import inspect
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from textsets import imported, refused

from fedscale.data.archive import TARS
from fedscale.data.catalogue import DATASETS
from fedscale.data.packed import ARCHIVES
from fedscale.data.rawfile import found
from fedscale.data.store import told_of

HEADER = '"TRIP_ID","CALL_TYPE","ORIGIN_CALL","ORIGIN_STAND","TAXI_ID","TIMESTAMP","DAY_TYPE","MISSING_DATA","POLYLINE"'
WAY = ",".join(f"[-8.6{step},41.1{step}]" for step in range(5))
TRIPS = (
    f'{HEADER}\n"1","C","","","7","1372636858","A","False","[{WAY}]"\n"2","C","","","8","1372636858","A","True","[]"\n'
)


def zipped(path: Path, **members: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, member in members.items():
            archive.write(member, name.replace("_", "."))
    return path


def tarred(path: Path, **members: Path) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, member in members.items():
            archive.add(member, name.replace("_", "."))
    return path


def test_one_file_is_read_for_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text(TRIPS)
    (tmp_path / "other.csv").write_text("no trips")
    dataset, _ = imported(tmp_path, "taxi", path)
    assert dataset.counts.tolist() == [1]
    refused(
        tmp_path, "taxi", tmp_path / "other.csv", r"other\.csv: no file of taxi by its name: it should be train\.csv"
    )
    refused(tmp_path, "europarl", path, r"train\.csv: no file of europarl by its name")
    refused(tmp_path, "taxi", tmp_path / "absent.csv", r"absent\.csv: no such file or directory")


@pytest.mark.parametrize(("pack", "name"), [(zipped, "a.zip"), (tarred, "a.tar.gz"), (tarred, "a.TGZ")])
def test_an_archive_is_unpacked_and_archives_in_it(tmp_path: Path, pack: Callable[..., Path], name: str) -> None:
    (tmp_path / "train.csv").write_text(TRIPS)
    inner = zipped(tmp_path / "train.csv.zip", train_csv=tmp_path / "train.csv")
    archive = pack(tmp_path / name, train_csv_zip=inner)
    dataset, notes = imported(tmp_path, "taxi", archive)
    assert dataset.counts.tolist() == [1]
    assert notes.first == {"missing data": f"{archive}/train.csv.zip unpacked/train.csv row 2"}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "store", "train.csv", "train.csv.zip"])


def test_errors_of_archives_name_them(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(TRIPS.replace("-8.60", "x"))
    archive = zipped(tmp_path / "a.zip", train_csv=tmp_path / "train.csv")
    refused(tmp_path, "taxi", archive, r"^\S+/a\.zip/train\.csv row 1, column 'POLYLINE'")
    archive.write_bytes(archive.read_bytes()[:-30])
    refused(tmp_path, "taxi", archive, r"a\.zip: .*damaged or cut off")
    refused(
        tmp_path, "taxi", zipped(tmp_path / "b.zip", b_csv=tmp_path / "train.csv"), r"b\.zip: nothing of taxi found"
    )


def test_archives_that_stay_packed(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "9d2.7z.001").write_bytes(b"7z")
    refused(tmp_path, "foxgo", raw, r"it has 9d2\.7z\.001: unpack 9d2\.7z\.001 by hand \(`7z x`")
    refused(tmp_path, "foxgo", raw / "9d2.7z.001", r"9d2\.7z\.001: unpack 9d2\.7z\.001 by hand")
    (raw / "9d2.7z.001").rename(raw / "9d2.zip")
    refused(tmp_path, "foxgo", raw, r"it has 9d2\.zip: unpack 9d2\.zip, or name it itself")


def test_what_is_told_names_the_archive(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("id,landmark_id\nabcdef0123456789,90\nabcdef0123456780,7\n")
    archive = tarred(tmp_path / "lists.tgz", train_csv=tmp_path / "train.csv")
    dataset, notes = imported(tmp_path, "landmarks", archive)
    assert dataset.counts.tolist() == [1, 1]
    assert all(f"under {archive}" in sentence for sentence in notes.told)
    assert len(notes.told) == 2
    assert notes.told == told_of(dataset)[1]["told"]


RAW = sorted(name for name in DATASETS.names() if "raw" in inspect.signature(DATASETS.get(name)).parameters)


@pytest.mark.parametrize("name", RAW)
def test_a_file_that_is_none_of_a_dataset(tmp_path: Path, name: str) -> None:
    (tmp_path / "strange.bin").write_bytes(b"strange")
    (tmp_path / "made").mkdir()
    refused(tmp_path, name, tmp_path / "strange.bin", "strange.bin: |nothing of|lacks")


def test_what_macos_puts_beside_files_is_left_alone(tmp_path: Path) -> None:
    for name in ("a.json", "._a.json", "__MACOSX/._a.json", "b/._c.json.gz", "b/c.json.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert found(tmp_path, "*.json", "*/*.json") == [tmp_path / "a.json", tmp_path / "b" / "c.json.gz"]


def test_several_archives_of_one_set_are_to_be_unpacked_together(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ("raw_sample", "ad_feature"):
        (raw / f"{name}.csv.tar.gz").write_bytes(b"")
    refused(tmp_path, "taobao", raw, r": unpack ad_feature\.csv\.tar\.gz, raw_sample\.csv\.tar\.gz there$")


def test_endings_of_archives() -> None:
    assert set(ARCHIVES) == {*TARS, ".zip"}
