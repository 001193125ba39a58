"""``testing_perf``: how good the model was and when, as the original FedScale wrote it, in both directions.

A pickle of a dictionary: ``data_set``, ``model``, ``sample_mode``, ``gradient_policy`` and ``task`` of the job, and
``perf``, an ordered dictionary from round to ``round``, ``clock`` (virtual seconds), ``loss`` (mean), ``top_1`` and
``top_5`` (percent) and ``test_len``. It is read without running it (`fedscale.traces.unpickle`).
"""

from __future__ import annotations

import math
import pickle
from collections import OrderedDict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fedscale import limits
from fedscale.errors import DataError, LogError, TraceError
from fedscale.files import read_bytes, write_bytes
from fedscale.jobfile import SHORT
from fedscale.traces.unpickle import load_plain

if TYPE_CHECKING:
    from fedscale.report.metrics import Metrics

PROTOCOL: Final = 3
"""Of the pickle: the original's readers, of Python 3.6, know it."""

TOP_1: Final = ("accuracy", "wer", "map")
"""Our metrics that the original kept as ``top_1``, times 100."""

TOP_5: Final = ("top5", "cer")
"""And as ``top_5``."""

_WORDS: Final = ("data_set", "model", "sample_mode", "gradient_policy", "task")


@dataclass(frozen=True)
class PerfRow:
    """One test of the global model.

    Attributes:
        round: the version, 0 before any training.
        clock: virtual seconds.
        loss: mean over samples.
        top_1, top_5: percent; for recognised speech, error rates of words and characters.
        test_len: samples; 0 where it was not kept.
    """

    round: int
    clock: float
    loss: float
    top_1: float
    top_5: float
    test_len: float = 0.0


@dataclass(frozen=True)
class Perf:
    """What is in the file: of which job, and its tests in order."""

    data_set: str
    model: str
    sample_mode: str
    gradient_policy: str
    task: str
    perf: tuple[PerfRow, ...]


def read_testing_perf(path: Path) -> Perf:
    """Read a file of the original's, or of ours.

    Raises:
        DataError: it cannot be read or is none; the message names round, key and value.
    """
    content = _content(path)
    if not isinstance(content, dict) or not isinstance(content.get("perf"), dict):
        raise DataError(f"{path}: must be a dictionary with perf, a dictionary of tests, in it")
    words = {key: "" if content.get(key) is None else str(content[key]) for key in _WORDS}
    return Perf(**words, perf=tuple(_tested(path, key, row) for key, row in content["perf"].items()))


def _content(path: Path) -> Any:
    try:
        return load_plain(read_bytes(path, limits.TESTING_PERF_BYTES), path)
    except TraceError as error:
        raise DataError(str(error)) from None


def _tested(path: Path, key: object, row: object) -> PerfRow:
    if not isinstance(row, dict):
        raise DataError(f"{path} round {SHORT.repr(key)}: must be a dictionary, not {SHORT.repr(row)}")
    found = {"round": key, "test_len": 0, **row}
    numbers = {}
    for name in ("round", "clock", "loss", "top_1", "top_5", "test_len"):
        value = found.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise DataError(f"{path} round {SHORT.repr(key)}: {name} is {SHORT.repr(value)}; it must be a number")
        numbers[name] = float(value)
    if not numbers["round"].is_integer():
        raise DataError(f"{path} round {SHORT.repr(key)}: round is {numbers['round']:g}; it must be a whole number")
    return PerfRow(int(numbers.pop("round")), **numbers)


def write_testing_perf(found: Perf, path: Path) -> None:
    """Write the file as the original did: dictionaries, texts and numbers, nothing else."""
    rows = OrderedDict((test.round, asdict(test)) for test in found.perf)
    words = {key: getattr(found, key) for key in _WORDS}
    write_bytes(path, pickle.dumps({**words, "perf": rows}, protocol=PROTOCOL))


def perf_of(metrics: Metrics) -> Perf:
    """Return the tests of a run; a metric that is a share of 1 becomes percent, one that there is not becomes NaN.

    Raises:
        LogError: no test has a metric that the original kept.
    """
    job, rows = metrics.job["job"], metrics.evaluations.to_pylist()
    top_1 = next((name for name in TOP_1 if name in metrics.evaluations.column_names), None)
    top_5 = next((name for name in TOP_5 if name in metrics.evaluations.column_names), "")
    if rows and (top_1 is None or rows[0][top_1] is None):
        raise LogError(f"testing_perf keeps {', '.join(TOP_1)}, and this run was tested by {metrics.metric}")
    tests = (
        PerfRow(
            row["version"],
            row["t"],
            _number(row.get("loss")),
            100 * _number(row[top_1]),
            100 * _number(row.get(top_5)),
            row["samples"],
        )
        for row in rows
    )
    model = (job["model"] or {}).get("name", "")
    policy = job["server"]["name"]
    return Perf(job["data"]["name"], model, job["selector"]["name"], policy, metrics.metric, tuple(tests))


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
