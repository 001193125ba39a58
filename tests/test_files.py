"""Writing files whole or not at all."""

import errno
import os
import stat
from pathlib import Path

import pytest

from fedscale import files
from fedscale.errors import DataError, WriteError


def test_a_file_is_written_whole_into_folders_that_are_made(tmp_path):
    path = tmp_path / "a" / "b" / "file.txt"
    files.write_text(path, "größer\n")
    assert path.read_bytes() == b"gr\xc3\xb6\xc3\x9fer\n"
    files.write_bytes(path, b"")
    assert path.read_bytes() == b""
    assert list(path.parent.iterdir()) == [path]


def test_until_it_is_whole_the_old_content_stands(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with files.replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_an_error_in_between_leaves_the_old_content_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), files.replacing(path) as file:
        file.write(b"half of the n")
        1 / 0  # noqa: B018
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_refusal_of_the_system_is_a_typed_error_and_leaves_the_old_content(tmp_path, monkeypatch, function, code):
    path = tmp_path / "file"
    path.write_text("old")

    def refuse(*arguments):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(*((os, "fsync") if function == "fsync" else (Path, "replace")), refuse)
    with pytest.raises(WriteError, match=f"file: cannot be written: {os.strerror(code)}"):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_content_is_synced_before_the_rename_and_the_folder_after_it(tmp_path, monkeypatch):
    """Else a power failure could leave the new name with no content, or neither."""
    events = []
    fsync, replace = os.fsync, Path.replace

    def note_sync(handle):
        events.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "content")
        fsync(handle)

    def note_rename(self, target):
        events.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_rename)
    files.write_text(tmp_path / "file", "text")
    assert events == ["content", "rename", "folder"]


def test_only_refusals_of_the_system_are_translated(tmp_path):
    with pytest.raises(ZeroDivisionError), files.writing(tmp_path):
        1 / 0  # noqa: B018


def test_a_digest_is_of_the_content_alone(tmp_path):
    for name, text in (("a", "same"), ("b", "same"), ("c", "other")):
        (tmp_path / name).write_text(text)
    one, two, three = (files.digest(tmp_path / name) for name in "abc")
    assert one == two != three
    assert len(one) == 32


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("FEDSCALE_CACHE", str(tmp_path / "mine"))
    assert files.cache_directory() == tmp_path / "mine"
    monkeypatch.delenv("FEDSCALE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert files.cache_directory() == tmp_path / "fedscale"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.cache_directory() == tmp_path / ".cache" / "fedscale"


def test_no_more_is_read_than_asked(tmp_path):
    path = tmp_path / "five"
    path.write_bytes(b"12345")
    assert files.read_bytes(path, 5) == b"12345"
    with pytest.raises(DataError, match="five: more than the 4 bytes that are read"):
        files.read_bytes(path, 4)
    with pytest.raises(DataError, match="six: cannot be read: No such file or directory"):
        files.read_bytes(tmp_path / "six", 5)
