"""``python -m benchmarks [--quick] [--out FOLDER] [NAMES...]``: one table for each subject."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    from benchmarks.subjects import SUBJECTS, Place

    console, aside = Console(), Console(stderr=True, style="dim", highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FEDSCALE_CACHE"] = folder  # what is generated here is of no use to anybody later
        place = Place(arguments.out, Path(folder))
        for name in arguments.names or SUBJECTS:
            subject = SUBJECTS[name]
            table = Table(*filter(None, subject.headings), title=subject.title, title_justify="left")
            for row in subject.rows(arguments.quick, place):
                table.add_row(*row[: len(table.columns)])
                aside.print(f"{name}: {', '.join(filter(None, row))}", markup=False)
            console.print(table)


def _arguments() -> argparse.Namespace:
    from benchmarks.subjects import SUBJECTS

    parser = argparse.ArgumentParser("python -m benchmarks", description="Measure speed and memory.")
    subjects = "; ".join(f"{name}: {subject.title}" for name, subject in SUBJECTS.items())
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure (by default everything). {subjects}")
    parser.add_argument("--quick", action="store_true", help="small sizes, for a look: the figures mean little")
    parser.add_argument("--out", type=Path, default=HERE / "out", help="folder for plots (benchmarks/out)")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in SUBJECTS]:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(SUBJECTS)}")
    return arguments


if __name__ == "__main__":
    main()
