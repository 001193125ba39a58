"""The original's job file: ``job_conf`` as a list of maps with one key each, values as they stood on a command line."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fedscale import limits
from fedscale.errors import JobError, nearest
from fedscale.jobfile import SHORT, check_plain, read_yaml
from fedscale.legacy.vocabulary import ALIASES, REASONS, SECRETS, TAKEN

USED: Final = "used"
CHANGED: Final = "changed"
DEFAULT: Final = "by default"
UNUSED: Final = "not honoured"
UNKNOWN: Final = "unknown"
OUTCOMES: Final = (UNKNOWN, UNUSED, CHANGED, USED, DEFAULT)
"""In the order of how much a user should know of them."""

_VARIABLE: Final = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


@dataclass(frozen=True)
class Note:
    """What became of one key.

    Attributes:
        outcome: ``USED``, ``CHANGED`` (it means something else here), ``DEFAULT`` (not given, and the original's
            default differs from ours), ``UNUSED`` or ``UNKNOWN``.
    """

    outcome: str
    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.outcome:<12} {self.key}: {self.text}"


@dataclass
class OldJob:
    """The keys of an old job, from which a translation takes what it understands.

    Attributes:
        source: the file, for messages.
        values: by key, in the newest spelling; those of ``job_conf`` before those around it.
        variables: what stands for ``$NAME`` in paths.
        notes: what became of each key.
    """

    source: str
    values: dict[str, Any]
    variables: Mapping[str, str]
    notes: list[Note] = field(default_factory=list)
    _taken: set[str] = field(default_factory=set)

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def note(self, outcome: str, key: str, text: str) -> None:
        """Say what became of a key; the last word counts."""
        if key in self._taken:
            self.notes = [note for note in self.notes if note.key != key]
        shown = f"{SHORT.repr(self.values[key])}, {text}" if key in self.values and key not in SECRETS else text
        self.notes.append(Note(outcome, key, shown))
        self._taken.add(key)

    def number(self, key: str, kind: type[int] | type[float], default: float) -> int | float:
        """Return a number; text such as ``3e-3`` is one.

        Raises:
            JobError: it is none, or not a whole one where that is needed.
        """
        value = self.values.get(key, default)
        try:
            found = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            found = math.nan
        if not math.isfinite(found):
            raise self.refused(key, "must be a number")
        if kind is int and not found.is_integer():
            raise self.refused(key, "must be a whole number")
        return kind(found)

    def flag(self, key: str) -> bool:
        """Return whether a key is set and true; text such as ``False`` counts."""
        value = str(self.values.get(key, False)).lower()
        if value not in ("true", "false", "1", "0", "none"):
            raise self.refused(key, "must be True or False")
        return value in ("true", "1")

    def text(self, key: str, default: str = "") -> str:
        """Return a text; nothing for ``None``."""
        value = self.values.get(key, default)
        if isinstance(value, list | dict):
            raise self.refused(key, "must be one value")
        return default if value is None else str(value).strip()

    def path(self, key: str) -> Path | None:
        """Return a path with its variables replaced; ``None`` if it is not given or a variable is not known."""
        text = self.text(key)
        if not text or self.unset(key):
            return None
        whole = _VARIABLE.sub(lambda found: self.variables[found[1] or found[2]], text)
        try:
            return Path(whole).expanduser().absolute()
        except (RuntimeError, ValueError) as error:
            raise self.refused(key, f"is no path: {error}") from None

    def unset(self, key: str) -> list[str]:
        """Return the variables in a path that are not known."""
        names = [found[1] or found[2] for found in _VARIABLE.finditer(self.text(key))]
        return [name for name in names if name not in self.variables]

    def refused(self, key: str, why: str) -> JobError:
        """Return the error about a key's value."""
        return JobError(f"{self.source}: {key}: {why} (got {SHORT.repr(self.values.get(key))})")

    def note_rest(self) -> None:
        """Say of all keys that nothing was made of why that is."""
        for key in self.values:
            if key in self._taken:
                continue
            if key in REASONS:
                self.note(UNUSED, key, REASONS[key])
            elif key in TAKEN:
                self.note(UNUSED, key, "means nothing in a job of this kind")
            else:
                self.note(UNKNOWN, key, nearest(key, {*REASONS, *TAKEN, *ALIASES}))


def read_old_job(path: Path, home: Path | None = None) -> OldJob:
    """Read a job file of the original.

    Args:
        path: of the file.
        home: what ``$FEDSCALE_HOME`` stands for; by default as in the environment.

    Raises:
        JobError: the file cannot be read, is none of the original, or holds something impossible.
    """
    values = read_yaml(_text_of(path), str(path))
    try:
        check_plain(values)
    except ValueError as error:
        raise JobError(f"{path}: {error}") from None
    old = OldJob(str(path), {}, {**os.environ, **({"FEDSCALE_HOME": str(home)} if home else {})})
    if "job_conf" not in values:
        raise JobError(f"{path}: no job_conf in it: {nearest('job_conf', values)}; is it a job of the original?")
    for key, value in _pairs(values.pop("job_conf"), path):
        _put(old, key, value)
    for key, value in values.items():
        if key not in old.values:
            _put(old, key, value)
    return old


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(limits.JOB_FILE_BYTES + 1)
        if len(content) > limits.JOB_FILE_BYTES:
            raise JobError(f"{path}: more than the {limits.JOB_FILE_BYTES} bytes a job may have")
        return content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise JobError(f"{path}: cannot be read: {error}") from None


def _pairs(conf: object, path: Path) -> list[tuple[str, Any]]:
    """Return keys and values of ``job_conf``: a list of maps, or one map."""
    found: list[tuple[str, Any]] = []
    for number, entry in enumerate(conf if isinstance(conf, list) else [conf], start=1):
        if not isinstance(entry, dict):
            raise JobError(f"{path}: job_conf, entry {number}: must be `key: value` (got {SHORT.repr(entry)})")
        found += entry.items()
    return found


def _put(old: OldJob, key: str, value: Any) -> None:
    """Enter a key in its newest spelling; of several values the last one counts, as in the original."""
    name = ALIASES.get(key, key)
    if name in old.values:
        old.notes.append(Note(CHANGED, key, f"{name} is given more than once, and {SHORT.repr(value)} counts"))
    elif name != key:
        old.notes.append(Note(CHANGED, key, f"an older spelling of {name}"))
    old.values[name] = value
