"""The garbage collector's share of a run."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def settled() -> Iterator[None]:
    """Keep Python's garbage collector from walking the objects that exist now, until the end of the block.

    A round of thousands of tasks makes enough objects to start full collections. Each of them would walk all that the
    libraries made when they were imported, half a million objects, in vain.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
