"""What is particular to a kind of device: its memory, its number, and copies to it that overlap with training.

A CPU has nothing of this: it has no meter, and batches are used where they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import torch
from torch import OutOfMemoryError, Tensor

from fedscale.errors import JobError
from fedscale.tables import Table

Item = TypeVar("Item")
Batch = tuple[Tensor, Tensor]

CONTEXT_BYTES: Final = 1 << 30
"""Most that a process is taken to occupy on a GPU beside its tensors: code of kernels, handles of libraries."""

NO_MEMORY: Final = (
    "CUDA error: out of memory",  # of the driver, when a process begins or a kernel is loaded
    "_STATUS_ALLOC_FAILED",  # of cuBLAS, cuDNN and their like
    "MPS backend out of memory",
    "Invalid buffer size",  # of MPS: more at once than the system gives
)
"""What errors of torch say that are for want of memory and no `torch.OutOfMemoryError`."""


@dataclass(frozen=True)
class Usage:
    """Memory of the device that this process computes on, in bytes.

    Attributes:
        peak: the most that this process has taken so far.
        room: what there is for this process and its like: what is free, and what this one has.
    """

    peak: int
    room: int


class Meter(Protocol):
    """Knows the devices of one kind on this machine, and the memory of the one that this process computes on."""

    def count(self) -> int:
        """Return how many there are."""
        ...

    def environment(self, device: int) -> dict[str, str]:
        """Return what a process that is started must find in its environment to compute on that device."""
        ...

    def usage(self) -> Usage:
        """Measure."""
        ...

    def release(self) -> None:
        """Give back what is kept for use again."""
        ...


class Cuda:
    """GPUs of CUDA or ROCm; a process sees one of them."""

    def count(self) -> int:
        """See `Meter.count`."""
        return torch.cuda.device_count()

    def environment(self, device: int) -> dict[str, str]:
        """See `Meter.environment`."""
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        return {"CUDA_VISIBLE_DEVICES": str(device) if visible is None else visible.split(",")[device].strip()}

    def usage(self) -> Usage:
        """See `Meter.usage`.

        Torch knows what it has reserved for tensors. What else is taken is this process's context, or other programs':
        nobody can tell, so it counts for the context up to `CONTEXT_BYTES`.
        """
        free, total = torch.cuda.mem_get_info()
        reserved = torch.cuda.memory_reserved()
        context = min(max(0, total - free - reserved), CONTEXT_BYTES)
        return Usage(torch.cuda.max_memory_reserved() + context, free + reserved + context)

    def release(self) -> None:
        """See `Meter.release`."""
        torch.cuda.empty_cache()


class Mps:
    """The GPU of a Mac. Torch keeps what it has taken until the cache is emptied, so that is the peak."""

    def count(self) -> int:
        """See `Meter.count`."""
        return torch.mps.device_count()

    def environment(self, device: int) -> dict[str, str]:
        """There is nothing to choose."""
        return {}

    def usage(self) -> Usage:
        """See `Meter.usage`."""
        return Usage(torch.mps.driver_allocated_memory(), torch.mps.recommended_max_memory())

    def release(self) -> None:
        """See `Meter.release`."""
        torch.mps.empty_cache()


METERS: Final[Table[Meter]] = Table("device", {"cuda": Cuda, "mps": Mps})
"""By torch's name of the kind of device."""


def meter_of(device: str, backend: str = "torch") -> Meter | None:
    """Return the meter of a kind of device; there is none for a CPU, and for other libraries than torch.

    Raises:
        JobError: torch finds no such device.
    """
    if device not in METERS.names() or backend != "torch":
        return None
    meter = METERS.build(device)
    if meter.count() < 1:
        raise JobError(f"device {device!r}: torch finds none on this machine; use device: cpu")
    return meter


def out_of_memory(error: BaseException) -> bool:
    """Say whether an error is for want of the device's memory."""
    if isinstance(error, OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in NO_MEMORY)


def seed_layers(device: torch.device, seed: int) -> None:
    """Seed torch's own generator, from which layers draw (dropout), on the CPU and where the model is."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)  # the next line would cost more than a small client's step
    else:
        torch.manual_seed(seed)


def placed(batches: Iterable[Batch], like: Tensor) -> Iterable[Batch]:
    """Return batches as by `put`; to a GPU of CUDA, each is copied while the one before is trained on."""
    if like.device.type == "cuda":
        return _copied(batches, like)
    return ((put(inputs, like), put(targets, like)) for inputs, targets in batches)


def put(part: Tensor, like: Tensor) -> Tensor:
    """Return a part of a batch where ``like`` is, numbers in its precision.

    Only CUDA's copies are not waited for: they are from pinned memory, and other memory may be overwritten meanwhile.
    """
    dtype = like.dtype if part.is_floating_point() else None
    return part.to(like.device, dtype, non_blocking=like.device.type == "cuda")


def one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yield each item once the next one has been begun."""
    waiting: list[Item] = []
    for item in items:
        yield from waiting
        waiting = [item]
    yield from waiting


def _copied(batches: Iterable[Batch], like: Tensor) -> Iterator[Batch]:
    """Copy on a stream of their own, from pinned memory, which the copy can read while both sides go on.

    Training waits on the device for the copy, not on the CPU. A batch's memory belongs to the copies' stream; it must
    not be used again before training, on another one, is done with it.
    """
    stream = torch.cuda.Stream(like.device)  # type: ignore[no-untyped-call]
    for parts, done in one_ahead(_begun(batch, like, stream) for batch in batches):
        training = torch.cuda.current_stream(like.device)
        training.wait_event(done)
        for part in parts:
            part.record_stream(training)
        yield parts


def _begun(batch: Batch, like: Tensor, stream: torch.cuda.Stream) -> tuple[Batch, torch.cuda.Event]:
    inputs, targets = (part.to(like.dtype if part.is_floating_point() else part.dtype).pin_memory() for part in batch)
    with torch.cuda.stream(stream):
        moved = (put(inputs, like), put(targets, like))
        return moved, stream.record_event()
