"""Checkpoints: the state of a run between two attempts, in one safetensors file each.

Tensors are stored as such; everything else is one JSON text in the file's metadata, together with a digest over
both. A file is written under a temporary name, synced and renamed; a damaged one is never loaded.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from fedscale import limits
from fedscale.errors import CheckpointError
from fedscale.files import sync_directory, write_bytes, writing

State = dict[str, Any]

_PLAIN = (str, int, float, type(None))
_EXACTLY = {*_PLAIN, bool}

_NAME = re.compile(r"checkpoint-(\d{8})\.safetensors")


def save_checkpoint(directory: Path, attempt: int, state: State) -> Path:
    """Write ``state`` and remove all but the newest checkpoints.

    Args:
        directory: that of the run's checkpoints.
        attempt: attempts so far; it gives the file its name.
        state: nested dictionaries (keys are texts), lists, numbers, texts, ``None`` and tensors. Tuples come back as
            lists, everything else as it was.

    Raises:
        CheckpointError: the state holds something else.
        WriteError: the system refuses to write.
    """
    path = directory / f"checkpoint-{attempt:08d}.safetensors"
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_without_tensors(state, "", tensors), separators=(",", ":"))
    metadata = {"state": text, "digest": _digest(text, tensors)}
    write_bytes(path, save(tensors or {"none": torch.zeros(0)}, metadata))
    with writing(directory):
        for old in _newest_first(directory)[limits.CHECKPOINTS_KEPT :]:
            old.unlink()
        sync_directory(directory)
    return path


def load_newest(directory: Path, warn: Callable[[str], None]) -> State | None:
    """Return the newest sound checkpoint, or ``None`` if there is none; damaged ones are named to ``warn``."""
    for path in _newest_first(directory):
        try:
            return load_checkpoint(path)
        except CheckpointError as error:
            warn(f"{error}: not used")
    return None


def load_checkpoint(path: Path) -> State:
    """Read one checkpoint.

    Raises:
        CheckpointError: the file is damaged or not a checkpoint.
    """
    try:
        _check_header(path)
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        tensors.pop("none", None)
        text, digest = metadata["state"], metadata["digest"]
        if _digest(text, tensors) != digest:
            raise CheckpointError(f"{path}: damaged (its digest does not match)")
        state = _with_tensors(json.loads(text), "", tensors)
    except (OSError, SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged or not a checkpoint ({error})") from None
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: not a checkpoint (it holds a {type(state).__name__})")
    return state


def _newest_first(directory: Path) -> list[Path]:
    found = [path for path in directory.glob("checkpoint-*.safetensors") if _NAME.fullmatch(path.name)]
    return sorted(found, reverse=True)


def _check_header(path: Path) -> None:
    """Refuse a header that claims more than it may, before anything is allocated for it."""
    with path.open("rb") as file:
        claimed = file.read(8)
    size = struct.unpack("<Q", claimed)[0] if len(claimed) == 8 else 0
    if not 0 < size <= min(limits.CHECKPOINT_HEADER_BYTES, path.stat().st_size):
        raise CheckpointError(f"{path}: damaged (its header claims {size} bytes)")


def _digest(text: str, tensors: dict[str, Tensor]) -> str:
    hasher = hashlib.blake2b(text.encode(), digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name]
        hasher.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        hasher.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return hasher.hexdigest()


def _without_tensors(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Replace every tensor in a nested state by ``{"tensor": its path}``, collecting copies of them."""
    if isinstance(value, Tensor):
        tensors[path] = value.detach().clone(memory_format=torch.contiguous_format)
        return {"tensor": path}
    if isinstance(value, dict):
        return {_key(key, path): _without_tensors(inner, _under(path, key), tensors) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        if _EXACTLY.issuperset(map(type, value)):  # a column of a thousand numbers is looked through at once
            return list(value)
        return [_without_tensors(inner, _under(path, index), tensors) for index, inner in enumerate(value)]
    if not isinstance(value, _PLAIN):
        raise CheckpointError(
            f"checkpoint: {path} is a {type(value).__name__}; "
            "a state holds numbers, texts, lists, dictionaries and tensors"
        )
    return value


def _with_tensors(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if value == {"tensor": path} and path in tensors:
            return tensors[path]
        return {key: _with_tensors(inner, _under(path, key), tensors) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_tensors(inner, _under(path, index), tensors) for index, inner in enumerate(value)]
    return value


def _under(path: str, key: str | int) -> str:
    """Return the path of a member; two members never share one (RFC 6901, JSON pointers)."""
    return f"{path}/{str(key).replace('~', '~0').replace('/', '~1')}"


def _key(key: Any, path: str) -> str:
    if not isinstance(key, str):
        raise CheckpointError(f"checkpoint: {path} has the key {key!r}; keys are texts, so write str(key)")
    return key
