"""Named random streams, derived from the job's seed and never stored.

``rng(seed, "train", 17)`` is the same generator on every machine and in every process, and independent of
``rng(seed, "select", 17)``: a new component that draws numbers changes nobody else's.
"""

from __future__ import annotations

import hashlib

import numpy as np


def derive(seed: int, *names: str | int) -> int:
    """Return a 64-bit seed for the stream called ``names`` under ``seed``."""
    text = "\x1f".join([str(seed), *(f"{type(name).__name__}:{name}" for name in names)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def rng(seed: int, *names: str | int) -> np.random.Generator:
    """Return a fresh generator for the stream called ``names`` under ``seed``."""
    return np.random.Generator(np.random.PCG64(derive(seed, *names)))
