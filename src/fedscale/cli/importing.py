"""Progress of an import, and what is said at its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedscale.data.notes import Notes, Progress


@contextmanager
def progress(name: str) -> Iterator[Progress]:
    """Show how far the import of ``name`` has come, one bar for each stage, on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.fields[dataset]}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} {task.description}"),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        stages: dict[str, TaskID] = {}

        def told(stage: str, done: int, total: int | None) -> None:
            if stage not in stages:
                for shown in stages.values():
                    bars.update(shown, visible=False)
                stages[stage] = bars.add_task(stage, dataset=name, total=total)
            bars.update(stages[stage], completed=done, total=total)

        yield told


def summary(notes: Notes) -> list[str]:
    """Say what users should know of an import, and how many rows were left out, why, and where the first one was."""
    lines = [f"note: {sentence}" for sentence in notes.told]
    for reason, rows in sorted(notes.skipped.items()):
        where = f", the first at {notes.first[reason]}" if notes.first.get(reason) else ""
        lines.append(f"left out: {rows:,} of {notes.read:,} rows: {reason}{where}")
    return lines
