"""A client that keeps a state from task to task, and a check of what it kept; shared by several tests."""

from fedscale import Job
from fedscale.report.log import read_log

COUNTS = """
import os
import time
import torch
from fedscale.core.client import Client

LENGTH = 3

class Counts(Client):
    \"\"\"Keeps how many of its tasks completed, its number, and its latest update's sum, which changes the next.

    It takes as many seconds as the environment says.
    \"\"\"

    @classmethod
    def state_length(cls, model):
        return LENGTH

    def train(self, client_data, model, conf):
        time.sleep(float(os.environ.get("SECONDS", 0)))
        before = client_data.state
        result = super().train(client_data, model, conf)
        assert before is None or before[1] == conf.client
        count, latest = (0.0, 0.0) if before is None else (float(before[0]), float(before[2]))
        result.delta = result.delta + latest / 1000
        result.state = torch.zeros(LENGTH)
        result.state[:3] = torch.tensor([count + 1, conf.client, float(result.delta.sum())])
        result.metrics["count"] = count
        if before is not None:
            before.fill_(float("nan"))  # its own copy
        return result

    def test(self, client_data, model, conf):
        result = super().test(client_data, model, conf)
        count = 0.0 if client_data.state is None else float(client_data.state[0])
        result.sums["count"] = count * result.count
        return result
"""

SIZED = """
    def serialize_results(self, result):
        return bytes(1000 + int(result.state[0]))
"""

ILL = """
class Ill(Counts):
    def train(self, client_data, model, conf):
        result = super().train(client_data, model, conf)
        if conf.client % 5 == 0:
            result.state[0] = float("nan")
        if conf.client % 5 == 1:
            result.state = result.state[:2]
        if conf.client % 5 == 2:
            raise ValueError
        return result
"""


def job(plugin, **sections):
    values = {
        "data": {
            "name": "synthetic",
            "clients": 24,
            "samples": 20,
            "classes": 4,
            "split": {"within_client": 0.25, "train": 1.0, "validation": 0.0, "test": 0.0},
        },
        "local": {"epochs": 1, "batch_size": 8, "lr": 0.1},
        "rounds": {"participants": 9, "over_commitment": 1.3, "count": 6},
        "evaluate": {"every": 1, "split": "held_out"},
        "availability": "off",
        "checkpoint_every": 1,
        "plugins": [plugin],
    }
    return Job.parse(values | sections)


def check_counts(log):
    """See to it that each tested client's state counted its completed tasks; return the sum of all counts."""
    done, records = {}, list(read_log(log))
    for record in records:
        if record["kind"] == "task" and record["fate"] == "completed":
            done[record["client"]] = done.get(record["client"], 0) + 1
        if record["kind"] == "evaluate":
            found = zip(record["clients"], record["sums"]["count"], record["count"], strict=True)
            assert [(client, sums / count) for client, sums, count in found] == [
                (client, done.get(client, 0)) for client in record["clients"]
            ]
    return done
