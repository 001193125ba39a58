"""Each job in examples/jobs runs, all names that a job may give occur in one, and docs/examples.md lists them."""

from functools import cache
from pathlib import Path

import pytest

from fedscale import simulate
from fedscale.core.staleness import STALENESS
from fedscale.data.catalogue import DATASETS
from fedscale.data.partitions import PARTITIONS
from fedscale.job import Job
from fedscale.learn.adapters import ADAPTERS
from fedscale.learn.algorithms import ALGORITHMS
from fedscale.learn.attacks import ATTACKS
from fedscale.learn.codecs import CODECS
from fedscale.learn.objectives import OBJECTIVES
from fedscale.learn.privacy import PRIVACY
from fedscale.learn.rules import RULES
from fedscale.learn.secure import SECURE
from fedscale.learn.server import SERVER_OPTIMIZERS
from fedscale.report.check import check_log
from fedscale.report.log import read_log
from fedscale.section import Component
from fedscale.select import SELECTORS

ROOT = Path(__file__).parent.parent
JOBS = sorted((ROOT / "examples" / "jobs").glob("*.yaml"))

PARTS = {
    "data.partition": PARTITIONS,
    "adapters": ADAPTERS,
    "algorithm": ALGORITHMS,
    "aggregation": RULES,
    "asynchronous.staleness": STALENESS,
    "attack": ATTACKS,
    "compression.down": CODECS,
    "compression.up": CODECS,
    "local.objective": OBJECTIVES,
    "privacy": PRIVACY,
    "secure_aggregation": SECURE,
    "selector": SELECTORS,
    "server": SERVER_OPTIMIZERS,
}
"""Where a job names something, and the table that has the name."""

SMALL = {"rounds.count": 2, "rounds.participants": 5, "evaluate.every": 2, "engine": "plain"}
"""Settings with which a job takes a fraction of a second. Krum needs five updates if one of them may be an attacker's.
The vectorised engine tries itself out first, in as much time as a run takes here."""


@cache
def loaded(path: Path) -> Job:
    return Job.load(path)


def chosen(job: Job, place: str) -> Component | None:
    part = job
    for key in place.split("."):
        part = getattr(part, key, None)
    return part


@pytest.mark.parametrize(
    ("place", "name"),
    [(place, name) for place, table in PARTS.items() if place != "compression.down" for name in table.names()],
)
def test_every_name_occurs_in_an_example(place, name):
    places = [place, "compression.down"] if place == "compression.up" else [place]
    found = {component.name for path in JOBS for at in places if (component := chosen(loaded(path), at))}
    assert name in found, (
        f"no job in examples/jobs has `{place}: {name}`: add one as a user would write it, with two lines of comment "
        "(what it shows, the paper), and its line to docs/examples.md"
    )


def small(job: Job) -> Job:
    """Return the job with few clients and rounds; the largest download of them all is left out."""
    settings = SMALL | ({"asynchronous.concurrency": 6, "asynchronous.refill": 2} if job.asynchronous else {})
    if job.data.name == "synthetic":
        settings["data.clients"] = 40
    if job.data.name == "shakespeare":
        settings |= {"data": "{name: synthetic, clients: 40, samples: 9}", "model": "{name: mlp, hidden: 64}"}
    settings["local.epochs" if job.local.epochs else "local.steps"] = 1
    return job.with_settings([f"{key}={value}" for key, value in settings.items()])


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_every_example_job_runs(path, tmp_path):
    job = loaded(path)
    DATASETS.build(job.data.name, job.data.options)  # as the file has it
    run = simulate(small(job), tmp_path / "run", workers=1)
    assert run.finished and run.metrics.headline["versions"] == 2
    assert check_log(run.log).findings == []


@pytest.mark.soak
@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_every_example_job_learns(path, tmp_path):
    """As the file has it, but for some rounds fewer: rates of learning are such that nothing diverges."""
    job = loaded(path)
    count = min(job.rounds.count, max(10, job.rounds.count // 5))
    run = simulate(job.with_settings([f"rounds.count={count}"]), tmp_path / "run", workers=1)
    assert run.metrics.headline["versions"] == count
    assert check_log(run.log).findings == []
    losses = [record["loss"] for record in read_log(run.log) if record["kind"] == "commit"]
    quarter = len(losses) // 4  # losses of single clients go up and down
    assert sum(losses[-quarter:]) < sum(losses[:quarter])


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_every_example_job_says_what_it_shows_and_where_it_is_from(path):
    shows, paper, name, *_ = path.read_text(encoding="utf-8").splitlines()
    assert shows.startswith("# ") and shows.endswith(".")
    assert paper.startswith("# ") and any(character.isdigit() for character in paper)
    assert name == f"name: {path.stem.replace('_', '-')}"
    row = f"| [{path.stem}](../examples/jobs/{path.name}) | {shows[2:]} | {paper[2:]} |"
    assert row in (ROOT / "docs" / "examples.md").read_text(encoding="utf-8").splitlines(), f"missing there: {row}"
