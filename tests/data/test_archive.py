"""Archives: what is in them comes out, and of a bad one nothing does."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedscale import limits
from fedscale.data.archive import unpack
from fedscale.data.packed import is_archive
from fedscale.errors import FetchError, WriteError

TEXT = b"yes\n" * 1_000


def tar(*members: tuple[str, bytes] | tarfile.TarInfo, **options: int) -> bytes:
    """Return a tar archive of files, and of members that are given by their headers."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", **options) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            archive.addfile(info, io.BytesIO(member[1]))
    return buffer.getvalue()


def header(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zipped(*members: tuple[str, bytes], mode: int = stat.S_IFREG | 0o644, flags: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    content = bytearray(buffer.getvalue())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = content.find(signature)
        content[at + offset] |= flags
    return bytes(content)


def tree(directory: Path) -> dict[str, bytes]:
    """Return every file under a directory with its content."""
    files = [path for path in directory.rglob("*") if not path.is_dir()]
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


GOOD = {"set/a/yes_1.wav": TEXT, "set/b.csv": b"", "c.txt": b"c"}


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("x.tar", lambda: tar(*GOOD.items())),
        ("x.tar.gz", lambda: gzip.compress(tar(*GOOD.items()))),
        ("x.TGZ", lambda: gzip.compress(tar(*GOOD.items(), format=tarfile.GNU_FORMAT))),
        ("x.tar.bz2", lambda: bz2.compress(tar(*GOOD.items(), format=tarfile.USTAR_FORMAT))),
        ("x.tar.xz", lambda: lzma.compress(tar(header("set/a/", tarfile.DIRTYPE), *GOOD.items()))),
        ("x.zip", lambda: zipped(*GOOD.items())),
        ("x.zip", lambda: zipped(("set/", b""), *GOOD.items(), mode=0)),
    ],
)
def test_what_is_in_an_archive_comes_out(tmp_path: Path, name: str, make: Callable[[], bytes]) -> None:
    (tmp_path / name).write_bytes(make())
    assert is_archive(name)
    unpack([tmp_path / name], tmp_path / "out")
    assert tree(tmp_path / "out") == GOOD
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", name]


@pytest.mark.parametrize(("suffix", "compress"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_a_compressed_file(tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes]) -> None:
    archive = tmp_path / f"labels.csv.{suffix}"
    archive.write_bytes(compress(TEXT) + compress(b"more"))  # of several parts, as parallel compressors write them
    assert not is_archive(archive.name)
    unpack([archive], tmp_path / "out")
    assert tree(tmp_path / "out") == {"labels.csv": TEXT + b"more"}


def test_a_large_archive_of_many_members(tmp_path: Path) -> None:
    members = [(f"f{number % 7}/{number}.wav", number.to_bytes(2, "big") * 20) for number in range(300)]
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(tar(*members), 1))
    unpack([tmp_path / "x.tar.gz"], tmp_path / "out")
    assert tree(tmp_path / "out") == dict(members)


def test_several_archives_fill_one_folder(tmp_path: Path) -> None:
    (tmp_path / "train.tar").write_bytes(tar(("set/train/1.wav", b"1")))
    (tmp_path / "test.zip").write_bytes(zipped(("set/test/2.wav", b"2")))
    unpack([tmp_path / "train.tar", tmp_path / "test.zip"], tmp_path / "out")
    assert tree(tmp_path / "out") == {"set/train/1.wav": b"1", "set/test/2.wav": b"2"}
    with pytest.raises(FetchError, match="out: is there already: remove it to unpack anew"):
        unpack([tmp_path / "train.tar"], tmp_path / "out")
    with pytest.raises(FetchError, match=r"test\.zip: member 'set/test/2\.wav' is there already"):
        unpack([tmp_path / "test.zip"] * 2, tmp_path / "again")


def cut(content: bytes, at: int) -> bytes:
    return content[: at if at > 0 else len(content) + at]


def damaged(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


def long_header(size: int) -> bytes:
    """A tar archive that announces a name of ``size`` bytes."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, size
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(2_048)


def of_size(size: str) -> bytes:
    """A tar archive whose member has the size that an extended header tells."""
    info = tarfile.TarInfo("a.wav")
    info.pax_headers = {"size": size}
    return tar(info, format=tarfile.PAX_FORMAT)


def sparse() -> bytes:
    info = tarfile.TarInfo("a.bin")
    info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.map": "0,0", "GNU.sparse.size": str(1 << 40)}
    return tar(info, format=tarfile.PAX_FORMAT)


TWO = tar(("a.wav", TEXT), ("b.wav", TEXT))
ZEROS = bytes(1_000_000)

MALFORMED = {
    "absolute": ("x.tar", lambda: tar(("/etc/cron.d/x", b"x")), "'/etc/cron.d/x' has an absolute name"),
    "absolute zip": ("x.zip", lambda: zipped(("/x", b"x")), "'/x' has an absolute name"),
    "drive": ("x.zip", lambda: zipped(("C:/x", b"x")), "'C:/x' has an absolute name"),
    "upwards": ("x.tar", lambda: tar(("a/../../x", b"x")), "'a/../../x' leads out of its folder"),
    "upwards zip": ("x.zip", lambda: zipped(("../x", b"x")), "'../x' leads out of its folder"),
    "upwards folder": ("x.tar", lambda: tar(header("../x", tarfile.DIRTYPE)), "'../x' leads out of its folder"),
    "backslash": ("x.zip", lambda: zipped(("..\\x", b"x")), "has a name with backslashes or control characters"),
    "escape": ("x.tar", lambda: tar(("\x1b[2Jx", b"x")), "has a name with backslashes or control characters"),
    "symbolic link": (
        "x.tar",
        lambda: tar(header("a", tarfile.SYMTYPE, "/etc"), ("a/x", b"")),
        "'a' is a link to '/etc'",
    ),
    "hard link": ("x.tar", lambda: tar(header("a", tarfile.LNKTYPE, "../x")), "is a link to '../x'"),
    "link zip": ("x.zip", lambda: zipped(("a", b"/etc"), mode=stat.S_IFLNK | 0o777), "'a' is a link"),
    "device": ("x.tar", lambda: tar(header("sda", tarfile.BLKTYPE)), "'sda' is neither a plain file nor a folder"),
    "pipe": ("x.tar", lambda: tar(header("p", tarfile.FIFOTYPE)), "'p' is neither a plain file nor a folder"),
    "pipe zip": ("x.zip", lambda: zipped(("p", b""), mode=stat.S_IFIFO), "is neither a plain file nor a folder"),
    "sparse": ("x.tar", sparse, "'a.bin' is neither a plain file nor a folder"),
    "twice": ("x.tar", lambda: tar(("a", b"1"), ("a", b"2")), "'a' is there already"),
    "file and folder": ("x.tar", lambda: tar(("a", b"1"), ("a/b", b"2")), "'a/b' lies in a folder that is a file, too"),
    "no name": ("x.tar", lambda: tar((".", b"1")), "'.' is a file without a name"),
    "long name": ("x.tar", lambda: tar(("a" * 256, b"1")), "has too long a name"),
    "long path": ("x.tar", lambda: tar(("/".join(["a" * 30] * 40), b"1")), "has too long a name"),
    "deep": ("x.tar", lambda: tar(("a/" * 64 + "b", b"1")), "lies too deep"),
    "long header": (
        "x.tar",
        lambda: long_header(1 << 21),
        "a header announces 2097152 bytes, which are not 0 to 1048576",
    ),
    "negative size": ("x.tar", lambda: of_size("-512"), "'a.wav' ends at byte 0 of -512"),
    "gzip bomb": ("x.tar.gz", lambda: gzip.compress(tar(("a", ZEROS))), "makes it more than 262144 bytes"),
    "xz bomb": ("x.xz", lambda: lzma.compress(ZEROS), "member 'x' makes it more than 262144 bytes"),
    "zip bomb": ("x.zip", lambda: zipped(("a", ZEROS)), "'a' makes it more than 262144 bytes"),
    "cut tar": ("x.tar", lambda: cut(TWO, 512 + 4096 + 512 + 100), "member 'b.wav' is damaged or cut off"),
    "cut at a header": ("x.tar", lambda: cut(TWO, 512 + 4096), "no header where one must be: empty header"),
    "cut in a header": ("x.tar", lambda: cut(TWO, 512 + 4096 + 99), "no header where one must be: truncated header"),
    "broken header": ("x.tar", lambda: damaged(TWO, 512 + 4096 + 3), "no header where one must be: bad checksum"),
    "cut gzip": ("x.tar.gz", lambda: cut(gzip.compress(TWO), -9), "damaged or cut off: Compressed file ended before"),
    "checksum of gzip": (
        "x.tar.gz",
        lambda: damaged(gzip.compress(TWO), -8 + len(gzip.compress(TWO))),
        "CRC check failed",
    ),
    "cut xz": ("x.csv.xz", lambda: cut(lzma.compress(TEXT), -5), "member 'x.csv' is damaged or cut off"),
    "broken bz2": ("x.csv.bz2", lambda: damaged(bz2.compress(TEXT), 20), "member 'x.csv' is damaged or cut off"),
    "cut zip": ("x.zip", lambda: cut(zipped(("a", TEXT)), -1), "damaged or cut off"),
    "checksum of zip": ("x.zip", lambda: damaged(zipped(("a", TEXT)), 40), "member 'a' is damaged or cut off"),
    "encrypted": ("x.zip", lambda: zipped(("a", TEXT), flags=1), "'a' is encrypted: unpack the archive by hand"),
    "not a tar": ("x.tar", lambda: TEXT, "damaged or cut off"),
    "empty tar": ("x.tar", lambda: b"", "no header where one must be: empty header"),
    "not gzip": ("x.tgz", lambda: TEXT, "damaged or cut off: Not a gzipped file"),
    "not a zip": ("x.zip", lambda: TEXT, "damaged or cut off: File is not a zip file"),
    "7z": ("x.7z", lambda: b"7z", "files with the suffix '.7z' are not unpacked here: unpack it by hand"),
    "no suffix": ("x", lambda: b"x", "files with the suffix '' are not unpacked here"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_nothing_comes_of_a_bad_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    monkeypatch.setattr(limits, "UNPACKED_FREE_BYTES", 1 << 18)
    name, make, complaint = MALFORMED[case]
    archive = tmp_path / "box" / name
    archive.parent.mkdir()
    archive.write_bytes(make())
    with pytest.raises(FetchError, match=re.escape(complaint)) as caught:
        unpack([archive], tmp_path / "box" / "out")
    assert str(caught.value).startswith(f"{archive}: ")
    assert list(tmp_path.rglob("*")) == [archive.parent, archive]


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "x.tar"
    archive.write_bytes(tar(("a", b"1"), ("b", b"2")))
    monkeypatch.setattr(limits, "UNPACKED_MEMBERS", 1)
    with pytest.raises(FetchError, match="member 'b' is one of more than 1 members"):
        unpack([archive], tmp_path / "out")
    (tmp_path / "x.zip").write_bytes(zipped(("a", b"1")))
    monkeypatch.setattr(limits, "ARCHIVE_DIRECTORY_BYTES", 22)
    with pytest.raises(FetchError, match="a directory of 47 bytes, more than 22"):
        unpack([tmp_path / "x.zip"], tmp_path / "out")
    monkeypatch.setattr(limits, "UNPACKED_BYTES", 10_239)
    with pytest.raises(FetchError, match="makes it more than 10239 bytes"):
        unpack([archive], tmp_path / "out")


def test_more_than_the_disk_holds(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a")
    info.size = 1 << 39
    (tmp_path / "x.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT))
    with pytest.raises(WriteError, match=r"549\.8 GB are needed, but .* are free"):
        unpack([tmp_path / "x.tar"], tmp_path / "out")


def test_what_the_members_may_do_does_not_come_out(tmp_path: Path) -> None:
    """A program with all rights is a plain file here."""
    info = tarfile.TarInfo("run.sh")
    info.mode, info.uid = 0o6777, 12_345
    (tmp_path / "x.tar").write_bytes(tar(info))
    unpack([tmp_path / "x.tar"], tmp_path / "out")
    found = (tmp_path / "out/run.sh").stat()
    assert (stat.S_IMODE(found.st_mode) & 0o7111, found.st_uid) == (0, os.getuid())


@settings(max_examples=40)
@given(st.data())
def test_whatever_the_bytes_are_all_comes_out_or_nothing(tmp_path_factory: pytest.TempPathFactory, data) -> None:
    name, content = data.draw(st.sampled_from([("x.tar", TWO), ("x.zip", zipped(*GOOD.items()))]))
    content = bytearray(content)
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=3)):
        content[at] = value
    directory = tmp_path_factory.mktemp("box")
    (directory / name).write_bytes(
        content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    )
    try:
        unpack([directory / name], directory / "out")
    except (FetchError, WriteError):
        assert [path.name for path in directory.iterdir()] == [name]
    else:
        assert tree(directory / "out")
