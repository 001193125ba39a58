"""What all tests share: a cache of datasets that lives as long as the session."""

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def dataset_cache(tmp_path_factory):
    """Keep generated datasets out of the user's cache; a cache named in the environment is used as it is."""
    if "FEDSCALE_CACHE" not in os.environ:
        os.environ["FEDSCALE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    return os.environ["FEDSCALE_CACHE"]
