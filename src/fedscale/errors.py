"""Every error FedScale raises on purpose, as one tree.

::

    FedScaleError
    ├── JobError             a job names something unknown or holds an impossible value
    ├── EngineError          a model cannot be trained by the engine that was asked for
    ├── MissingExtraError    an optional library is needed and not installed
    ├── DataError            a dataset or a file of one cannot be read
    ├── TraceError           a device or availability table cannot be read
    ├── CodecError           bytes do not hold what a codec should decode, or a vector is none that it is made for
    ├── FetchError           a download failed or is not what it should be
    ├── RunError             a run cannot start, go on or finish
    │   ├── StalledError     no client will ever be available, or no attempt succeeds
    │   ├── CheckpointError  a checkpoint is damaged or belongs to another job
    │   └── WorkerError      worker processes cannot be kept alive
    ├── LogError             a log is damaged, or its arithmetic does not add up
    └── WriteError           the system refuses to write a file (disk full, no permission)

A message names the thing (file, row, field), the value and the remedy.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FedScaleError(Exception):
    """Base of all errors raised on purpose; the command line prints them without a traceback."""


class JobError(FedScaleError):
    """A job names something unknown or holds an impossible value."""


class EngineError(FedScaleError):
    """A model cannot be trained by the engine that was asked for."""


class MissingExtraError(FedScaleError):
    """An optional library is needed and not installed."""

    def __init__(self, what: str, library: str, extra: str) -> None:
        super().__init__(f"{what} needs {library}, which is not installed: pip install 'fedscale[{extra}]'")
        self._given = what, library, extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str]]:
        """Return what another process makes the same error of."""
        return type(self), self._given


class DataError(FedScaleError):
    """A dataset or a file of one cannot be read."""


class TraceError(FedScaleError):
    """A device or availability table cannot be read."""


class CodecError(FedScaleError):
    """Bytes do not hold what a codec should decode, or a vector is none that it is made for."""


class FetchError(FedScaleError):
    """A download failed or is not what it should be."""


class RunError(FedScaleError):
    """A run cannot start, go on or finish."""


class StalledError(RunError):
    """No client will ever be available, or no attempt at a round succeeds."""


class CheckpointError(RunError):
    """A checkpoint is damaged or belongs to another job."""


class WorkerError(RunError):
    """Worker processes cannot be kept alive."""


class LogError(FedScaleError):
    """A log is damaged, or its arithmetic does not add up."""


class WriteError(FedScaleError):
    """The system refuses to write a file (disk full, no permission)."""


def bad_option(owner: str, option: str, allowed: str, value: object) -> JobError:
    """Return the error for an option's value that the rest of the job rules out.

    What a value may be by itself is said by its type in the signature, see `fedscale.tables.Table.build`.

    Args:
        owner: whose option it is, e.g. ``"selector 'oort'"``.
        option: its name.
        allowed: what it must be, e.g. ``"at most 3"``.
        value: what it is.
    """
    return JobError(f"{owner}, option {option!r}: must be {allowed} (got {value!r})")


def complaint(message: str) -> str:
    """Return a message of pydantic's as the end of one of ours."""
    return message.removeprefix("Value error, ").replace("Input should be", "must be")


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which of the ``known`` names are nearest to ``name`` (three at most), for the end of a message."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known[:3]
    if not close:
        return "nothing is known here"
    quoted = ", ".join(repr(candidate) for candidate in close)
    return f"did you mean {quoted}?" if len(known) > len(close) else f"known: {quoted}"
