"""One number of each sample that says what its input is like, for statistics and for partitions by feature."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fedscale.data.card import Card
from fedscale.data.encoded import Samples, stored
from fedscale.data.ragged import Ragged


def feature_column(card: Card) -> str | None:
    """Return the column that holds the inputs of a dataset: the first one, unless that is the label."""
    first = card.columns[0]
    return None if first in (card.label_column, "labels", "boxes") else first


def feature_of(samples: Samples) -> npt.NDArray[np.float64]:
    """Return the mean of each row's numbers as they are stored; where rows vary in length, their lengths."""
    column = stored(samples)
    if isinstance(column, Ragged):
        return column.lengths.astype(np.float64)
    means: npt.NDArray[Any] = column.reshape(len(column), -1).mean(axis=1, dtype=np.float64)
    return means
