"""Real clients in other programs: one client's samples by NumPy, PyTorch, Hugging Face, Flower and pandas.

    pip install 'fedscale[digits,huggingface,pandas]'
    python examples/elsewhere.py

Nothing of FedScale but its datasets is used; see docs/elsewhere.md.
"""

import tempfile
from pathlib import Path

import datasets
import pandas as pd
import torch

from fedscale import load_dataset
from fedscale.data.exports import export
from fedscale.data.frameworks.flower import flower_partitioner
from fedscale.data.frameworks.huggingface import huggingface_dataset
from fedscale.data.frameworks.torch import loader
from fedscale.data.partitions import partitioned

CLIENT = 3


def by_numpy(digits):
    client = digits[CLIENT]
    return client["x"].shape, client["y"].mean()


def by_torch(digits):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(20):
        for x, y in loader(digits, CLIENT, batch_size=32):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
    return loss.item()


def by_huggingface(digits):
    everything = huggingface_dataset(digits)
    return everything.filter(lambda row: row["client"] == CLIENT).num_rows


def by_flower(digits):
    partitioner = flower_partitioner(digits)  # in a client_fn: partitioner.load_partition(context.node_config[...])
    divided = partitioner.load_partition(CLIENT).train_test_split(test_size=0.2, seed=1)
    return partitioner.num_partitions, divided["train"].num_rows, divided["test"].num_rows


def by_pandas(digits, folder):
    export(partitioned(digits, "iid"), folder / "digits", "parquet")
    frame = pd.read_parquet(folder / "digits" / "samples.parquet")
    return frame.groupby("client")["y"].mean()


if __name__ == "__main__":
    datasets.disable_progress_bars()
    digits = load_dataset("digits")
    print("numpy:", *by_numpy(digits))
    print(f"torch: loss {by_torch(digits):.2f}")
    print("hugging face:", by_huggingface(digits), "samples of this client")
    print("flower:", *by_flower(digits))
    with tempfile.TemporaryDirectory() as folder:
        print(
            f"pandas: mean label of client {CLIENT} in the shuffled set {by_pandas(digits, Path(folder))[CLIENT]:.2f}"
        )
