"""Downloads as a person sees them: what is coming, how far it is, and a question before large ones."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

    from fedscale.data.card import Card
    from fedscale.data.download import Watcher


class Bars:
    """A bar on the terminal for the file that is coming."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bar = progress.add_task("", total=None, visible=False)

    def begin(self, name: str, done: int, total: int | None) -> None:
        """Show a file; speed is that of this attempt."""
        self._progress.reset(self._bar, description=name, completed=done, total=total, visible=True)

    def advance(self, done: int) -> None:
        """Show how far it is."""
        self._progress.update(self._bar, completed=done)

    def notice(self, message: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(message, markup=False, highlight=False)


@contextmanager
def watching() -> Iterator[Watcher]:
    """Show downloads on standard error, if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from fedscale.data.download import UNWATCHED

    console = Console(stderr=True)
    if not console.is_terminal:
        yield UNWATCHED
        return
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}", markup=False), *columns, console=console) as progress:
        yield Bars(progress)


@contextmanager
def raw_files(card: Card, to: Path | None, *, keep: bool) -> Iterator[Path]:
    """Obtain the raw files of a dataset for an import, and remove them after it unless they are wanted.

    Raises:
        FetchError: they are not to be had without a person, or the download failed.
        WriteError: the system refuses to write, or the disk has too little room.
    """
    from fedscale.data.owner import collect, is_free, raw_directory, size_of

    directory = to or raw_directory(card.name)
    if is_free(card):
        size, words = size_of(card.files)
        typer.echo(f"{card.name}: {words} from {card.source} into {directory}", err=True)
        _ask(size)
    with watching() as watcher:
        raw = collect(card, directory, watcher)
    yield raw
    if keep or to is not None:
        typer.echo(f"raw files: {raw}", err=True)
    else:
        shutil.rmtree(directory)


def _ask(size: int) -> None:
    from fedscale import limits

    if size > limits.ASKED_BYTES and sys.stdin.isatty() and sys.stderr.isatty():
        typer.confirm("Download it?", abort=True, err=True)
