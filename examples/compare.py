"""Three algorithms on the same clients, devices and seed, and one page that compares them.

Run it from anywhere::

    python examples/compare.py --out runs/compared

FedProx changes what clients minimise, FedYogi how the server applies their mean update.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import fedscale
from fedscale.report.page import write_report

ALGORITHMS = {
    "fedavg": [],
    "fedprox": ["local.objective.name=fedprox", "local.objective.mu=0.1"],
    "fedyogi": ["server.name=fedyogi", "server.lr=0.02"],
}
"""Settings by which the jobs differ; everything else, the seed included, is the same."""


def compare(out: Path, rounds: int, workers: int | None) -> Path:
    digits = fedscale.recipe("digits")
    for name, settings in ALGORITHMS.items():
        job = digits.with_settings([f"name={name}", f"rounds.count={rounds}", *settings])
        run = fedscale.simulate(job, out / name, workers=workers)
        head = run.metrics.headline
        print(f"{name:8} accuracy {head['final']:.3f} after {head['virtual_seconds']:,.0f} virtual seconds")
    page = out / "comparison.html"
    write_report([out / name for name in ALGORITHMS], page)
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/compared"), help="directory to write")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--workers", type=int, help="processes to train with; by default one per core")
    arguments = parser.parse_args()
    print(f"Report: {compare(arguments.out, arguments.rounds, arguments.workers)}")


if __name__ == "__main__":
    main()
