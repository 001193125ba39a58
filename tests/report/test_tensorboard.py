from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from fedscale.errors import MissingExtraError
from fedscale.report.tensorboard import write_tensorboard


def read_events(directory: Path) -> Any:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(directory))
    events.Reload()
    return events


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of TensorBoard's own imports
def test_scalars_by_round_and_by_second(three_clients: Path, tmp_path: Path) -> None:
    write_tensorboard(three_clients / "log.jsonl", tmp_path / "events")
    events = read_events(tmp_path / "events")

    def scalars(tag: str) -> list[tuple[int, float]]:
        return [(event.step, round(event.value, 6)) for event in events.Scalars(tag)]

    assert scalars("by_round/evaluate/accuracy") == [(1, 0.4), (3, 0.78)]
    assert scalars("by_second/evaluate/accuracy") == [(7, 0.4), (307, 0.78)]
    assert scalars("by_round/train/loss") == [(1, 1.6), (2, 1.5), (3, 0.9)]
    assert scalars("by_round/total/wasted_seconds") == [(1, 7), (2, 18), (3, 20)]
    assert [event.wall_time for event in events.Scalars("by_round/train/loss")] == [7, 18, 307]


def test_without_tensorboard(three_clients: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name == "torch.utils.tensorboard":
            raise ImportError(name)
        return original(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'fedscale\[tensorboard\]'"):
        write_tensorboard(three_clients / "log.jsonl", tmp_path / "events")
    assert not (tmp_path / "events").exists()
