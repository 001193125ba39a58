"""FedScale's mapping files."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from fedscale.data.catalogue import DATASETS
from fedscale.data.mapping import Mapping, Part, data_directory, mapping_files, read_mapping
from fedscale.data.notes import Notes
from fedscale.errors import DataError

HEADER = "client_id,sample_path,label_name,label_id\n"
ALL: tuple[Part, ...] = ("client", "path", "name", "label")


def write(raw: Path, text: str, name: str = "train.csv") -> Path:
    folder = raw / "client_data_mapping"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder


def read(raw: Path, parts: tuple[Part, ...] = ALL) -> list[Mapping]:
    return list(read_mapping(raw, Notes(), parts))


def test_rows_of_every_split(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", HEADER + "ann,a/1.png,zero,0\nbob,a/2.png,one,1\n")
    (folder / "val.csv.gz").write_bytes(gzip.compress((HEADER + "ann,a/3.png,one,1\n").encode()))
    for raw in (tmp_path, tmp_path / "set", folder):
        train, val = read(raw)
        assert (train.split, val.split) == ("train", "val")
        assert train.rows.table.to_pydict() == {
            "client": ["ann", "bob"],
            "path": ["a/1.png", "a/2.png"],
            "name": ["zero", "one"],
            "label": [0, 1],
        }
        assert data_directory(train.rows.path) == tmp_path / "set"
    assert train.rows.where(1) == f"{folder / 'train.csv'} row 2"


def test_other_headers_and_widths(tmp_path: Path) -> None:
    write(tmp_path, "client_id,sample_name,,sample_category,category_id\n7,x.jpg,-,cat,4\n")
    (wide,) = read(tmp_path)
    assert wide.rows.table.to_pylist() == [{"client": "7", "path": "x.jpg", "name": "cat", "label": 4}]
    write(tmp_path, "client,path,label\n7,x.jpg,4\n")
    (narrow,) = read(tmp_path)
    assert narrow.rows.table.to_pylist() == [{"client": "7", "path": "x.jpg", "name": "4", "label": 4}]


def test_texts_in_the_place_of_paths(tmp_path: Path) -> None:
    write(tmp_path, HEADER + '7,"/.. all, of it",stars,4\n')
    (rows,) = read(tmp_path, ("client", "text", "name"))
    assert rows.rows.table.to_pylist() == [{"client": "7", "text": "/.. all, of it", "name": "stars"}]
    with pytest.raises(DataError, match="leads out"):
        read(tmp_path)


def test_labels_by_name_where_numbers_are_not_asked_for(tmp_path: Path) -> None:
    write(tmp_path, HEADER + "7,x.wav,yes,\n")
    (rows,) = read(tmp_path, ("client", "path", "name"))
    assert rows.rows.table["name"].to_pylist() == ["yes"]
    with pytest.raises(DataError, match=r"row 1, column 'label_id': '' is not a whole number"):
        read(tmp_path)


def test_a_header_that_is_there_twice(tmp_path: Path) -> None:
    write(tmp_path, HEADER + HEADER + "7,x.jpg,cat,4\n8,y.jpg,cat,x\n")
    with pytest.raises(DataError, match=r"row 3, column 'label_id': 'x' is not a whole number"):
        read(tmp_path)
    (rows,) = read(tmp_path, ("client", "path"))
    assert rows.rows.table.to_pylist() == [{"client": "7", "path": "x.jpg"}, {"client": "8", "path": "y.jpg"}]
    assert rows.rows.where(0).endswith("row 2")
    write(tmp_path, HEADER + HEADER)
    assert [len(part.rows.table) for part in read(tmp_path)] == [0]
    write(tmp_path, HEADER + "7,x.jpg,cat,4\n" + HEADER)
    with pytest.raises(DataError, match=r"row 2, column 'label_id': 'label_id' is not a whole number"):
        read(tmp_path)


def test_no_mapping(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(HEADER)
    assert mapping_files(tmp_path) == []
    assert read(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its header is ''"),
        ("client_id,path\n1,a\n", "its header is 'client_id, path', but a mapping has client_id, sample_path"),
        ("a,a,b,c\n", "its header is 'a, a, b, c'"),
        (HEADER + "1,a.png,zero\n", "Expected 4 columns, got 3"),
        (HEADER + "1,a.png,zero,0\n2,b.png,one,x\n", r"row 2, column 'label_id': 'x' is not a whole number"),
        (HEADER + "1,a.png,zero,0\n,b.png,one,1\n", r"row 2, the client: '' names no client"),
        (HEADER + "1,/etc/passwd,zero,0\n", r"row 1, the path: '/etc/passwd' leads out"),
        (HEADER + "1,a/../../b,zero,0\n", r"row 1, the path: 'a/\.\./\.\./b' leads out"),
        (HEADER + "1,C:\\b,zero,0\n", "leads out"),
        (HEADER + '1,"a.png,zero,0\n', "after row 0"),
    ],
)
def test_malformed(tmp_path: Path, text: str, message: str) -> None:
    folder = write(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path)
    assert str(folder / "train.csv") in str(caught.value)


def test_numbers_are_those_of_their_split_and_names_are_everywhere_the_same(tmp_path: Path) -> None:
    header = "client_id,sample_path,label_name,label_id"
    for split in ("train", "test"):
        path = tmp_path / "client_data_mapping" / f"{split}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{header}\n0,a.png,x,1\nann,b.png,x,1\n")
    names = [part.clients.to_pylist() for part in read_mapping(tmp_path, Notes())]
    assert names == [["test/0", "ann"], ["train/0", "ann"]]


@pytest.mark.parametrize("name", ["taobao", "coqa", "waymo", "puffer"])
def test_mappings_that_nobody_explained_are_not_taken_for_data(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path / "raw", "client_id,a,b\n1,2,3\n")
    for raw in (tmp_path / "raw", folder):
        with pytest.raises(
            DataError, match=rf"nothing of {name} found: it should have .*never published: add the owner"
        ):
            DATASETS.build(name, {"raw": raw}).write(tmp_path / "store", Notes())
    assert not (tmp_path / "store").exists()
