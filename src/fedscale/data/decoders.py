"""How encoded samples become numbers, by the name that a card gives."""

from __future__ import annotations

from typing import Any, Final

from fedscale.tables import Table

DECODERS: Final[Table[Any]] = Table(
    "decoder",
    {
        "frames": "fedscale.data.video:FramesDecoder",
        "image": "fedscale.data.images:ImageDecoder",
        "log_mel": "fedscale.data.sound:LogMelDecoder",
        "wave": "fedscale.data.sound:WaveDecoder",
    },
)
"""Each entry is a `fedscale.data.encoded.Decoder`; it is given the card's ``sample_shape``."""
