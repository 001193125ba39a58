"""What values a column may hold, by the kind that its card says (`fedscale.data.card.COLUMNS`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fedscale.data.card import COLUMNS, Card
from fedscale.data.columns import parts
from fedscale.data.ragged import Column, Ragged
from fedscale.errors import DataError

BOX: Final = 5
"""Numbers that a box consists of: label, left, top, right, bottom, the last four as shares of width and height."""


def check_values(card: Card, name: str, column: Column) -> None:
    """Make sure that a column's values are such as the card says.

    Raises:
        DataError: they are not.
    """
    _CHECKS[COLUMNS[card.task][name]](card, name, column)


def _input(card: Card, name: str, column: Column) -> None:
    if card.decode is not None:
        if not isinstance(column, Ragged) or column.values.dtype != np.uint8:
            raise DataError(f"{card.name}: {name} is not rows of encoded bytes")
        if len(column) and not column.lengths.all():
            raise DataError(f"{card.name}: {name} has a row without a byte")
        return
    _shaped(card, name, column, card.sample_shape or (), "sample_shape")


def _target(card: Card, name: str, column: Column) -> None:
    _shaped(card, name, column, card.target_shape, "target_shape")


def _shaped(card: Card, name: str, column: Column, shape: tuple[int, ...], of: str) -> None:
    if isinstance(column, Ragged) or column.shape[1:] != shape:
        raise DataError(f"{card.name}: {name} is not of {of} {shape}")
    if column.dtype.kind == "f" and not np.isfinite(column).all():
        raise DataError(f"{card.name}: {name} holds values that are not finite")


def _label(card: Card, name: str, column: Column) -> None:
    _below(card, name, next(parts(column)), card.classes or 2)


def _tokens(card: Card, name: str, column: Column) -> None:
    if not isinstance(column, Ragged):
        raise DataError(f"{card.name}: {name} is not rows of varying length")
    _below(card, name, next(parts(column)), card.classes or 0)


def _span(card: Card, name: str, column: Column) -> None:
    if isinstance(column, Ragged) or column.shape[1:] != (2,) or column.dtype.kind not in "iu":
        raise DataError(f"{card.name}: {name} is not pairs of integers")
    if len(column) and (column[:, 0] > column[:, 1]).any():
        raise DataError(f"{card.name}: {name} has an answer that ends before it begins")


def _fields(card: Card, name: str, column: Column) -> None:
    _shaped(card, name, column, (len(card.field_sizes),), "field_sizes")
    assert isinstance(column, np.ndarray)
    for place, size in enumerate(card.field_sizes):
        _below(card, f"{name}[{place}]", column[:, place], size)


def _boxes(card: Card, name: str, column: Column) -> None:
    if not isinstance(column, Ragged) or column.values.dtype.kind != "f" or (column.lengths % BOX).any():
        raise DataError(f"{card.name}: {name} is not rows of {BOX} floating-point numbers a box")
    boxes = next(parts(column)).reshape(-1, BOX)
    labels, places = boxes[:, 0], boxes[:, 1:]
    if len(boxes) == 0:
        return
    if not np.isfinite(boxes).all():
        raise DataError(f"{card.name}: {name} holds values that are not finite")
    if labels.min() < 0 or labels.max() >= (card.classes or 0):
        raise DataError(f"{card.name}: {name} has labels that are not from 0 to {(card.classes or 0) - 1}")
    if places.min() < 0 or places.max() > 1 or (places[:, :2] >= places[:, 2:]).any():
        raise DataError(f"{card.name}: {name} has boxes that do not lie in their image")


def _below(card: Card, name: str, values: npt.NDArray[Any], classes: int) -> None:
    if values.dtype.kind not in "iu":
        raise DataError(f"{card.name}: {name} holds {values.dtype}, not integers")
    if values.size and not 0 <= int(values.min()) <= int(values.max()) < classes:
        raise DataError(f"{card.name}: {name} holds {values.min()} to {values.max()}, but classes is {classes}")


_CHECKS: Final[dict[str, Callable[[Card, str, Column], None]]] = {
    "input": _input,
    "target": _target,
    "label": _label,
    "tokens": _tokens,
    "span": _span,
    "fields": _fields,
    "boxes": _boxes,
}
