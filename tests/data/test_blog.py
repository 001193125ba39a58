"""The Blog Authorship Corpus: files that look like XML, the table, FedScale's folders; malformed files."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest
from textsets import imported, nothing_of, place, real, refused, said

from fedscale import limits
from fedscale.data.importers.blog import posts_of
from fedscale.data.words import RESERVED

ANN, BOB = "4711.female.25.indUnk.Virgo.xml", "4712.male.26.Internet.Leo.xml"
PEOPLE = ["4711", "4712"]


def post(text: str, date: str = "18,July,2004") -> str:
    return f"<date>{date}</date>\r\n<post>\r\n\r\r\n   {text}\r\n</post>\r\n"


def blog(*posts: str, end: str = "</Blog>") -> bytes:
    return ("<Blog>\r\n\r\n" + "".join(posts) + end).encode()


def written(raw: Path, **files: bytes) -> Path:
    raw.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (raw / name).write_bytes(content)
    return raw


@pytest.mark.parametrize("folder", ["", "blogs", "corpus", "a/b"])
def test_posts(tmp_path: Path, folder: str) -> None:
    ann = blog(post("The urlLink cat's hat &amp; <b>"), post(" "), post("A cat"))
    bob = blog(post("the\x1f cat's,nbsp;caf\u00e9"), end="").replace("\u00e9".encode(), b"\xe9")
    written(tmp_path / "raw" / folder, **{ANN: ann, BOB: bob, "readme.xml": b"?"})
    dataset, notes = imported(tmp_path, "blog", tmp_path / "raw")
    assert dataset.card.vocabulary == (*RESERVED, "cat's", "the")
    unknown = " ".join(["<unknown>"] * 5)
    assert said(dataset, place(PEOPLE, "4711")) == [f"the <url> cat's {unknown} <end> <unknown> <unknown> <end>"]
    assert said(dataset, place(PEOPLE, "4712")) == ["the cat's <unknown> <unknown> <end>"]
    assert notes.record()["skipped"] == {"no text": 1}
    assert notes.first["no text"].endswith(f"{ANN}, post 2")
    nothing_of(dataset.path, "4711", "4712", "indUnk", "Virgo")


def test_the_table(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    with (tmp_path / "raw" / "blogtext.csv").open("w", newline="", encoding="utf-8") as file:
        rows = [["4711", "male", "15", "Student", "Leo", "14,May,2004", text] for text in ('a "b"\nc', " ")]
        header = ["id", "gender", "age", "topic", "sign", "date", "text"]
        csv.writer(file).writerows([header, *rows, ["4712", *rows[0][1:-1], "a c"]])
    dataset, notes = imported(tmp_path, "blog", tmp_path / "raw")
    assert said(dataset, place(PEOPLE, "4711")) == ["a <unknown> <unknown> <unknown> c <end>"]
    assert said(dataset, place(PEOPLE, "4712")) == ["a c <end>"]
    assert notes.record()["skipped"] == {"no text": 1}


def test_files_of_clients(tmp_path: Path) -> None:
    written(tmp_path / "raw" / "blog" / "train", **{"1": b"a b\n", "2": b"a\n"})
    dataset, _ = imported(tmp_path, "blog", tmp_path / "raw")
    assert said(dataset, place(["train/1", "train/2"], "train/1")) == ["a <unknown> <end>"]


def test_numbers_of_clients_begin_anew_in_each_folder_and_names_do_not(tmp_path: Path) -> None:
    for split in ("train", "test"):
        written(tmp_path / "raw" / split, **{"1": b"a\n", "ann": b"a a\n"})
    dataset, _ = imported(tmp_path, "blog", tmp_path / "raw")
    names = ["train/1", "test/1", "ann"]
    assert [said(dataset, place(names, name)) for name in names] == [["a <end>"], ["a <end>"], ["a a <end> a a <end>"]]


def test_marks_that_somebody_writes_of() -> None:
    content = b"<Blog><post>one <date> or </Blog> two</post></Blog>"
    assert list(posts_of(content, "")) == ["one <date> or </Blog> two"]


@pytest.mark.parametrize("folder", ["", "blogs"])
def test_real_blogs(tmp_path: Path, folder: str) -> None:
    dataset, notes = imported(tmp_path, "blog", real("blog") / folder)
    assert len(dataset) == 7
    assert notes.read == 164
    nothing_of(dataset.path, "9000001", "9000201", "Virgo")


GOOD = blog(post("a b"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no <Blog> in it; it begins with b''"),
        (b"\0" * 50, "no <Blog> in it; it begins with b'.x00"),
        (b"<html><p>not found</p></html>", "no <Blog> in it"),
        (b"plain text", "no <Blog> in it"),
        (GOOD.decode().encode("utf-16"), "no <Blog> in it"),
        (GOOD.replace(b"<Blog>", b""), "line 3: <date> in nothing, where it cannot stand"),
        (GOOD[: GOOD.index(b"</post>")], "it ends in a post: cut off"),
        (GOOD[: GOOD.index(b"</date>")], "it ends in a date: cut off"),
        (GOOD.replace(b"</post>", b"<post>"), "line 7: <post> in a post"),
        (GOOD.replace(b"<post>", b""), "</post> in a blog"),
        (GOOD.replace(b"<date>", b""), "</date> in a blog"),
        (GOOD.replace(b"</date>", b""), "<post> in a date"),
        (GOOD.replace(b"</date>", b"<date>"), "<date> in a date"),
        (GOOD + GOOD, "<Blog> in its end"),
        (GOOD + b"<post>more</post>", "<post> in its end"),
        (GOOD.replace(b"<date>", b"<Blog><date>"), "<Blog> in a blog"),
    ],
)
def test_malformed_files(tmp_path: Path, content: bytes, message: str) -> None:
    raw = written(tmp_path / "raw", **{ANN: blog(post("x")), BOB: content})
    refused(tmp_path, "blog", raw, r"4712\.male\.26\.Internet\.Leo\.xml.*" + message)


def test_a_compressed_file_that_is_cut_off(tmp_path: Path) -> None:
    raw = written(tmp_path / "raw", **{ANN: blog(post("x")), f"{BOB}.gz": gzip.compress(blog(post("y")))[:-9]})
    refused(tmp_path, "blog", raw, r"4712\.male\.26\.Internet\.Leo\.xml\.gz: cannot be read: damaged, or cut off")


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_file_that_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    content = blog(post("x"))
    raw = written(tmp_path / "raw", **{ANN + ending: gzip.compress(content) if ending else content})
    monkeypatch.setattr(limits, "RAW_LINE_BYTES", len(content))
    imported(tmp_path, "blog", raw)
    monkeypatch.setattr(limits, "RAW_LINE_BYTES", len(content) - 1)
    refused(tmp_path, "blog", raw, rf"{ANN}{ending}: more than the {len(content) - 1} bytes that are read")


def test_a_row_without_blogger(tmp_path: Path) -> None:
    raw = written(tmp_path / "raw", **{"blogtext.csv": b"id,text\n1,a\n,b\n"})
    refused(tmp_path, "blog", raw, r"blogtext\.csv row 2, column 'id': it is empty")


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    raw = written(tmp_path / "raw", **{"blog.xml": b"<Blog></Blog>"})
    refused(tmp_path, "blog", raw, "nothing of blog found")


def test_quotation_marks_of_windows_and_blanks_of_the_web(tmp_path: Path) -> None:
    ann = blog(post("It\u2019s&nbsp;caf\u00e9")).replace("\u2019".encode(), b"\x92").replace("\u00e9".encode(), b"\xe9")
    raw = written(tmp_path / "raw", **{ANN: ann, BOB: blog(post("nbsp;it's caf\u00e9 \u2019"))})
    dataset, _ = imported(tmp_path, "blog", raw)
    assert said(dataset, place(PEOPLE, PEOPLE[0])) == ["it's café <end>"]
    assert said(dataset, place(PEOPLE, PEOPLE[1])) == ["it's café <unknown> <end>"]
