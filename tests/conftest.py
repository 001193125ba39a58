"""What all tests share: a cache of datasets, tables of names that tests leave as they were, settings of hypothesis."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from clusters import cluster_of_one
from fedscale.data.catalogue import DATASETS
from fedscale.learn.attacks import ATTACKS
from fedscale.learn.backends import BACKENDS
from fedscale.learn.codecs import CODECS
from fedscale.learn.models import MODELS
from fedscale.learn.objectives import OBJECTIVES
from fedscale.learn.rules import RULES
from fedscale.learn.server import SERVER_OPTIMIZERS
from fedscale.recipes import RECIPES
from fedscale.select import SELECTORS
from fedscale.simulation.progress import Silent

# No deadline: machines differ, and a first call imports. A failing example is printed so that it can be run again.
settings.register_profile("fedscale", deadline=None, print_blob=True)
settings.load_profile("fedscale")


def pytest_xdist_auto_num_workers(config):
    """Return two processes for folders and several files of tests, and none but this for one file.

    Each of two computes with one thread: threads that are more than the processors spend their time in waiting.
    """
    places = {argument.partition("::")[0] for argument in config.args}
    if len(places) == 1 and Path(*places).is_file():
        return 0
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    return 2


def pytest_make_parametrize_id(val):
    """Name bytes by what they are: archives hold the time, and both processes must have tests of the same names."""
    return "bytes" if isinstance(val, bytes) else None


@pytest.fixture(scope="session", autouse=True)
def dataset_cache(tmp_path_factory):
    """Keep generated datasets out of the user's cache; a cache named in the environment is used as it is."""
    if "FEDSCALE_CACHE" not in os.environ:
        os.environ["FEDSCALE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    return os.environ["FEDSCALE_CACHE"]


@pytest.fixture(autouse=True)
def tables_as_they_were():
    """Forget the names that a test's plugins registered, and the plugins."""
    tables = (ATTACKS, BACKENDS, CODECS, DATASETS, MODELS, OBJECTIVES, RECIPES, RULES, SELECTORS, SERVER_OPTIMIZERS)
    before = [(table, dict(table._entries)) for table in tables]
    yield
    for table, entries in before:
        table._entries = entries
    for name in [name for name in sys.modules if name.startswith("fedscale_plugin_")]:
        del sys.modules[name]


class StopAfter(Silent):
    """Asks a run to stop after so many attempts."""

    def __init__(self, attempts):
        self.left = attempts

    def attempt(self, progress):
        self.left -= 1

    def stop_asked(self):
        return self.left <= 0


@pytest.fixture
def stop_after():
    """An observer, given a number of attempts, that asks the run to stop then."""
    return StopAfter


@pytest.fixture(params=[1, pytest.param(2, marks=pytest.mark.soak)], ids="resumed by {}".format)
def resumed_by(request):
    """Workers that go on with a run which two began; to start two more takes seconds."""
    return request.param


@pytest.fixture(scope="module")
def open_doors():
    """Clusters of tests live for seconds on this machine alone: no token is made for them in the user's home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        yield


@pytest.fixture(scope="module")
def nodes(dataset_cache, open_doors):
    """A cluster of one node with one CPU; tests may add others, which are taken away again."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'fedscale[ray]'")
    with cluster_of_one() as cluster:
        yield cluster
