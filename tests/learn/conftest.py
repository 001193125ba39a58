"""The small regression of `regression`, for all tests of this room."""

import pytest
import torch
from regression import CLASSES, FEATURES, SIZES, load_clients, trained

from fedscale.data.catalogue import load_dataset


@pytest.fixture
def one_thread():
    """Let torch compute on one core, as in workers: threads that wait for one another are slow on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def clients(dataset_cache):
    """The data of every client: features with a 1 behind them, and one-hot labels."""
    return load_clients(load_dataset("synthetic", seed=1, sizes=tuple(SIZES), classes=CLASSES, shape=(FEATURES,)))


@pytest.fixture(scope="module")
def start(tmp_path_factory, dataset_cache):
    """The initial weights: those that a round with next to no rate leaves as they are."""
    settings = {"local": {"lr": 1e-30}, "rounds": {"count": 1}}
    return trained(tmp_path_factory.mktemp("start"), "run", **settings)
