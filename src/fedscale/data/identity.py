"""What becomes of clients' names: a digest, and in the end a number, so that no name reaches a store.

Clients are numbered in the order of their digests. That order is the same on every machine and for every order of the
raw files, and says nothing about the names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

DIGEST_BYTES: Final = 16
"""Bytes of a digest: among a billion names, two alike are met with a probability of 10⁻²¹."""


def client_digest(name: str | bytes) -> bytes:
    """Return the digest by which a client is known while its samples are gathered; text counts as its UTF-8."""
    content = name.encode() if isinstance(name, str) else name
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def client_order(names: Sequence[str | bytes]) -> npt.NDArray[np.int64]:
    """Return the order of ``names`` (all different) in which their clients are numbered."""
    digests = [client_digest(name) for name in names]
    return np.array(sorted(range(len(digests)), key=digests.__getitem__), dtype=np.int64)


def client_keys(names: pa.Array) -> npt.NDArray[Any]:
    """Return the digest of each of ``names`` (strings or bytes), as two big-endian halves: (n, 2) of uint64.

    Equal names are hashed once.
    """
    encoded = names.dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    different = encoded.dictionary.cast(pa.large_binary()).to_pylist()
    digests = b"".join([hashlib.blake2b(name, digest_size=DIGEST_BYTES).digest() for name in different])
    keys = np.frombuffer(digests, dtype=">u8").astype(np.uint64).reshape(-1, 2)
    taken: npt.NDArray[Any] = keys[encoded.indices.to_numpy(zero_copy_only=False)]
    return taken
