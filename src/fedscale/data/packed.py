"""Archives as they were downloaded, given in the place of the folder that is in them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fedscale import files
from fedscale.data.notes import Notes
from fedscale.errors import DataError, FetchError

ARCHIVES: Final = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
"""Endings of archives that are unpacked here (`fedscale.data.archive`)."""

BY_HAND: Final = (".7z", ".rar", ".7z.001", ".tar.zst")
"""Endings of archives that are not."""


SHOWN: Final = 5
"""Archives that a message names at most."""


def is_archive(name: str) -> bool:
    """Whether a file of that name holds others, and is unpacked here."""
    return name.lower().endswith(ARCHIVES)


def is_packed(name: str) -> bool:
    """Whether a file of that name holds others."""
    return name.lower().endswith((*ARCHIVES, *BY_HAND))


def remedy(archives: Sequence[str]) -> str:
    """Say what to do with archives of these names, of which there is one at least."""
    names = ", ".join(archives[:SHOWN]) + (" and so on" if len(archives) > SHOWN else "")
    if any(name.lower().endswith(BY_HAND) for name in archives):
        return f"unpack {names} by hand (`7z x` for .7z and .rar, `tar --zstd -xf` for .tar.zst) and name the folder"
    return f"unpack {names}, or name it itself" if len(archives) == 1 else f"unpack {names} there"


@contextmanager
def unpacked(archive: Path, beside: Path, notes: Notes) -> Iterator[Path]:
    """Unpack an archive, and the archives in it, into a temporary folder beside ``beside``.

    What is said of the folder's files, in errors and in ``notes``, is said of the archive.

    Raises:
        DataError: it is of a kind that is not unpacked here, damaged, or holds what is refused.
    """
    from fedscale.data.archive import unpack_into  # which brings in what downloads need

    if archive.name.lower().endswith(BY_HAND):
        raise DataError(f"{archive}: {remedy([archive.name])}")
    with tempfile.TemporaryDirectory(dir=beside.parent, prefix=files.temporary(beside, "raw").name) as temporary:
        folder = Path(temporary)
        try:
            unpack_into(archive, folder)
            for inner in [path for path in sorted(folder.rglob("*")) if is_archive(path.name) and path.is_file()]:
                beneath = inner.with_name(f"{inner.name} unpacked")
                beneath.mkdir()
                unpack_into(inner, beneath)
                inner.unlink()
            notes.say_of(archive, folder)
            yield folder
        except (DataError, FetchError) as error:
            raise DataError(str(error).replace(temporary, str(archive))) from None
