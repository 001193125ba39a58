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
from fedscale.files import sync_directory, write_bytes

State = dict[str, Any]

_NAME = re.compile(r"checkpoint-(\d{8})\.safetensors")


def save_checkpoint(directory: Path, attempt: int, state: State) -> Path:
    """Write ``state`` (nested dictionaries of plain values and tensors) and remove all but the newest checkpoints."""
    path = directory / f"checkpoint-{attempt:08d}.safetensors"
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_without_tensors(state, "", tensors), separators=(",", ":"))
    metadata = {"state": text, "digest": _digest(text, tensors)}
    write_bytes(path, save(tensors or {"none": torch.zeros(0)}, metadata))
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
            warn(f"{error}; going back to the checkpoint before it")
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
        state = _with_tensors(json.loads(text), tensors)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged or not a checkpoint ({error})") from None
    assert isinstance(state, dict)
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
    """Replace every tensor in a nested state by ``{"tensor": its path}``, collecting them."""
    if isinstance(value, Tensor):
        tensors[path] = value.detach().contiguous()
        return {"tensor": path}
    if isinstance(value, dict):
        return {key: _without_tensors(inner, f"{path}/{key}", tensors) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_tensors(inner, f"{path}/{index}", tensors) for index, inner in enumerate(value)]
    return value


def _with_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if set(value) == {"tensor"} and value["tensor"] in tensors:
            return tensors[value["tensor"]]
        return {key: _with_tensors(inner, tensors) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_tensors(inner, tensors) for inner in value]
    return value
