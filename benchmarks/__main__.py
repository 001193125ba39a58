"""``python -m benchmarks [--quick]``: one table of all measurements."""

from __future__ import annotations

import statistics
import sys
from itertools import chain

from rich.console import Console
from rich.table import Table

from benchmarks import overhead, queries


def main() -> None:
    """Measure and print."""
    quick = "--quick" in sys.argv[1:]
    console = Console()
    _overhead(console, quick)
    _queries(console, 100_000 if quick else 1_800_000)


def _overhead(console: Console, quick: bool) -> None:
    table = Table(title="A round by FedScale (in process, one thread) against the same steps by a bare loop")
    for heading in ("model", "clients", "FedScale", "bare loop", "ratio: median", "of pairs"):
        table.add_column(heading)
    cases = [("mlp", 1000, 5), ("femnist_cnn", 100, 3)] if not quick else [("mlp", 100, 3), ("femnist_cnn", 5, 3)]
    for model, clients, rounds in cases:
        ours, bare, ratios = overhead.measure(model, clients, rounds)
        pairs = f"{min(ratios):.3f} … {max(ratios):.3f}"
        row = (f"{ours:.2f} s", f"{bare:.2f} s", f"{statistics.median(ratios):.3f}", pairs)
        table.add_row(model, str(clients), *row)
    console.print(table)


def _queries(console: Console, clients: int) -> None:
    table = Table(title=f"Questions to a population and a data set of {clients:,} clients")
    table.add_column("question")
    table.add_column("median")
    for question, seconds in chain(queries.measure(clients), queries.measure_store(clients)):
        table.add_row(question, f"{seconds * 1e3:.2f} ms")
    console.print(table)


if __name__ == "__main__":
    main()
