"""Memory for large vectors that is used again.

The C library returns a large block to the system as soon as it is free, which hands out the next one page by page,
zeroed. Vectors of a model come and go with every client.
"""

from __future__ import annotations

import weakref
from collections import defaultdict
from typing import Any, Final

import numpy.typing as npt
import torch
from torch import Tensor

LEAST: Final = 1 << 20
"""Bytes from which it pays."""

MOST: Final = 8
"""Blocks of one size that are kept."""

_free: Final[defaultdict[tuple[torch.dtype, int], list[npt.NDArray[Any]]]] = defaultdict(list)


def blank(like: Tensor) -> Tensor:
    """Return a contiguous tensor of any content, of the shape and kind of ``like``.

    Its memory is used for another one once nothing refers to it any more: no tensor, no view, no array.
    """
    if like.device.type != "cpu" or like.nbytes < LEAST:
        return torch.empty(like.shape, dtype=like.dtype, device=like.device)
    kept = _free[like.dtype, like.numel()]
    block = kept.pop() if kept else torch.empty(like.numel(), dtype=like.dtype).numpy()
    lent = block.view()  # lives as long as any tensor that uses it
    weakref.finalize(lent, _take_back, kept, block).atexit = False
    return torch.from_numpy(lent).view(like.shape)


def copied(vector: Tensor) -> Tensor:
    """Return a copy, in memory as of `blank`."""
    return blank(vector).copy_(vector)


def difference(one: Tensor, other: Tensor) -> Tensor:
    """Return ``one`` − ``other``, in memory as of `blank`."""
    return torch.sub(one, other, out=blank(one))


def _take_back(kept: list[npt.NDArray[Any]], block: npt.NDArray[Any]) -> None:
    if len(kept) < MOST:
        kept.append(block)
