"""From an owner's files to a store in the cache, by one command."""

from __future__ import annotations

import gzip
import hashlib
import os
import pty
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from owner_server import send, serving, status
from test_archive import tar
from typer.testing import CliRunner, Result

from fedscale.cli.data import app
from fedscale.data.card import Card, RawFile
from fedscale.data.catalogue import DATASETS
from fedscale.data.importers.qmnist import FILES
from fedscale.data.notes import Notes
from fedscale.data.owner import by_hand, collect, is_free, raw_directory, size_of
from fedscale.data.writer import StoreWriter
from fedscale.errors import DataError, FetchError
from fedscale.section import Component

LABELS = b"2\n3\n"
PACKED = gzip.compress(tar(("set/a.txt", b"12"), ("set/b.txt", b"345")), mtime=0)


def toy_card(url: str | None, terms: str | None = None) -> Card:
    """A set of two files: sizes of clients, and an archive with a client's samples in each file."""
    contents = {"labels.csv": LABELS, "train/samples.tar.gz": PACKED}
    files = tuple(
        RawFile(
            name=name,
            url=url and f"{url}/{name}",
            bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            md5=hashlib.md5(content).hexdigest() if name == "labels.csv" else None,
        )
        for name, content in contents.items()
    )
    return Card(
        name="toy", title="Toy", description="", task="classification", model=Component(name="mlp"), modality="tensor",
        classes=6, sample_shape=(1,), client_is="file", licence="", terms=terms, source="the toy maker", files=files,
        citation="", verified="",
    )  # fmt: skip


@dataclass(frozen=True)
class Toy:
    raw: Path | None = None
    url: str | None = None
    terms: str | None = None

    @property
    def card(self) -> Card:
        return toy_card(self.url, self.terms)

    @property
    def directory(self) -> str:
        return "toy"

    def write(self, path: Path, notes: Notes) -> None:
        assert self.raw is not None
        counts = np.array((self.raw / "labels.csv").read_text().split(), np.int64)
        texts = [file.read_text() for file in sorted((self.raw / "train/set").iterdir())]
        labels = np.array([*map(int, "".join(texts))])
        with StoreWriter(path, self.card, notes) as writer:
            writer.append(counts, {"x": labels[:, None].astype(np.float32), "y": labels})


@pytest.fixture(autouse=True)
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDSCALE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("http_proxy", raising=False)
    DATASETS.register("toy", Toy)
    return tmp_path / "cache" / "raw" / "toy"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def owner():
    return serving(send(LABELS), send(PACKED))


def test_get_downloads_imports_and_tidies_up(toy: Path, tmp_path: Path) -> None:
    with owner() as server:
        result = run("get", "toy", "--set", f"url={server.url('')}")
        assert result.exit_code == 0, result.exception
        assert [path for path, _ in server.seen] == ["/labels.csv", "/train/samples.tar.gz"]
    assert result.stdout == f"toy: 2 clients, 5 samples in {tmp_path}/cache/datasets-1/toy\n"
    size = len(LABELS) + len(PACKED)
    assert result.stderr.strip() == f"toy: 2 files, {size} B from the toy maker into {toy}"
    assert not toy.exists()
    with owner() as server:  # it is in the cache
        assert "2 clients, 5 samples" in run("get", "toy", "--set", f"url={server.url('')}").stdout
        assert server.seen == []


@pytest.mark.parametrize("elsewhere", [True, False])
def test_raw_files_are_kept_on_request(toy: Path, tmp_path: Path, elsewhere: bool) -> None:
    with owner() as server:
        place = ["--raw", str(tmp_path / "mine")] if elsewhere else ["--keep-raw"]
        result = run("get", "toy", "--set", f"url={server.url('')}", *place)
    raw = tmp_path / "mine" if elsewhere else toy
    assert f"raw files: {raw}/unpacked" in result.stderr
    found = sorted(str(path.relative_to(raw)) for path in raw.rglob("*") if path.is_file())
    unpacked = ["unpacked/labels.csv", "unpacked/train/set/a.txt", "unpacked/train/set/b.txt"]
    assert found == ["labels.csv", "train/samples.tar.gz", *unpacked]
    with serving(status(500)) as server:
        assert collect(toy_card(server.url("")), raw) == raw / "unpacked"  # nothing is fetched or unpacked again
        assert server.seen == []


def test_a_failed_import_keeps_what_was_downloaded(toy: Path) -> None:
    DATASETS._entries["toy"] = Broken
    with owner() as server:
        assert isinstance(run("get", "toy", "--set", f"url={server.url('')}").exception, DataError)
    assert (toy / "unpacked/labels.csv").read_bytes() == LABELS


class Broken(Toy):
    def write(self, path: Path, notes: Notes) -> None:
        raise DataError("labels.csv row 1: no")


def test_what_is_to_be_fetched_by_hand_is_said(toy: Path) -> None:
    with serving(status(500)) as server:
        url = server.url("")
        error = run("get", "toy", "--set", f"url={url}", "--set", "terms=sign the toy agreement").exception
        assert server.seen == []
    assert isinstance(error, FetchError)
    sha256, md5 = hashlib.sha256(LABELS).hexdigest(), hashlib.md5(LABELS).hexdigest()
    assert str(error).splitlines() == [
        "toy cannot be downloaded by a program: sign the toy agreement",
        f"From the toy maker fetch into {toy}",
        f"  labels.csv · {url}/labels.csv · 4 bytes · sha256 {sha256} · md5 {md5}",
        f"  train/samples.tar.gz · {url}/train/samples.tar.gz · {len(PACKED)} bytes · "
        f"sha256 {hashlib.sha256(PACKED).hexdigest()}",
        "unpack the archives there,",
        f"and run: fedscale data import toy --from {toy}",
    ]
    assert not is_free(toy_card(None))
    assert by_hand(toy_card(None), toy).startswith("toy cannot be downloaded by a program: its owner asks for a visit")


def test_a_failed_download_says_so_and_leaves_no_store(tmp_path: Path) -> None:
    with serving(status(404)) as server:
        result = run("get", "toy", "--set", f"url={server.url('')}")
    assert isinstance(result.exception, FetchError)
    assert "labels.csv: HTTP status 404 Not Found" in str(result.exception)
    assert not (tmp_path / "cache/datasets-1").exists()


def test_sizes_in_words() -> None:
    some = RawFile(name="a", bytes=2_500_000)
    assert size_of([some]) == (2_500_000, "1 file, 2.5 MB")
    assert size_of([some, RawFile(name="b")]) == (2_500_000, "2 files, at least 2.5 MB")
    assert size_of([RawFile(name="b")]) == (0, "1 file, nobody says how large")
    assert size_of(FILES) == (20_436_162, "4 files, 20.4 MB")


def test_the_directory_of_raw_files(tmp_path: Path) -> None:
    assert raw_directory("toy") == tmp_path / "cache/raw/toy"
    assert raw_directory("toy", tmp_path) == tmp_path / "raw/toy"


def test_the_label_files_of_qmnist_are_the_known_ones() -> None:
    samples = Path(__file__).parents[3] / "shared" / "data" / "samples"
    if not samples.exists():
        pytest.skip("the real data are not here")
    for file in FILES[1::2]:
        content = (samples / file.name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.bytes, file.sha256)


PROGRAM = """
import sys
from pathlib import Path
from fedscale import limits
from fedscale.cli.fetching import raw_files
from test_owner import toy_card
limits.ASKED_BYTES = 10
with raw_files(toy_card(sys.argv[1]), Path(sys.argv[2]), keep=True) as raw:
    pass
"""


@pytest.mark.parametrize("answer", ["y", "n"])
def test_a_terminal_is_asked_and_shown(tmp_path: Path, answer: str) -> None:
    with owner() as server:
        code, output = on_terminal(PROGRAM, [server.url(""), str(tmp_path / "to")], f"{answer}\n")
        assert len(server.seen) == (2 if answer == "y" else 0)
    assert "Download it? [y/N]" in output
    assert (code, "unpacking" in output) == ((0, True) if answer == "y" else (1, False)), output


def on_terminal(program: str, arguments: list[str], typed: str) -> tuple[int, str]:
    """Run a program with a terminal for all of its streams; return its status and what it showed."""
    ours, theirs = pty.openpty()
    path = os.pathsep.join([*sys.path, str(Path(__file__).parent)])
    environment = {**os.environ, "PYTHONPATH": path, "TERM": "xterm", "COLUMNS": "150"}
    command = [sys.executable, "-c", program, *arguments]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        os.write(ours, typed.encode())
        shown = b""
        try:
            while more := os.read(ours, 4_096):
                shown += more
        except OSError:  # the other end is closed
            pass
    os.close(ours)
    return process.returncode, shown.decode()
