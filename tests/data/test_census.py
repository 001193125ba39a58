"""What a store says of itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from fedscale.cli.data import app
from fedscale.data.card import Card
from fedscale.data.census import Census
from fedscale.data.notes import Notes
from fedscale.data.ragged import Ragged
from fedscale.data.store import StoreWriter, open_store, told_of
from fedscale.section import Component

SAID = dict.fromkeys(["title", "description", "client_is", "licence", "source", "citation", "verified"], "-")


def card(task: str, classes: int, **more: object) -> Card:
    given = {"name": "c", "task": task, "classes": classes, "model": Component(name="mlp"), "modality": "tensor"}
    return Card.model_validate({**SAID, **given, **more})


def test_labels_and_sizes_are_counted_while_they_are_written(tmp_path: Path) -> None:
    notes = Notes()
    notes.read = 9
    notes.skip("too small", "a.csv row 3", 2)
    labels = card("classification", 4, sample_shape=(1,), label_names=("a", "b", "c", "d"))
    with StoreWriter(tmp_path / "s", labels, notes) as writer:
        for y in ([0, 1, 1], [1, 3, 1, 1]):
            writer.append(np.array([len(y)]), {"x": np.zeros((len(y), 1), np.float32), "y": np.array(y)})
    census, told = told_of(open_store(tmp_path / "s"))
    assert (census["clients"], census["samples"], census["column"]) == (2, 7, "y")
    assert census["occurrences"] == [1, 5, 0, 1]
    assert (census["samples_per_client"]["min"], census["samples_per_client"]["max"]) == (3, 4)
    assert told == {"read": 9, "skipped": {"too small": 2}, "told": []}
    shown = CliRunner().invoke(app, ["info", str(tmp_path / "s")], env={"COLUMNS": "200"}).output
    assert "3 of 4 occur; most often 1 ('b'), 71.4%" in shown
    assert "9 rows; left out: 2 too small" in shown


def test_tokens_are_counted_and_a_slice_counts_only_its_own() -> None:
    census = Census(card("next_token", 5))
    rows = Ragged.of([[1, 2], [4], [1, 1, 1]], np.uint8)
    census.add({"tokens": rows.take(slice(1, 3))})
    assert census.record(np.array([2]))["occurrences"] == [0, 3, 0, 0, 1]


def test_a_task_without_labels_says_sizes_only() -> None:
    census = Census(card("regression", 1, sample_shape=(1,)))
    census.add({"x": np.zeros((2, 1)), "y": np.zeros(2)})
    assert sorted(census.record(np.array([2]))) == ["clients", "samples", "samples_per_client"]
