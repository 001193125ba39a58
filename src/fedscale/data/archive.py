"""Unpacking archives of strangers: nothing outside, nothing but plain files and folders, no bombs, all or nothing.

Tar (plain or compressed by gzip, bzip2 or xz) and zip are unpacked, and single files compressed by these. Names that
are absolute or lead upwards, links, devices, sparse files and encryption are refused. So is an archive that is cut off:
for the standard library, a tar file that ends in the middle, or goes on with a broken header, is a whole one.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import secrets
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self, cast

from fedscale import files, limits
from fedscale.data.download import check_room
from fedscale.data.members import Metered, Unpacker
from fedscale.errors import FetchError

DAMAGE: Final = (
    *(EOFError, OSError, ValueError, IndexError, OverflowError, RuntimeError),
    *(lzma.LZMAError, struct.error, tarfile.TarError, zipfile.BadZipFile, zlib.error),
)
"""What the standard library raises about damaged archives."""

OPENERS: Final[dict[str, Callable[..., Any]]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".lzma": lzma.open,
}
"""Readers of compressed files, by suffix."""

TARS: Final = {
    ".tar": open,
    **dict.fromkeys((".tar.gz", ".tgz"), gzip.open),
    **dict.fromkeys((".tar.bz2", ".tbz2"), bz2.open),
    **dict.fromkeys((".tar.xz", ".txz"), lzma.open),
}
"""Readers of the insides of tar archives, by suffix."""


def unpack(archives: Sequence[Path], directory: Path) -> None:
    """Unpack archives into ``directory``, which appears with all that is in them, or not at all.

    Raises:
        FetchError: an archive is of no known kind, damaged, or holds what is refused; the message names the member.
        WriteError: the system refuses to write, or the disk has too little room.
    """
    with appearing(directory) as temporary:
        for archive in archives:
            unpack_into(archive, temporary)


@contextmanager
def appearing(directory: Path) -> Iterator[Path]:
    """Make a directory beside ``directory`` that gets its name at the end, or is removed after an error.

    Raises:
        FetchError: there is one of that name.
        WriteError: the system refuses.
    """
    if directory.exists():
        raise FetchError(f"{directory}: is there already: remove it to unpack anew")
    temporary = directory.with_name(f".{directory.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        with files.writing(directory):
            temporary.mkdir(parents=True)
        yield temporary
        with files.writing(directory):
            temporary.rename(directory)
            files.sync_directory(directory.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def unpack_into(archive: Path, directory: Path) -> None:
    """Unpack one archive into a directory, beside what other archives left there; see `unpack`."""
    way = _way(archive)
    unpacker = Unpacker(archive, directory)
    try:
        way(archive, unpacker)
    except DAMAGE as error:
        raise unpacker.refused(f"is damaged or cut off: {str(error) or type(error).__name__}") from None


def _way(archive: Path) -> Callable[[Path, Unpacker], None]:
    name = archive.name.lower()
    if not archive.is_file():
        raise FetchError(f"{archive}: no such file")
    if name.endswith(".zip"):
        return _unpack_zip
    if name.endswith(tuple(TARS)):
        return _unpack_tar
    if archive.suffix.lower() in OPENERS:
        return _unpack_single
    raise FetchError(
        f"{archive}: files with the suffix {archive.suffix!r} are not unpacked here: unpack it by hand (`7z x` for .7z "
        "and .rar), and import the folder with `fedscale data import NAME --from FOLDER`"
    )


def _unpack_single(archive: Path, unpacker: Unpacker) -> None:
    unpacker.begin(archive.stem)
    with OPENERS[archive.suffix.lower()](archive, "rb") as content:
        unpacker.file(Metered(content, unpacker))


class _Header(tarfile.TarInfo):
    """A header of a tar archive, read strictly."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str | None, errors: str) -> Self:
        """Read a header of 512 bytes; a wrong one, or none at all, is an error and not the archive's end."""
        try:
            header = super().frombuf(buf, encoding, errors)  # type: ignore[arg-type]
        except tarfile.HeaderError as error:
            if not any(buf) and len(buf) == tarfile.BLOCKSIZE:  # the end
                raise
            raise EOFError(f"no header where one must be: {error}") from None
        longest = limits.ARCHIVE_HEADER_BYTES if header.type in _EXTENSIONS else limits.UNPACKED_BYTES
        if not 0 <= header.size <= longest:
            raise EOFError(f"a header announces {header.size} bytes, which are not 0 to {longest}")
        return header


_EXTENSIONS: Final = frozenset(
    {
        *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
        *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    }
)
"""Headers whose content is read into memory."""


def _unpack_tar(archive: Path, unpacker: Unpacker) -> None:
    opener: Any = next(opener for suffix, opener in TARS.items() if archive.name.lower().endswith(suffix))
    with opener(archive, "rb") as stream:
        content = Metered(stream, unpacker)
        with tarfile.open(fileobj=cast(Any, content), mode="r|", tarinfo=_Header) as tar:
            while (info := tar.next()) is not None:
                _unpack_member(tar, info, unpacker)
                tar.members = []  # type: ignore[attr-defined]  # it would keep them all
        while content.read():  # the checksum comes last
            pass


def _unpack_member(tar: tarfile.TarFile, info: tarfile.TarInfo, unpacker: Unpacker) -> None:
    unpacker.begin(info.name)
    if info.isdir():
        unpacker.folder()
        return
    if info.issym() or info.islnk():
        raise unpacker.refused(f"is a link to {info.linkname!r}, and links are not unpacked")
    if not info.isreg() or info.issparse():
        raise unpacker.refused("is neither a plain file nor a folder")
    if hasattr(tarfile, "data_filter"):  # Python 3.11.4 has it; names and kinds have been checked here, too
        tarfile.data_filter(info, str(unpacker.directory))
    stream = tar.extractfile(info)
    assert stream is not None
    unpacker.file(cast(Any, stream), info.size)


class _Guarded(io.FileIO):
    """A zip archive whose directory is read into memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Return at most ``size`` bytes."""
        if size is not None and size > limits.ARCHIVE_DIRECTORY_BYTES:
            raise EOFError(f"a directory of {size} bytes, more than {limits.ARCHIVE_DIRECTORY_BYTES}")
        return super().read(size)


def _unpack_zip(archive: Path, unpacker: Unpacker) -> None:
    with _Guarded(archive) as file, zipfile.ZipFile(file) as opened:
        members = opened.infolist()
        check_room(unpacker.directory, sum(member.file_size for member in members))
        for member in members:
            unpacker.begin(member.orig_filename)
            kind = stat.S_IFMT(member.external_attr >> 16)
            if member.is_dir():
                unpacker.folder()
                continue
            if kind not in (0, stat.S_IFREG):
                raise unpacker.refused("is neither a plain file nor a folder" if kind != stat.S_IFLNK else "is a link")
            if member.flag_bits & 1:
                raise unpacker.refused("is encrypted: unpack the archive by hand")
            with opened.open(member) as stream:
                unpacker.file(Metered(stream, unpacker), member.file_size)
