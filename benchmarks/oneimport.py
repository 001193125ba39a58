"""``python -m benchmarks.oneimport NAME RAW STORE``: import raw files, and say how many seconds it took.

It loads nothing that an import does not need, so that its memory is that of the import; and that late, since the
processes that decode load this file, too.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path


def write(name: str, raw: Path, store: Path) -> None:
    """Import the files that ``benchmarks.rawfiles`` generated under this name."""
    from benchmarks.rawfiles import FEATURES
    from fedscale.data import own
    from fedscale.data.catalogue import DATASETS
    from fedscale.data.notes import Notes

    if name == "own CSV":
        own.from_csv(raw / "rows.csv", store, client="user", x=FEATURES, y="label")
    else:
        DATASETS.build(name, {"raw": raw}).write(store, Notes())


if __name__ == "__main__":
    import fedscale.data.catalogue
    import fedscale.data.own  # noqa: F401 - what is timed is the import of files

    begin = time.perf_counter()
    write(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
    sys.stdout.write(f"{time.perf_counter() - begin}\n")
