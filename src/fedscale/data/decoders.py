"""How encoded samples become numbers, by the name that a card gives."""

from __future__ import annotations

from typing import Any, Final

from fedscale.tables import Table

DECODERS: Final[Table[Any]] = Table(
    "decoder",
    {
        "image": "fedscale.data.images:ImageDecoder",
    },
)
"""Each entry is a `fedscale.data.encoded.Decoder`; it is given the card's ``sample_shape``."""
