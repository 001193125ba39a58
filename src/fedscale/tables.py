"""Tables of names: the only place where a name becomes an object.

One table per kind (selectors, models, server optimizers, ...). An entry is either a factory or ``"module:attribute"``,
imported when first used, so that heavy libraries are paid for only by those who name them.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError

from fedscale.errors import JobError, nearest

T = TypeVar("T")


class Table(Generic[T]):
    """Names of one ``kind`` and the factories behind them."""

    def __init__(self, kind: str, entries: Mapping[str, str | Callable[..., T]]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def names(self) -> list[str]:
        """Return the known names, sorted."""
        return sorted(self._entries)

    def register(self, name: str, factory: Callable[..., T]) -> None:
        """Add a plug-in under ``name``, or replace it by a newer edition from the same file.

        Raises:
            JobError: the name is taken by something else; a job must mean one thing.
        """
        taken = self._entries.get(name, factory)
        if isinstance(taken, str) or _source(taken) != _source(factory):
            raise JobError(f"{self.kind} {name!r} exists already: choose another name")
        self._entries[name] = factory

    def get(self, name: str) -> Callable[..., T]:
        """Return the factory called ``name``."""
        if name not in self._entries:
            raise JobError(f"unknown {self.kind} {name!r}: {nearest(name, self._entries)}")
        entry = self._entries[name]
        if isinstance(entry, str):
            module, _, attribute = entry.partition(":")
            entry = getattr(importlib.import_module(module), attribute)
            self._entries[name] = entry
        return entry

    def build(self, name: str, options: Mapping[str, Any] | None = None, **given: Any) -> T:
        """Call the factory ``name`` with a job's ``options``, checked against its signature, and what else is given.

        Of ``given``, a factory receives what it has parameters for.

        Raises:
            JobError: the name or an option is unknown, or an option's value does not fit its type.
        """
        factory = self.get(name)
        parameters = inspect.signature(factory).parameters
        hints = _hints(factory) if options else {}
        takes = {key: value for key, value in given.items() if key in parameters}
        known = [key for key in parameters if key not in given]
        checked = {}
        for key, value in (options or {}).items():
            if key not in known:
                raise JobError(f"{self.kind} {name!r} has no option {key!r}: {nearest(key, known)}")
            checked[key] = _check(value, hints.get(key, Any), f"{self.kind} {name!r}, option {key!r}")
        try:
            inspect.signature(factory).bind(**checked, **takes)
        except TypeError as error:
            raise JobError(f"{self.kind} {name!r}: {error}") from None
        return factory(**checked, **takes)


def _source(factory: Callable[..., object]) -> str:
    """Return the file that a factory was read from, or its module's name for want of one (a notebook)."""
    module = sys.modules.get(factory.__module__)
    return getattr(module, "__file__", None) or factory.__module__


def _hints(factory: Callable[..., object]) -> dict[str, Any]:
    return get_type_hints(factory.__init__ if inspect.isclass(factory) else factory, include_extras=True)


def _check(value: object, hint: Any, where: str) -> Any:
    try:
        return TypeAdapter(hint, config={"arbitrary_types_allowed": True}).validate_python(value)
    except ValidationError as error:
        raise JobError(f"{where}: {error.errors()[0]['msg']} (got {value!r})") from None
