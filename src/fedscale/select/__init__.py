"""Selectors: who takes part in an attempt."""

from __future__ import annotations

from typing import Final

from fedscale.select.base import Selector
from fedscale.tables import Table

SELECTORS: Final[Table[Selector]] = Table(
    "selector", {"oort": "fedscale.select.oort:Oort", "uniform": "fedscale.select.uniform:Uniform"}
)
