"""What travels between server and client, as bytes: safetensors, so that no byte of it can be code."""

from __future__ import annotations

from safetensors.torch import save
from torch import Tensor


def encode(vector: Tensor) -> bytes:
    """Serialize a model's flat vector, or an update to it; the length of the result is what the network charges."""
    return save({"vector": vector})
