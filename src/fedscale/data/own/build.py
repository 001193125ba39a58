"""From checked rows to a store: what labels, characters and shapes there are is found, then everything is written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from fedscale import files
from fedscale.data.card import Card
from fedscale.data.federated import FederatedDataset
from fedscale.data.gather import Gather, Group
from fedscale.data.importing import Scanned
from fedscale.data.own.rows import Reader
from fedscale.data.ragged import Column, IntArray, Ragged
from fedscale.data.rearranged import ranges
from fedscale.data.store import StoreWriter, open_store
from fedscale.errors import DataError, complaint
from fedscale.section import Component

WINDOW: Final = 80
"""Characters of a text that a sample predicts; it has one more, with which it begins."""

UNTOLD: Final = "not told"


class About(TypedDict, total=False):
    """What the data do not say by themselves; all of it is optional, and ends up in the card."""

    title: str
    description: str
    model: str | Component
    metric: str
    label_names: tuple[str, ...]
    x_scale: float
    client_is: str
    licence: str
    source: str
    citation: str
    verified: str


@dataclass(frozen=True)
class Plan:
    """What is to be written: the card, and how rows of whole clients become their counts and columns."""

    card: Card
    load: Callable[[Group], tuple[IntArray, Mapping[str, Column]]]


def build(
    path: Path | str, reader: Reader, scanned: Iterator[Scanned], about: About, client_is: str
) -> FederatedDataset:
    """Gather rows by client, write them as a store at ``path``, and open it; memory does not grow with the rows.

    Clients are numbered in the order of their names' digests (`fedscale.data.identity`); names are not kept.

    Raises:
        DataError: ``path`` exists, there are no rows, or what ``about`` says does not fit them.
    """
    target = Path(path)
    if target.exists():
        raise DataError(f"{target}: exists already: remove it, or choose another place")
    files.sweep(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=files.temporary(target, "rows").name) as folder:
        gather = Gather(Path(folder))
        for rows in scanned:
            gather.add(rows.clients, rows.rows)
        if not reader.kinds:
            raise DataError(f"{target}: there are no samples to write")
        plan = _plan(target.name, reader, gather, {"client_is": client_is, **about})
        with StoreWriter(target, plan.card) as writer:
            for group in gather.groups():
                writer.append(*plan.load(group))
    return open_store(target)


def _plan(name: str, reader: Reader, gather: Gather, about: Mapping[str, Any]) -> Plan:
    if reader.text is not None:
        characters = sorted({symbol for texts in _columns(gather, "text") for symbol in "".join(texts.to_pylist())})
        facts = {"classes": len(characters) + 1, "vocabulary": ("", *characters), "model": "char_gru"}
        return Plan(_card(name, _TEXT | facts, about), partial(_texts, characters))
    if reader.tokens is not None:
        facts = {"classes": _most(pc.list_flatten(rows) for rows in _columns(gather, "tokens")) + 1}
        return Plan(_card(name, _TEXT | facts | {"model": "word_lstm"}, about), _tokens)
    facts, kind = _input_facts(reader), reader.kinds.get("y")
    if kind == pa.float64():
        facts |= {"task": "regression", "metric": "mae", "model": "mlp"}
        return Plan(_card(name, facts, about), partial(_samples, reader, None))
    if kind == pa.int64():
        classes = len(about.get("label_names", ())) or _most(_columns(gather, "y")) + 1
        facts |= {"task": "classification", "classes": classes}
        return Plan(_card(name, facts, about), partial(_samples, reader, None))
    names = sorted({label for labels in _columns(gather, "y") for label in pc.unique(labels).to_pylist()})
    facts |= {"task": "classification", "classes": len(names), "label_names": tuple(names)}
    return Plan(_card(name, facts, about), partial(_samples, reader, pa.array(names, pa.large_string())))


_TEXT: Final = {"task": "next_token", "modality": "text"}


def _input_facts(reader: Reader) -> dict[str, Any]:
    shape, kind = reader.shape or (), reader.kinds.get("x")
    facts = {"sample_shape": shape, "modality": "tensor", "model": "cnn" if len(shape) in (2, 3) else "mlp"}
    if kind == pa.large_binary():
        return facts | {"modality": "image", "decode": Component(name="image"), "x_scale": 1 / 255}
    whole = kind is not None and kind.value_type == pa.uint8()
    return facts | {"x_scale": 1 / 255 if whole else 1.0}


def _card(name: str, facts: Mapping[str, Any], about: Mapping[str, Any]) -> Card:
    usual = dict.fromkeys(("description", "licence", "source", "citation", "verified"), UNTOLD)
    try:
        return Card.model_validate({"name": name, "title": name, **usual, **facts, **about})
    except ValidationError as error:
        detail = error.errors()[0]
        place = ".".join(map(str, detail["loc"]))
        raise DataError(f"{name}: {place + ': ' if place else ''}{complaint(detail['msg'])}") from None


def _columns(gather: Gather, name: str) -> Iterator[pa.Array]:
    return (group.rows.column(name).combine_chunks() for group in gather.groups())


def _most(columns: Iterable[pa.Array]) -> int:
    found = [pc.max(column).as_py() for column in columns]
    return max((most for most in found if most is not None), default=0)


def _samples(reader: Reader, names: pa.Array | None, group: Group) -> tuple[IntArray, dict[str, Column]]:
    x, labels = (group.rows.column(name).combine_chunks() for name in ("x", "y"))
    y = np.asarray(labels if names is None else pc.index_in(labels, value_set=names).cast(pa.int64()))
    if x.type == pa.large_binary():
        return group.counts, {"x": _bytes(x), "y": y}
    numbers = x.flatten().to_numpy(zero_copy_only=False).reshape(len(x), *(reader.shape or ()))
    return group.counts, {"x": numbers, "y": y}


def _bytes(column: pa.Array) -> Ragged:
    lengths = np.asarray(pc.binary_length(column)).astype(np.int64)
    values = np.frombuffer(b"".join(column.to_pylist()), dtype=np.uint8)
    return Ragged(values, np.concatenate([[0], np.cumsum(lengths)]))


def _tokens(group: Group) -> tuple[IntArray, dict[str, Column]]:
    rows = group.rows.column("tokens").combine_chunks()
    lengths = np.asarray(pc.list_value_length(rows)).astype(np.int64)
    values = np.asarray(rows.flatten()).astype(np.int32)
    return group.counts, {"tokens": Ragged(values, np.concatenate([[0], np.cumsum(lengths)]))}


def _texts(characters: list[str], group: Group) -> tuple[IntArray, dict[str, Column]]:
    """Cut texts into rows of up to ``WINDOW`` + 1 tokens, each beginning with the last token of the one before.

    So every character but a text's first is predicted once. Empty texts are left out.
    """
    texts = group.rows.column("text").combine_chunks()
    lengths = np.asarray(pc.utf8_length(texts)).astype(np.int64)
    codes = np.frombuffer("".join(texts.to_pylist()).encode("utf-32-le"), dtype=np.uint32)
    known = np.array([ord(symbol) for symbol in characters], dtype=np.uint32)
    tokens = (np.searchsorted(known, codes) + 1).astype(np.uint8 if len(known) < 256 else np.int32)
    pieces = np.where(lengths > 0, -(-np.maximum(lengths - 1, 1) // WINDOW), 0)
    within = ranges(np.zeros(len(pieces), dtype=np.int64), pieces) * WINDOW
    sizes = np.minimum(np.repeat(lengths, pieces) - within, WINDOW + 1)
    starts = np.repeat(np.cumsum(lengths) - lengths, pieces) + within
    counts = np.add.reduceat(pieces, np.cumsum(group.counts) - group.counts)
    rows = Ragged(tokens[ranges(starts, sizes)], np.concatenate([[0], np.cumsum(sizes)]))
    return counts[counts > 0], {"tokens": rows}
