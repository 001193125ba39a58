"""How fast raw files become a store, and how much memory that takes: millions of rows, in the layouts of two owners."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.csv

from benchmarks.children import environment
from benchmarks.memory import Footprint, watch
from fedscale import seeds
from fedscale.data.catalogue import DATASETS
from fedscale.data.notes import Notes
from fedscale.data.store import open_store

CHUNK: Final = 200_000
"""Rows that are generated together."""

ADS: Final = 800_000
"""Advertisements; the owner has 846,811."""

WAYS: Final = 2_000
"""Different ways of taxis that are generated."""

CASES: Final = (("taobao", 1_000_000, 200_000), ("taobao", 5_000_000, 200_000), ("taxi", 200_000, 442))
"""What is measured: dataset, rows, clients."""


def measure(name: str, rows: int, clients: int, folder: Path) -> tuple[float, Footprint, float]:
    """Import generated raw files in a process of its own.

    Returns:
        rows a second, the most memory that it took, and the median of the seconds to open the store.
    """
    raw, store = folder / f"{name}-{rows}", folder / f"{name}-{rows}-store"
    raw.mkdir()
    GENERATORS[name](raw, rows, clients)
    command = [sys.executable, "-m", "benchmarks.imports", name, str(raw), str(store)]
    child = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
    most = watch(child)
    assert child.stdout is not None
    seconds = float(child.stdout.read())
    return rows / seconds, most, statistics.median(_opened(store) for _ in range(9))


def _opened(store: Path) -> float:
    begin = time.perf_counter()
    dataset = open_store(store)
    dataset.client(len(dataset) // 2)
    return time.perf_counter() - begin


def taobao(raw: Path, rows: int, clients: int) -> None:
    """Write impressions of advertisements, and what is known of as many as the owner's files have."""
    rng = seeds.rng(1, "taobao")
    ads = np.arange(ADS)
    columns = {name: rng.integers(1, 200_000, ADS) for name in ("cate_id", "campaign_id", "customer", "brand")}
    _write(raw / "ad_feature.csv", {"adgroup_id": ads, **columns, "price": rng.integers(1, 99_999, ADS) / 100})
    known = {name: rng.integers(1, 3, clients) for name in ("cms_segid", "cms_group_id", "final_gender_code")}
    levels = ("age_level", "pvalue_level", "shopping_level", "occupation", "new_user_class_level ")
    known |= {name: rng.integers(1, 2, clients) for name in levels}
    _write(raw / "user_profile.csv", {"userid": np.arange(clients), **known})
    with (raw / "raw_sample.csv").open("wb") as file:
        for start in range(0, rows, CHUNK):
            size = min(CHUNK, rows - start)
            clicks = rng.integers(0, 2, size)
            impressions = {
                "user": rng.integers(0, clients, size),
                "time_stamp": rng.integers(1_494_000_000, 1_494_700_000, size),
                "adgroup_id": rng.integers(0, ADS, size),
                "pid": np.where(clicks, "430548_1007", "430539_1007"),
                "nonclk": 1 - clicks,
                "clk": clicks,
            }
            options = pyarrow.csv.WriteOptions(include_header=start == 0, quoting_style="none")
            pyarrow.csv.write_csv(pa.table(impressions), file, options)


def taxi(raw: Path, rows: int, clients: int) -> None:
    """Write trips of 5 to 80 points, as Porto's taxis make them (47 in the mean)."""
    rng = seeds.rng(1, "taxi")
    steps = [np.cumsum(rng.normal(0, 0.001, (int(size), 2)), axis=0) for size in rng.integers(5, 90, WAYS)]
    ways = [str(np.round(step + np.array([-8.62, 41.16]), 6).tolist()).replace(" ", "") for step in steps]
    names = "TRIP_ID CALL_TYPE ORIGIN_CALL ORIGIN_STAND TAXI_ID TIMESTAMP DAY_TYPE MISSING_DATA POLYLINE"
    with (raw / "train.csv").open("w") as file:
        file.write(",".join(f'"{name}"' for name in names.split()) + "\n")
        for start in range(0, rows, CHUNK):
            size = min(CHUNK, rows - start)
            drawn = zip(rng.integers(0, clients, size), rng.integers(0, WAYS, size), strict=True)
            file.writelines(
                f'"T{start}","C","","","{taxi}","1372636858","A","False","{ways[way]}"\n' for taxi, way in drawn
            )


def _write(path: Path, columns: dict[str, np.ndarray]) -> None:  # type: ignore[type-arg]
    pyarrow.csv.write_csv(pa.table(columns), path, pyarrow.csv.WriteOptions(quoting_style="none"))


GENERATORS: Final[dict[str, Callable[[Path, int, int], None]]] = {"taobao": taobao, "taxi": taxi}


def _import(name: str, raw: Path, store: Path) -> None:
    begin = time.perf_counter()
    DATASETS.build(name, {"raw": raw}).write(store, Notes())
    sys.stdout.write(f"{time.perf_counter() - begin}\n")


if __name__ == "__main__":
    _import(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
