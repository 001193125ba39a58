"""A short job in which all that can happen does: every fate, abandoned attempts, jumps, hooks with state."""

import os
import subprocess
import sys
import time
from pathlib import Path

import yaml

PLUGIN = '''
import time

import torch

from fedscale.core.aggregator import Aggregator
from fedscale.core.client import Client
from fedscale.core.client_manager import ClientManager
from fedscale.outcomes import Fate


class Moody(Client):
    """Takes some real time; clients 5 and 17 raise, clients 11 and 31 return NaN."""

    def train(self, client_data, model, conf):
        time.sleep(0.002)
        if conf.client in (5, 17):
            raise ValueError(f"client {conf.client} has no luck")
        result = super().train(client_data, model, conf)
        if conf.client in (11, 31):
            result.delta[0] = float("nan")
        return result


class Lenient(ClientManager):
    """Leaves out, for one selection, the clients that went away in the attempt before."""

    tired = ()

    def select_participants(self, num_of_clients, cur_time, feedbacks):
        if feedbacks:
            self.tired = tuple(outcome.client for outcome in feedbacks if outcome.fate is Fate.DROPPED)
        chosen = super().select_participants(num_of_clients, cur_time, feedbacks)
        fresh = [int(client) for client in chosen if client not in self.tired]
        return fresh or chosen

    def state(self):
        return {**super().state(), "tired": list(self.tired)}

    def restore(self, state):
        super().restore(state)
        self.tired = tuple(state["tired"])


class Momentum(Aggregator):
    """Server momentum by hand: what it keeps between rounds decides all later parameters."""

    velocity = None

    def round_completion_handler(self, outcomes):
        before = torch.zeros_like(outcomes.mean_update) if self.velocity is None else self.velocity
        self.velocity = 0.5 * before + outcomes.mean_update
        self.vector = self.vector + self.velocity

    def state(self):
        return {**super().state(), **({} if self.velocity is None else {"velocity": self.velocity})}

    def restore(self, state):
        super().restore(state)
        self.velocity = state.get("velocity")
'''


def slots(clients: int) -> str:
    """Return a table in which clients come and go, and everyone is away at the end of each period."""
    rows = ["client_id,start,end,period"]
    for client in range(clients):
        start = client * 37 % 250
        rows.append(f"{client},{start},{start + 60 + client * 53 % 200},600")
    return "\n".join(rows) + "\n"


def write_job(folder: Path, clients: int = 80, **changes: object) -> Path:
    """Write the job and its files into ``folder`` and return the path of the job."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "slots.csv").write_text(slots(clients))
    (folder / "moody.py").write_text(PLUGIN)
    job = {
        "name": "rough",
        "data": {
            "name": "synthetic",
            "clients": clients,
            "samples": 30,
            "size_skew": 1.0,
            "split": {"train": 0.75, "validation": 0.0, "test": 0.25},
        },
        "local": {"steps": 5, "batch_size": 10, "lr": 0.05},
        "rounds": {"participants": 10, "over_commitment": 1.5, "deadline": 200, "min_share": 0.3, "count": 24},
        "availability": {"source": "csv", "file": "slots.csv", "assign": "in_order"},
        "cost": {"payload_bytes": 5_000_000},
        "evaluate": {"every": 4},
        "checkpoint_every": 3,
        "plugins": ["moody.py"],
    }
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(job | changes))
    return path


def command(*arguments: object) -> list[str]:
    """Return the command line of ``fedscale`` with the arguments given."""
    return [sys.executable, "-m", "fedscale.cli.main", *map(str, arguments)]


def run(*arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run ``fedscale`` in a process of its own, to the end."""
    env = {**os.environ, "COLUMNS": "200", **environment}
    return subprocess.run(command(*arguments), capture_output=True, text=True, env=env, timeout=120, check=False)


def start(*arguments: object) -> "subprocess.Popen[str]":
    """Start ``fedscale`` in a process (and a process group) of its own."""
    return subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def facts(directory: Path) -> tuple[bytes, bytes]:
    """Return what must not depend on any fault: the log and the final model."""
    return (directory / "log.jsonl").read_bytes(), (directory / "model.safetensors").read_bytes()


def await_attempts(directory: Path, count: int, process: "subprocess.Popen[str]") -> None:
    """Wait until a run under way has ended ``count`` attempts."""
    timings = directory / "timings.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if timings.exists() and timings.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.002)
    raise AssertionError(f"the run did not get as far as attempt {count}: {process.poll()}")
