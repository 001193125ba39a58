"""Who has which samples, as early releases of the original kept it: a pickle of one dictionary, file name to client.

``speech_commands/clientDataMap`` has 103,171 entries such as ``'yes_742d6431_nohash_1.wav': 0``; ``imageToAuthor`` of
Open Images maps names of images to authors. Later releases have a CSV file instead, which this becomes.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from fedscale import limits
from fedscale.errors import DataError, TraceError
from fedscale.files import write_text
from fedscale.jobfile import SHORT
from fedscale.traces.unpickle import load_plain

_SPEECH: Final = re.compile(r"(?P<word>[a-z]+)_[0-9a-f]+_nohash_\d+\.wav")
"""Names of recordings of spoken words, flat in one folder."""


@dataclass(frozen=True)
class ClientMap:
    """Samples by name, in the file's order, and the client that each belongs to.

    Attributes:
        names: of samples.
        clients: int64, one for each name; clients are numbered from 0 by first appearance.
        words: what is said in each, where all names tell; else empty.
    """

    names: tuple[str, ...]
    clients: npt.NDArray[np.int64]
    words: tuple[str, ...]

    def counts(self) -> npt.NDArray[np.int64]:
        """Return how many samples each client has: int64, by client."""
        return np.bincount(self.clients).astype(np.int64)


def read_client_map(path: Path) -> ClientMap:
    """Read the pickle, without running it.

    Raises:
        DataError: it cannot be read, or holds anything but names and clients; the message names the entry.
    """
    entries = _entries(path)
    numbers: dict[object, int] = {}
    clients = []
    for number, (name, client) in enumerate(entries.items(), start=1):
        if not isinstance(name, str) or not name or "\n" in name:
            raise DataError(f"{path} entry {number}: the name of a sample is {SHORT.repr(name)}; it must be a text")
        if not isinstance(client, str | int) or isinstance(client, bool):
            raise DataError(
                f"{path} entry {number}, {name!r}: the client is {SHORT.repr(client)}; text or number needed"
            )
        clients.append(numbers.setdefault(client, len(numbers)))
    found = [_SPEECH.fullmatch(str(name)) for name in entries]
    words = tuple(match["word"] for match in found if match)
    names = tuple(map(str, entries))
    return ClientMap(names, np.array(clients, np.int64), words if len(words) == len(names) else ())


def _entries(path: Path) -> dict[object, object]:
    try:
        with path.open("rb") as file:
            content = file.read(limits.TRACE_WHOLE_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(content) > limits.TRACE_WHOLE_BYTES:
        raise DataError(f"{path}: more than the {limits.TRACE_WHOLE_BYTES} bytes that are read")
    try:
        entries = load_plain(content, path)
    except TraceError as error:
        raise DataError(str(error)) from None
    if not isinstance(entries, dict) or not entries:
        raise DataError(f"{path}: must be a dictionary of names and clients, not {SHORT.repr(entries)}")
    return entries


def write_mapping(found: ClientMap, directory: Path) -> Path:
    """Write ``client_data_mapping/train.csv`` into ``directory`` in the layout of later releases, and return its path.

    Columns are client_id, sample_name, sample_category, category_id; categories are numbered in alphabetical order.
    Where names do not tell what a sample is, the first two columns are all that is known.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    numbers = {word: number for number, word in enumerate(sorted({*found.words}))}
    writer.writerow(["client_id", "sample_name", *(["sample_category", "category_id"] if found.words else [])])
    columns = [found.clients.tolist(), found.names]
    columns += [found.words, [numbers[word] for word in found.words]] if found.words else []
    writer.writerows(zip(*columns, strict=True))
    path = directory / "client_data_mapping" / "train.csv"
    write_text(path, text.getvalue())
    return path
