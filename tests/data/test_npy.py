"""Files of NumPy arrays: plain numbers are read, everything else is refused."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fedscale import limits
from fedscale.data.npy import read_integers, read_npy
from fedscale.errors import DataError


def content(array: np.ndarray, **options: bool) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def header(text: str, version: bytes = b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text.encode()


@settings(max_examples=30)
@given(
    hnp.arrays(st.sampled_from(["i1", "<i8", ">i4", "u2", "f4", "?"]), hnp.array_shapes(min_dims=0), fill=st.just(1))
)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("npy") / "a.npy"
    path.write_bytes(content(array))
    np.testing.assert_array_equal(read_npy(path), array)


def test_whole_numbers_of_any_kind(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    for array in (np.array([1.0, -1.0]), np.array([[1], [-1]], np.int8), np.asfortranarray([[1], [-1]])):
        path.write_bytes(content(array))
        assert read_integers(path).tolist() == [1, -1]
    path.write_bytes(content(np.asfortranarray([[1, 2, 3], [4, 5, 6]])))
    assert read_integers(path, 3).tolist() == [[1, 2, 3], [4, 5, 6]]


def test_files_of_python_2(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(header("{'descr': '<i2', 'fortran_order': False, 'shape': (2L, 1L), }\n") + b"\x07\0\x08\0")
    assert read_integers(path).tolist() == [7, 8]


GOOD = content(np.arange(6).reshape(3, 2))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no array in NumPy's format"),
        (b"\x93NUM", "no array in NumPy's format"),
        (b"PK\x03\x04" + b"\0" * 60, "no array in NumPy's format"),
        (pickle.dumps([1, 2]) + b"\0" * 10, "no array in NumPy's format"),
        (GOOD[:20], "no array in NumPy's format"),
        (b"\x93NUMPY\x09\x00" + GOOD[8:], r"version \(9, 0\) of the format"),
        (GOOD[:-1], r"offset 175: the file ends, but shape \(3, 2\) needs 48 bytes"),
        (GOOD + b"\0", r"offset 176: bytes after the end of shape \(3, 2\)"),
        (header("{'descr': '<i8', 'fortran_order': False}\n"), "no array in NumPy's format"),
        (header("__import__('os').abort()\n"), "no array in NumPy's format"),
        (header("{'descr': '<i8', 'fortran_order': False, 'shape': (-1,), }\n"), r"shape \(-1,\) cannot be"),
        (header("{'descr': '<i8', 'fortran_order': False, 'shape': (1 << 50,), }\n"), "no array in NumPy's format"),
        (header("{'descr': '<i8', 'fortran_order': False, 'shape': (999999999999,), }\n"), "more than 1073741824"),
        (header("{'descr': 'huh', 'fortran_order': False, 'shape': (1,), }\n"), "no array in NumPy's format"),
        (content(np.array([None, "code"]), allow_pickle=True), "an array of type object; only numbers are read"),
        (content(np.array(["a", "b"])), "an array of type <U1; only numbers are read"),
        (content(np.array([1j])), "an array of type complex128"),
        (content(np.array([(1, 2)], "i4,i4")), "only numbers are read"),
    ],
)
def test_malformed(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(data)
    with pytest.raises(DataError, match=message) as error:
        read_npy(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("array", "columns", "message"),
    [
        (np.zeros((3, 2)), None, r"an array of shape \(3, 2\), not \(rows,\)"),
        (np.zeros(3), 30, r"an array of shape \(3,\), not \(rows, 30\)"),
        (np.array(3), None, r"an array of shape \(\), not \(rows,\)"),
        (np.array([1, 1.5]), None, r"row 2: 1\.5 is not of whole numbers"),
        (np.array([[1, 2], [3, np.nan]]), 2, r"row 2: \[ 3\. nan\] is not of whole numbers"),
        (np.array([1e300]), None, "row 1"),
    ],
)
def test_other_numbers(tmp_path: Path, array: np.ndarray, columns: int | None, message: str) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(content(array))
    with pytest.raises(DataError, match=message):
        read_integers(path, columns)


def test_absent_and_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"a\.npy: no such file"):
        read_npy(tmp_path / "a.npy")
    (tmp_path / "a.npy").write_bytes(GOOD)
    monkeypatch.setattr(limits, "ARRAY_FILE_BYTES", 47)
    with pytest.raises(DataError, match=r"shape \(3, 2\) is 48 bytes, more than 47"):
        read_npy(tmp_path / "a.npy")
