"""How the time of a round grows with its clients, and with the population that they are drawn from.

Clients return at once without training, so what is timed is the runtime alone, in one process.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks import stores
from benchmarks.rounds import Turns
from fedscale import Job, simulate
from fedscale.core.client import Client, ClientSamples, Model, TrainConf, TrainResult

Points = list[tuple[int, float]]


class Idle(Client):
    """Returns an update of zeros at once."""

    def train(self, client_data: ClientSamples, model: Model, conf: TrainConf) -> TrainResult:
        """Change nothing."""
        return TrainResult(delta=torch.zeros_like(model.origin), samples=len(client_data), loss=0.0)


def by_clients(participants: Sequence[int], rounds: int, folder: Path) -> Points:
    """Return median seconds per round for so many clients in a round, all of one population that is always online."""
    points = []
    for number in participants:
        store = stores.images(folder, clients=2 * max(participants), samples=5, shape=(4,), classes=2)
        points.append((number, _seconds(store, number, rounds, "off")))
    return points


def by_population(populations: Sequence[int], rounds: int, folder: Path, participants: int = 100) -> Points:
    """Return median seconds per round of 100 clients for so many clients in all, with the built-in availability."""
    points = []
    for number in populations:
        store = stores.images(folder, clients=number, samples=1, shape=(4,), classes=2)
        points.append((number, _seconds(store, participants, rounds, "builtin")))
    return points


def plot(points: Points, title: str, x: str, path: Path) -> None:
    """Write a page with the points on logarithmic axes, and a line for growth in proportion from the first."""
    from plotly.graph_objects import Figure

    numbers, seconds = zip(*points, strict=True)
    figure = Figure()
    figure.add_scatter(x=numbers, y=seconds, mode="lines+markers", name="measured")
    line = [seconds[0] * number / numbers[0] for number in numbers]
    figure.add_scatter(x=numbers, y=line, mode="lines", line={"dash": "dot"}, name="in proportion to the first")
    figure.update_layout(title=title, template="plotly_white")
    figure.update_xaxes(title=x, type="log")
    figure.update_yaxes(title="seconds per round (median)", type="log")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.write_html(path, include_plotlyjs="directory")


def _seconds(store: Path, participants: int, rounds: int, availability: str) -> float:
    job = Job.parse(
        {
            "data": {"name": str(store), "split": {"train": 1.0, "validation": 0.0, "test": 0.0}},
            "model": "logistic_regression",
            "local": {"steps": 1},
            "rounds": {"participants": participants, "count": rounds + 1, "over_commitment": 1.3},
            "availability": availability,
            "checkpoint_every": 1000,
        }
    )
    watch = Turns()
    with tempfile.TemporaryDirectory() as folder:
        simulate(job, Path(folder) / "run", workers=1, observer=watch, client=Idle)
    return statistics.median(watch.ours[1:])
