"""The documentation is tried: Python blocks and marked commands run, the others parse, links and tables are checked.

Comments in the source of a page steer this, each in the line before a block:
``<!-- not run: why -->`` leaves it out, ``<!-- file: NAME -->`` writes it to a file that the page's commands use,
``<!-- run -->`` runs its commands for real; a ``text`` block behind them holds lines of their output.
"""

import importlib.util
import inspect
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

import fedscale
from fedscale.cli.main import app
from fedscale.core.aggregator import Aggregator
from fedscale.core.client import Client
from fedscale.core.client_manager import ClientManager
from fedscale.core.staleness import STALENESS
from fedscale.data.catalogue import DATASETS
from fedscale.data.partitions import PARTITIONS
from fedscale.job import Job
from fedscale.learn.adapters import ADAPTERS
from fedscale.learn.algorithms import ALGORITHMS
from fedscale.learn.attacks import ATTACKS
from fedscale.learn.codecs import CODECS, build_codec
from fedscale.learn.models import MODELS
from fedscale.learn.objectives import OBJECTIVES
from fedscale.learn.privacy import PRIVACY
from fedscale.learn.rules import RULES
from fedscale.learn.secure import SECURE
from fedscale.learn.server import SERVER_OPTIMIZERS
from fedscale.learn.tasks import TASKS
from fedscale.report.facts import LOWER_IS_BETTER
from fedscale.report.scores import SCORES
from fedscale.select import SELECTORS
from fedscale.select.base import NoOutlook
from fedscale.simulation import setup
from fedscale.simulation.sites import EXECUTORS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
TABLES = {
    "algorithm": ALGORITHMS,
    "server": SERVER_OPTIMIZERS,
    "local.objective": OBJECTIVES,
    "privacy": PRIVACY,
    "secure_aggregation": SECURE,
    "selector": SELECTORS,
    "asynchronous.staleness": STALENESS,
    "executor": EXECUTORS,
    "model": MODELS,
    "adapters": ADAPTERS,
}
GIVEN = {
    "metrics.md": "import fedscale\n"
    "job = fedscale.recipe('digits').with_settings(['rounds.count=1'])\n"
    "fedscale.simulate(job, 'runs/digits', workers=1)\n",
    "traces.md": "import numpy as np\n"
    "from pathlib import Path\n"
    "Path('slots.csv').write_text('client_id,start,end,period\\nA,0,5,10\\n')\n"
    "time, users = 0, np.array([0])\n",
}
"""What a page's Python blocks take for granted."""


@dataclass(frozen=True)
class Block:
    mark: str
    language: str
    text: str

    @property
    def commands(self) -> list[list[str]]:
        if self.language not in ("", "sh") or self.mark.startswith("not run"):
            return []
        lines = self.text.replace("\\\n", " ").splitlines()
        return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("fedscale ")]


def blocks(page: Path) -> list[Block]:
    return [
        Block(found["mark"] or "", found["language"], found["text"])
        for found in BLOCK.finditer(page.read_text(encoding="utf-8"))
    ]


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A folder that looks like the project's root to the commands of a page."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path)
    for table in (*TABLES.values(), DATASETS):  # what plugins of a page register is forgotten after it
        monkeypatch.setattr(table, "_entries", dict(table._entries))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("fedscale_plugin_")]:
        del sys.modules[name]


def write_files(page: Path, folder: Path) -> None:
    for block in blocks(page):
        if block.mark.startswith("file: "):
            (folder / block.mark.removeprefix("file: ")).write_text(block.text, encoding="utf-8")


def run(arguments: list[str]) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, f"fedscale {shlex.join(arguments)}: {result.output} {result.exception}"
    return result.output


def parse(arguments: list[str]) -> None:
    """Read a command line as far as its options and their types."""
    command, rest = get_command(app), list(arguments)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        assert name in command.commands, f"fedscale {shlex.join(arguments)}: no command {name!r}"
        command = command.commands[name]
    if "--help" not in rest and "--version" not in rest:
        command.make_context(command.name, rest)


def check_names(job: Job) -> None:
    """Look up what a job names, with its options."""
    setup.selector(job, NoOutlook(0))
    for section, component in (
        ("server", job.server),
        ("local.objective", job.local.objective),
    ):
        TABLES[section].build(component.name, component.options)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_can_be_read(page, workspace):
    write_files(page, workspace)
    for block in blocks(page):
        for arguments in block.commands:
            parse(arguments)
            if arguments[0] == "run" and "--list" not in arguments:
                job = Job.parse(yaml.safe_load(run([*(a for a in arguments if a != "--show"), "--show"])))
                if "--plugin" not in arguments and not job.plugins:
                    check_names(job)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_do_what_they_say(page, workspace, monkeypatch):
    """Run the marked commands and then the Python blocks, as one script from top to bottom."""
    write_files(page, workspace)
    output = ""
    for block in blocks(page):
        if block.mark == "run":
            output = "".join(run(arguments) for arguments in block.commands)
        elif block.language == "text" and output:
            missing = [line for line in block.text.splitlines() if line.rstrip() not in output and line != "..."]
            assert not missing, f"{page.name}: not in the output: {missing}\n{output}"
            output = ""
    script = [b.text for b in blocks(page) if b.language == "python" and not b.mark.startswith(("not run", "file: "))]
    if not script:
        return
    (workspace / "page.py").write_text("\n".join([GIVEN.get(page.name, ""), *script]), encoding="utf-8")
    monkeypatch.syspath_prepend(workspace)
    load("page", workspace / "page.py", monkeypatch)


def load(name: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a script here: an interpreter of its own would take most of the time. It is a module, as plugins are."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\((?!https?://)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link} leads nowhere"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}: no such heading"


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES[2:] if page.name != "index.md" and f"]({page.name})" not in index] == []


def test_the_whole_job_is_documented_with_its_defaults():
    (block,) = [block for block in blocks(ROOT / "docs" / "guide.md") if block.mark == "all defaults"]
    assert yaml.safe_load(block.text) == Job.parse({"data": "digits"}).model_dump(mode="json")


RUNTIME = ("sample_shape", "classes", "card", "workers", "parts", "observer", "device", "outlook", "round_deadline")
RUNTIME += ("clients", "participants", "rounds", "sampled", "model", "selected", "most_weight", "sends", "private")
RUNTIME += ("width_share",)


def options(factory, runtime: tuple[str, ...] = RUNTIME) -> dict:
    """The options of a job: not what the program gives to a factory."""
    parameters = inspect.signature(factory).parameters
    defaults = {name: parameter.default for name, parameter in parameters.items() if name not in runtime}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in defaults.items()}


def test_the_table_of_names_and_options_is_that_of_the_code():
    text = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| `([\w.]+)` \| `(\w+)` \| (.*?) ?\|$", text, re.MULTILINE)
    documented = {
        (section, name): yaml.safe_load("{" + defaults.replace("`", "") + "}") for section, name, defaults in found
    }
    assert documented == {
        (section, name): options(table.get(name)) for section, table in TABLES.items() for name in table.names()
    }


def test_the_tables_of_tasks_and_metrics_are_those_of_the_code():
    text = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| `\w+`.*? \|[^|]*\|[^|]*\| (.*) \|$", text, re.MULTILINE))
    assert sorted(rows) == TASKS.names()
    assert {name for models in rows.values() for name in re.findall(r"`(\w+)`", models)} - {"next_token"} == set(
        MODELS.names()
    )
    metrics = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| .* \| (higher|lower) \|", text, re.MULTILINE)
    directions = {name: better for names, better in metrics for name in re.findall(r"\w+", names)}
    assert directions.keys() == SCORES.keys() | {"accuracy"}
    assert {name for name, better in directions.items() if better == "lower"} == directions.keys() & LOWER_IS_BETTER


def test_the_table_of_codecs_is_that_of_the_code():
    text = (ROOT / "docs" / "compression.md").read_text(encoding="utf-8")
    row = r"^\| `(\w+)` \| (.*?) ?\| ([\d.]+) \| (\w+)[^|]* \| (\w+)[^|]* \|"
    documented = {name: told for name, *told in re.findall(row, text, re.MULTILINE)}
    assert sorted(documented) == CODECS.names()
    for name, (defaults, share, unbiased, feedback) in documented.items():
        expected = {key: value for key, value in options(CODECS.get(name)).items() if key != "shapes"}
        assert yaml.safe_load("{" + defaults.replace("`", "") + "}") == expected
        codec = build_codec(name, {}, shapes=[(1000, 1000)])
        assert float(share) == round(codec.size(1_000_000) / 1_000_000, 3), name
        assert unbiased == ("yes" if getattr(codec, "unbiased", False) else "no")
        assert feedback == ("on" if codec.error_feedback else "off" if "error_feedback" in expected else "no")


def test_the_table_of_partitions_is_that_of_the_code():
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    (part,) = [part for part in text.split("\n## ") if part.startswith("Other distributions\n")]
    documented = {
        name: yaml.safe_load("{" + defaults.replace("`", "") + "}")
        for name, defaults in re.findall(r"^\| `(\w+)` \| (.*?) ?\| ", part, re.MULTILINE)
    }
    assert documented == {name: options(PARTITIONS.get(name), ()) for name in PARTITIONS.names()}


@pytest.mark.parametrize(
    ("heading", "table", "given"), [("Aggregation rules", RULES, {"seed": 1}), ("Attacks", ATTACKS, {"classes": 4})]
)
def test_the_tables_of_rules_and_attacks_are_those_of_the_code(heading, table, given):
    text = (ROOT / "docs" / "robustness.md").read_text(encoding="utf-8")
    section = re.split(r"^## ", text, flags=re.MULTILINE)
    (part,) = [part for part in section if part.startswith(f"{heading}\n")]
    documented = {
        name: yaml.safe_load("{" + defaults.replace("`", "") + "}")
        for name, defaults in re.findall(r"^\| `(\w+)` \| (.*?) ?\| \w+ \| ", part, re.MULTILINE)
    }
    assert documented == {
        name: {key: value for key, value in options(table.get(name)).items() if key not in given}
        for name in table.names()
    }
    for name in table.names():
        table.build(name, documented[name], **given)


def test_the_table_of_hooks_is_that_of_the_code():
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    hooks = re.findall(r"^\| `(\w+)` \| `(\w+)` \| `\((.*?)\)` \|$", text, re.MULTILINE)
    assert len(hooks) == 7
    classes = {found.__name__: found for found in (Client, ClientManager, Aggregator)}
    for owner, hook, parameters in hooks:
        assert list(inspect.signature(getattr(classes[owner], hook)).parameters)[1:] == parameters.split(", ")


def test_the_citation_file_is_complete_and_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert (citation["version"], citation["license"]) == (fedscale.__version__, "Apache-2.0")
    paper = citation["preferred-citation"]
    assert {"type", "title", "authors"} <= set(paper)
    assert all({"family-names", "given-names"} <= set(author) for author in paper["authors"])


def test_the_changelog_knows_this_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]" in text
