"""Tables of names: the only place where a name becomes an object.

One table per kind (selectors, models, server optimizers, ...). An entry is either a factory or ``"module:attribute"``,
imported when first used, so that heavy libraries are paid for only by those who name them.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError

from fedscale.errors import JobError, complaint, nearest

T = TypeVar("T")

_BOUNDS: Final = {
    "minimum": "at least",
    "exclusiveMinimum": "greater than",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}
"""Keys of a JSON schema, in words."""


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

        Types say ranges too: ``k: Positive``, ``share: Annotated[float, Field(ge=0, lt=0.5)]`` (`fedscale.section` has
        the usual ones). Of ``given``, a factory receives what it has parameters for.

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
                raise JobError(f"{self.kind} {name!r} has no option {key!r}: {self._meant(key, known)}")
            checked[key] = _check(value, hints.get(key, Any), f"{self.kind} {name!r}", key)
        try:
            inspect.signature(factory).bind(**checked, **takes)
        except TypeError as error:
            raise JobError(f"{self.kind} {name!r}: {error}") from None
        return factory(**checked, **takes)

    def _meant(self, option: str, known: Sequence[str]) -> str:
        """Say what may have been meant by an option that is not ``known``: a like one, or another name's."""
        if known:
            return nearest(option, known)
        owners = [name for name in self.names() if _has(self.get(name), option)]
        if not owners:
            return "it has none"
        return f"{', '.join(map(repr, owners))} {'has' if len(owners) == 1 else 'have'} it: give the name too"


def _has(factory: Callable[..., object], option: str) -> bool:
    try:
        return option in inspect.signature(factory).parameters
    except ValueError:  # a type of Python's own may not tell
        return False


def _source(factory: Callable[..., object]) -> str:
    """Return the file that a factory was read from, or its module's name for want of one (a notebook)."""
    module = sys.modules.get(factory.__module__)
    return getattr(module, "__file__", None) or factory.__module__


def _hints(factory: Callable[..., object]) -> dict[str, Any]:
    # a data class may have inherited fields, whose types are to be understood in their own module
    if inspect.isclass(factory) and not dataclasses.is_dataclass(factory):
        factory = factory.__init__
    return get_type_hints(factory, include_extras=True)


def _check(value: object, hint: Any, owner: str, option: str) -> Any:
    adapter = TypeAdapter(hint, config={"arbitrary_types_allowed": True})
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        detail = error.errors()[0]
        message = complaint(detail["msg"])
        overstepped = detail.get("ctx", {}).keys() & {"gt", "ge", "lt", "le"}
        if overstepped and (allowed := _range(adapter.json_schema())):
            message = f"must be {allowed}"
        place = "".join(f"[{part}]" for part in detail["loc"] if isinstance(part, int))
        raise JobError(f"{owner}, option {option + place!r}: {message} (got {detail['input']!r})") from None


def _range(schema: Mapping[str, Any]) -> str:
    """Say which numbers a JSON schema allows: both bounds, of which an error of pydantic names the one overstepped."""
    inside = [schema["items"]] if "items" in schema else schema.get("anyOf", [])
    if inside:
        return next(filter(None, map(_range, inside)), "")
    if "minimum" in schema and "maximum" in schema:
        return f"from {schema['minimum']} to {schema['maximum']}"
    return " and ".join(f"{words} {schema[bound]}" for bound, words in _BOUNDS.items() if bound in schema)
