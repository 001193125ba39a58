"""Rows of any order come out by client, in memory or through files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedscale import limits
from fedscale.data.gather import Gather
from fedscale.data.identity import client_digest, client_keys, client_order


def expected(names: list[str]) -> dict[str, list[int]]:
    """Rows of each client, clients by digest: by the definition, one row at a time."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(name, []).append(row)
    return dict(sorted(rows.items(), key=lambda item: hashlib.blake2b(item[0].encode(), digest_size=16).digest()))


def gathered(gather: Gather, clients: int | None = None) -> list[list[int]]:
    found: list[list[int]] = []
    for group in gather.groups(clients):
        rows = group.rows.column("row").to_pylist()
        assert len(rows) == group.counts.sum()
        found += [part.tolist() for part in np.split(np.array(rows), np.cumsum(group.counts)[:-1])]
    return found


def fill(gather: Gather, names: list[str], batch: int) -> None:
    for start in range(0, len(names), batch):
        part = names[start : start + batch]
        rows = pa.table({"row": pa.array(range(start, start + len(part)))})
        gather.add(pa.array(part, pa.large_string()), rows)


@given(st.lists(st.sampled_from([f"client {n}" for n in range(12)]), max_size=60), st.integers(1, 20), st.booleans())
def test_rows_come_by_client_in_the_order_in_which_they_came(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], batch: int, in_files: bool
) -> None:
    gather = Gather(tmp_path_factory.mktemp("rows"), memory=0 if in_files else 1 << 30)
    fill(gather, names, batch)
    assert gathered(gather) == list(expected(names).values())
    assert gathered(gather) == list(expected(names).values())  # as often as wanted


def test_the_first_clients_are_the_same_however_the_rows_came(tmp_path: Path) -> None:
    names = [f"c{row % 40}" for row in range(400)]
    gather = Gather(tmp_path)
    fill(gather, names, 7)
    assert gathered(gather, clients=5) == list(expected(names).values())[:5]


def test_groups_hold_whole_clients_and_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GROUP_BYTES", 800)  # 100 rows of 8 bytes
    gather = Gather(tmp_path)
    fill(gather, [f"c{row % 20}" for row in range(600)], 50)  # 30 rows each
    assert [group.counts.tolist() for group in gather.groups()] == [[30, 30, 30]] * 6 + [[30, 30]]
    assert [group.counts.tolist() for group in gather.groups(together=60)] == [[30, 30]] * 10
    assert [group.counts.tolist() for group in gather.groups(3, together=1)] == [[30]] * 3


def test_files_are_used_beyond_the_memory_that_is_allowed(tmp_path: Path) -> None:
    gather = Gather(tmp_path, memory=1000)
    fill(gather, [f"c{row}" for row in range(500)], 100)
    assert len(list(tmp_path.iterdir())) > 100
    assert sorted(row for rows in gathered(gather) for row in rows) == list(range(500))


def test_digests_and_their_order() -> None:
    assert client_digest("a") == hashlib.blake2b(b"a", digest_size=16).digest() == client_digest(b"a")
    names = ["x", "y", "z", "x"]
    keys = client_keys(pa.array(names))
    assert keys[0].tolist() == keys[3].tolist()
    assert int(keys[1, 0]) == int.from_bytes(client_digest("y")[:8], "big")
    assert [names[place] for place in client_order(names[:3])] == sorted("xyz", key=client_digest)
