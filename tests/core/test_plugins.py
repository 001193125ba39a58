"""Users' files: found, loaded once, and refused with a reason."""

import sys
import textwrap

import pytest

from fedscale import Job, simulate
from fedscale.core.aggregator import Aggregator
from fedscale.core.client import Client
from fedscale.core.client_manager import ClientManager
from fedscale.core.plugins import Plugins, load_plugins
from fedscale.errors import JobError
from fedscale.select import SELECTORS

CLIENT = """
from fedscale.core.client import Client

class {name}(Client):
    pass
"""


@pytest.fixture
def write(tmp_path):
    def make(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    return make


def test_without_files_the_classes_are_our_own():
    assert load_plugins([]) == Plugins(Client, ClientManager, Aggregator)


def test_each_class_finds_its_place_whatever_file_it_is_in(write):
    one = write("one.py", CLIENT.format(name="Mine") + "from fedscale.core.aggregator import Aggregator\n")
    two = write(
        "two.py",
        """
        from fedscale.core.aggregator import Aggregator
        from fedscale.core.client_manager import ClientManager
        class Sum(Aggregator): pass
        class Choice(ClientManager): pass
        """,
    )
    found = load_plugins([one, two])
    names = [found.client.__name__, found.client_manager.__name__, found.aggregator.__name__]
    assert names == ["Mine", "Choice", "Sum"]


def test_the_most_derived_class_is_taken(write):
    path = write("mine.py", CLIENT.format(name="Base") + "class Derived(Base):\n    pass\nAlias = Derived\n")
    assert load_plugins([path]).client.__name__ == "Derived"


def test_a_file_named_twice_is_one_file(write):
    path = write("mine.py", CLIENT.format(name="Mine"))
    assert load_plugins([path, path]).client.__name__ == "Mine"


def test_a_file_is_imported_once_and_again_when_it_has_changed(write):
    path = write("mine.py", CLIENT.format(name="First"))
    first = load_plugins([path]).client
    assert load_plugins([path]).client is first
    assert sys.modules[first.__module__].__file__ == str(path)
    write("mine.py", CLIENT.format(name="Second"))
    assert load_plugins([path]).client.__name__ == "Second"


def test_two_files_of_one_name_do_not_meet(write):
    one = load_plugins([write("a/mine.py", CLIENT.format(name="One"))]).client
    two = load_plugins([write("b/mine.py", CLIENT.format(name="Two"))]).client
    assert (one.__name__, two.__name__) == ("One", "Two")
    assert one.__module__ != two.__module__


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("mine.py", "this is no python", r"plugin .*/mine\.py: SyntaxError"),
        ("mine.py", "import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("mine.py", "raise ValueError('not today')", "ValueError: not today"),
        ("mine.py", "import sys; sys.exit(3)", "SystemExit: 3"),
        ("mine.txt", "", r"not a Python file \(its name must end in \.py\)"),
        ("mine.py", CLIENT.format(name="A") + CLIENT.format(name="B"), "A, B are all Client classes; keep one"),
    ],
    ids=["syntax", "library", "error", "exit", "suffix", "two classes"],
)
def test_what_cannot_be_used_is_refused_by_name(write, name, text, message):
    path = write(name, text)
    for _ in range(2):  # a module that failed is not taken for loaded the second time
        with pytest.raises(JobError, match=message):
            load_plugins([path])


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(JobError, match=r"absent\.py: cannot be read: No such file"):
        load_plugins([tmp_path / "absent.py"])
    with pytest.raises(JobError, match="cannot be read: Is a directory"):
        load_plugins([tmp_path])


def test_a_name_that_a_file_registers_can_be_used_in_the_job(write, tmp_path):
    path = write(
        "selector.py",
        """
        from fedscale.select import SELECTORS
        from fedscale.select.uniform import Uniform

        class Lowest(Uniform):
            def __init__(self, skip: int = 0):
                self.skip = skip

            def select(self, online, count, moment):
                return online[self.skip : self.skip + count]

        SELECTORS.register("lowest", Lowest)
        """,
    )
    job = Job.parse(
        {
            "data": {"name": "synthetic", "clients": 10, "split": {"train": 1, "validation": 0, "test": 0}},
            "rounds": {"participants": 3, "over_commitment": 1.0, "count": 1},
            "availability": "off",
            "selector": {"name": "lowest", "skip": 2},
            "plugins": [str(path)],
        }
    )
    run = simulate(job, tmp_path / "run", workers=1)
    assert '"clients":[2,3,4]' in run.log.read_text()
    assert "lowest" in SELECTORS.names()
