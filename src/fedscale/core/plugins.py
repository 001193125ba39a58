"""Users' files: loading them, and finding the classes in them."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from fedscale.core.aggregator import Aggregator
from fedscale.core.client import Client
from fedscale.core.client_manager import ClientManager
from fedscale.errors import JobError
from fedscale.files import digest

Class = TypeVar("Class")


@dataclass(frozen=True)
class Plugins:
    """The classes that a job runs with: the user's where given, FedScale's own otherwise."""

    client: type[Client] = Client
    client_manager: type[ClientManager] = ClientManager
    aggregator: type[Aggregator] = Aggregator


def load_plugins(files: Sequence[Path]) -> Plugins:
    """Import users' files (names they register in tables are known from then on) and find their subclasses.

    Raises:
        JobError: a file cannot be imported, or two classes claim the same place.
    """
    modules = [_load(path) for path in files]
    return Plugins(
        _only(Client, modules) or Client,
        _only(ClientManager, modules) or ClientManager,
        _only(Aggregator, modules) or Aggregator,
    )


def _load(path: Path) -> ModuleType:
    try:
        name = f"fedscale_plugin_{path.stem}_{digest(path)[:8]}"
    except OSError as error:
        raise JobError(f"plugin {path}: cannot be read: {error.strerror}") from None
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise JobError(f"plugin {path}: not a Python file (its name must end in .py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise JobError(f"plugin {path}: {type(error).__name__}: {error}") from error
    return module


def _only(base: type[Class], modules: Sequence[ModuleType]) -> type[Class] | None:
    own = [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
    ]
    own = list(dict.fromkeys(own))  # a class may have two names, a file be named twice
    leaves = [found for found in own if not any(found is not other and issubclass(other, found) for other in own)]
    if len(leaves) > 1:
        names = ", ".join(sorted(leaf.__name__ for leaf in leaves))
        raise JobError(f"plugins: {names} are all {base.__name__} classes; keep one, or derive one from the other")
    return leaves[0] if leaves else None
