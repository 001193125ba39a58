"""The rough job, and what an undisturbed run of it leaves; shared by all tests here."""

import pytest
import rough


@pytest.fixture(scope="session")
def rough_job(dataset_cache, tmp_path_factory):
    """The path of the rough job."""
    return rough.write_job(tmp_path_factory.mktemp("rough"))


@pytest.fixture(scope="session")
def undisturbed(rough_job, tmp_path_factory):
    """The directory of a run of the rough job that nothing befell: one worker, from the command line."""
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    done = rough.run("run", rough_job, "--out", out, "--workers", 1, PYTHONHASHSEED="0", TZ="UTC", LC_ALL="C.UTF-8")
    assert done.returncode == 0, done.stderr
    return out
