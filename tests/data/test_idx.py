"""Reading IDX files."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest

from fedscale import limits
from fedscale.data.idx import find_idx, read_idx
from fedscale.errors import DataError

MATRIX = struct.pack(">4B2I6i", 0, 0, 0x0C, 2, 2, 3, 1, -2, 3, 4, 5, 70000)


@pytest.mark.parametrize("name", ["m", "m.gz"])
def test_a_matrix_of_integers(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(MATRIX) if name.endswith(".gz") else MATRIX)
    assert read_idx(find_idx(tmp_path, "m"), 0x0C, 2).tolist() == [[1, -2, 3], [4, 5, 70000]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "offset 0: magic number 0x, not 0x00000c02"),
        (b"\x00\x00\x08\x02" + MATRIX[4:], "offset 0: magic number 0x00000802, not 0x00000c02"),
        (b"\x00\x00\x0c\x03" + MATRIX[4:], "offset 0: magic number 0x00000c03, not 0x00000c02"),
        (MATRIX[:9], "offset 4: 5 bytes of dimensions, not 8: the file is cut off"),
        (MATRIX[:-1], r"offset 35: the file ends, but shape \(2, 3\) needs 36 bytes"),
        (MATRIX + b"\x00", r"offset 36: bytes after the end of shape \(2, 3\)"),
        (MATRIX[:4] + b"\xff" * 8, r"offset 4: shape \(4294967295, 4294967295\) is 737\d+ bytes, more than"),
    ],
)
@pytest.mark.parametrize("name", ["m", "m.gz"])
def test_a_file_that_is_not_one(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(DataError, match=f"{name} {message}"):
        read_idx(path, 0x0C, 2)


def test_a_damaged_gzip_file(tmp_path: Path) -> None:
    (tmp_path / "cut.gz").write_bytes(gzip.compress(MATRIX)[:-6])
    (tmp_path / "not.gz").write_bytes(MATRIX)
    for name in ("cut.gz", "not.gz"):
        with pytest.raises(DataError, match=f"{name}: cannot be read"):
            read_idx(tmp_path / name, 0x0C, 2)


def test_a_size_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m").write_bytes(MATRIX)
    monkeypatch.setattr(limits, "ARCHIVE_MEMBER_BYTES", 23)
    with pytest.raises(DataError, match="is 24 bytes, more than 23"):
        read_idx(tmp_path / "m", 0x0C, 2)


def test_a_file_that_is_absent(tmp_path: Path) -> None:
    assert find_idx(tmp_path, "m") is None
