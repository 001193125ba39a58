"""``digits``: 1,797 small images of digits on 14 forms, from scikit-learn; the tiny dataset for tests.

E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998, of
which scikit-learn ships the test part (13 people, not named). Its rows are forms one after another: the same printed
sequence of digits, 01234567890123456789..., repeats 14 times with a few digits missing, which shows where each begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from fedscale.data.card import Card, Figures
from fedscale.data.notes import Notes
from fedscale.data.writer import StoreWriter
from fedscale.errors import DataError, MissingExtraError
from fedscale.section import Component

FORMS: Final = (0, 130, 256, 386, 516, 646, 776, 906, 1029, 1157, 1287, 1415, 1545, 1667, 1797)
"""The first row of each form, and the end."""

CARD: Final = Card(
    name="digits",
    title="Optical recognition of handwritten digits",
    description="8×8 images of ten digits on 14 forms: tiny, offline, for tests and first steps",
    task="classification",
    model=Component(name="mlp"),
    modality="tensor",
    classes=10,
    sample_shape=(8, 8),
    x_scale=1 / 16,
    client_is="form",
    licence="CC BY 4.0 (data), BSD-3-Clause (scikit-learn)",
    source="sklearn.datasets.load_digits",
    citation="E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits. UCI Machine Learning Repository, 1998",
    counted=Figures(clients=14, samples=1_797),
    verification="real",
    verified="1,797 rows of 8×8 values from 0 to 16, 14 forms of 122 to 130 rows",
)


@dataclass(frozen=True)
class Digits:
    """The digits on forms; no options."""

    @property
    def card(self) -> Card:
        """Return the card."""
        return CARD

    @property
    def directory(self) -> str:
        """Return the name of the store."""
        return "digits"

    def write(self, path: Path, notes: Notes) -> None:
        """Write the store; needs scikit-learn."""
        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise MissingExtraError("the dataset 'digits'", "scikit-learn", "digits") from None
        bunch = load_digits()
        if len(bunch.target) != FORMS[-1]:
            raise DataError(f"load_digits has {len(bunch.target)} rows, not the {FORMS[-1]} whose forms are known")
        with StoreWriter(path, CARD, notes) as writer:
            writer.append(np.diff(FORMS), {"x": bunch.images.astype(np.uint8), "y": bunch.target.astype(np.int64)})
