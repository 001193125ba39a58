"""Stack Overflow: dumps of Stack Exchange, TensorFlow Federated's database and HDF5; malformed rows and databases."""

from __future__ import annotations

import lzma
import sqlite3
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import quoteattr

import h5py
import numpy as np
import pytest
from textsets import imported, nothing_of, place, real, refused, said

from fedscale.data.rawposts import attributes, prose, tags_of
from fedscale.data.statistics import first_sample
from fedscale.data.words import RESERVED, UNKNOWN

HEAD, TAIL = '\ufeff<?xml version="1.0" encoding="utf-8"?>\r\n<posts>\r\n', "</posts>"


def row(kind: str, owner: str | None, body: str, title: str = "", tags: str = "") -> str:
    values = {"Id": "1", "PostTypeId": kind, "Body": body, "OwnerUserId": owner, "Title": title, "Tags": tags}
    given = " ".join(f"{name}={quoteattr(value)}" for name, value in values.items() if value)
    return f"  <row {given} />\r\n"


POSTS = [
    row("1", "71", "<p>How so?</p><pre><code>x = secret</code></pre>", "Why & how", "<lists><python>"),
    row("2", "72", "<p>why&nbsp;how a&lt;b</p>"),
    row("1", "72", "why python", "How", "|python|rare|"),
    row("1", None, "lost", "t", "<python>"),
    row("2", "-1", "ours"),
    row("5", "71", "a wiki"),
    row("2", "72", "<p> </p>"),
]


def dump(folder: Path, *rows: str, name: str = "Posts.xml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(HEAD + "".join(rows) + TAIL, encoding="utf-8", newline="")
    return folder


def test_posts_of_a_dump(tmp_path: Path) -> None:
    dataset, notes = imported(tmp_path, "stackoverflow", dump(tmp_path / "raw" / "site", *POSTS).parent)
    assert dataset.card.vocabulary == (*RESERVED, "how", "why")
    assert said(dataset, place(["71", "72"], "71")) == ["why <unknown> how how <unknown> <unknown> <end>"]
    assert said(dataset, place(["71", "72"], "72")) == [
        "why how <unknown> <unknown> <unknown> <end> how why <unknown> <end>"
    ]
    assert notes.record()["skipped"] == {
        "neither question nor answer": 1,
        "no owner, or the community": 2,
        "no text": 1,
    }
    assert notes.first["no text"].endswith("Posts.xml line 9")


def test_tags_of_questions(tmp_path: Path) -> None:
    dataset, notes = imported(tmp_path, "stackoverflow_tags", dump(tmp_path / "raw", *POSTS), words=4)
    assert (dataset.card.label_names, dataset.card.classes) == (("python",), 1)
    assert dataset.card.vocabulary == (*RESERVED, "how", "why")
    assert dataset.card.model.options == {"words": 9}
    columns = dataset.client(place(["71", "72"], "71")).columns
    np.testing.assert_array_equal(columns["x"][:], [[8, UNKNOWN, 7, 7]])  # type: ignore[index]
    assert [labels.tolist() for labels in columns["labels"].rows()] == [[0]]  # type: ignore[union-attr]
    assert notes.skipped["no tags (answers of a dump have none)"] == 2
    assert first_sample(dataset)["labels"] == "1 labels: 'python'"


def test_users_of_two_sites_are_not_the_same(tmp_path: Path) -> None:
    dump(tmp_path / "raw" / "one", *POSTS)
    dump(tmp_path / "raw" / "two", *POSTS)
    dataset, _ = imported(tmp_path, "stackoverflow", tmp_path / "raw")
    assert len(dataset) == 4


def test_sites_are_known_by_their_files_where_these_have_names(tmp_path: Path) -> None:
    for site in ("a.com-", "b.com-"):
        dump(tmp_path / "raw", row("2", "71", "<p>yes</p>"), name=f"{site}Posts.xml")
    assert imported(tmp_path, "stackoverflow", tmp_path / "raw")[0].counts.tolist() == [1, 1]


def test_parts_of_posts() -> None:
    assert prose("<p>a&lt;b</p><pre class='x'>y\nz</pre>c").split() == ["a<b", "c"]
    assert tags_of("<a-b><c#>") == tags_of("|a-b|c#|") == ["a-b", "c#"]
    assert attributes('<row A="1 &amp;amp; &#x4E2D;&#10;" b=\'"\' />', "") == {"A": "1 &amp; 中\n", "b": '"'}


@pytest.mark.parametrize(("name", "clients", "samples"), [("stackoverflow", 71, 71), ("stackoverflow_tags", 51, 85)])
@pytest.mark.parametrize("folder", ["", "meta.mathoverflow.net"])
def test_real_posts(tmp_path: Path, name: str, clients: int, samples: int, folder: str) -> None:
    dataset, notes = imported(tmp_path, name, real("stackoverflow") / folder)
    assert notes.read == 200
    assert len(dataset) == clients
    assert int(dataset.counts.sum()) >= samples
    nothing_of(dataset.path, "user_0001")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<html>", "line 1: '<html>' is no <row"),
        (HEAD + POSTS[0], "after line 3: cut off: no </posts>"),
        (HEAD + POSTS[0][:60], "line 3, after .* is no attribute, and no />"),
        (HEAD + "<row Id=1 />", "line 3, after 4 characters: ' Id=1 />' is no attribute"),
        (HEAD + '<row Id="1 />', "line 3, after 4"),
        (HEAD + '<row Id="1" Id="2" />', "line 3, attribute Id: it is there twice"),
        (HEAD + '<row Body="a & b" />', "attribute Body: '& b' is none of XML's own entities"),
        (HEAD + '<row Body="&bomb;" />', "attribute Body: '&bomb;' is none"),
        (HEAD + '<row Body="&#xD800;" />', "attribute Body: '&#xD800;' is no character"),
        (HEAD + '<row Body="&#9999999;" />', "is no character"),
        (HEAD + '<row Body="a < b" />', "line 3, after 4"),
        (HEAD + '<row Id="1">', "line 3, after 11"),
        ('<!DOCTYPE x [<!ENTITY b "b">]>\n<posts>', "line 1: '<!DOCTYPE"),
        (HEAD + '<row OwnerUserId="1" Body="b" />\n' + TAIL, "no attribute 'PostTypeId': it has OwnerUserId, Body"),
        (HEAD + '<row PostTypeId="1" OwnerUserId="1" />\n' + TAIL, "no attribute 'Body'"),
        (HEAD + "text between rows\n" + TAIL, "line 3: 'text between rows' is no <row"),
        (HEAD.encode() + b'<row Body="\xff" />', "line 3: not UTF-8"),
        (HEAD.encode("utf-16"), "line 1: not UTF-8"),
    ],
)
def test_malformed_rows(tmp_path: Path, content: str | bytes, message: str) -> None:
    raw = dump(tmp_path / "raw")
    (raw / "Posts.xml").write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(tmp_path, "stackoverflow", raw, r"Posts\.xml.*" + message)


def test_no_tag_of_two_users(tmp_path: Path) -> None:
    refused(tmp_path, "stackoverflow_tags", dump(tmp_path / "raw", POSTS[0]), "no tag is used by two users")


def delimited(number: int, content: bytes) -> bytes:
    size = len(content)
    digits = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
    return bytes([number << 3 | 2]) + digits + content


def message(**features: str) -> bytes:
    """Write a tf.train.Example of texts."""
    entries = [
        delimited(1, delimited(1, name.encode()) + delimited(2, delimited(1, delimited(1, text.encode()))))
        for name, text in features.items()
    ]
    return delimited(1, b"".join(entries))


SENTENCES = [
    ("train", "0007", message(tokens="how so ?", title="Why how", tags="python|rare", type="question")),
    ("train", "0007", message(tokens="see http://a.b", title="Why how", tags="python|rare", type="question")),
    ("test", "0008", message(tokens="how come", title="why", tags="python", type="answer")),
]


def database(path: Path, rows: list[tuple[object, ...]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE examples (split_name TEXT, client_id TEXT, serialized_example_proto BLOB)")
    connection.executemany("INSERT INTO examples VALUES (?, ?, ?)", rows)
    connection.commit()
    connection.close()
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_the_database_of_sentences(tmp_path: Path, packed: bool) -> None:
    path = database(tmp_path / "raw" / "stackoverflow.sqlite", SENTENCES)  # type: ignore[arg-type]
    if packed:
        path.with_name("stackoverflow.sqlite.lzma").write_bytes(lzma.compress(path.read_bytes()))
        path.unlink()
    dataset, notes = imported(tmp_path / "words", "stackoverflow", path.parent)
    assert said(dataset, place(["0007", "0008"], "0007")) == ["how <unknown> <unknown> <end> <unknown> <url> <end>"]
    assert said(dataset, place(["0007", "0008"], "0008")) == ["how <unknown> <end>"]
    assert notes.read == 3
    nothing_of(dataset.path, "0007", "0008")
    tagged, _ = imported(tmp_path / "tags", "stackoverflow_tags", path.parent, words=3)
    assert tagged.card.label_names == ("python",)
    assert said(tagged, place(["0007", "0008"], "0007"), "x") == ["why how how", "why how <unknown>"]


def groups(path: Path, **clients: dict[str, list[bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, features in clients.items():
            for feature, values in features.items():
                file.create_dataset(
                    f"examples/{name}/{feature}", data=np.array(values, object), dtype=h5py.string_dtype()
                )
    return path.parent


def test_older_hdf5(tmp_path: Path) -> None:
    ann = {"tokens": [b"how so ?", b"w\xc3\xa9"], "title": [b"Why", b"Why"], "tags": [b"python|c", b"c"]}
    bob = {"tokens": [b"how"], "title": [b""], "tags": [b"c"]}
    raw = groups(tmp_path / "raw" / "stackoverflow_train.h5", ann=ann, bob=bob)
    dataset, _ = imported(tmp_path / "words", "stackoverflow", raw)
    assert said(dataset, place(["ann", "bob"], "ann")) == ["how <unknown> <unknown> <end> <unknown> <end>"]
    tagged, _ = imported(tmp_path / "tags", "stackoverflow_tags", raw)
    assert tagged.card.label_names == ("c",)
    assert tagged.counts.sum() == 3


@pytest.mark.parametrize("top", ["", "stackoverflow"])
def test_fedscales_text_files(tmp_path: Path, top: str) -> None:
    for name, text in (
        ("train/7.txt", "How so ?\n\nhow\n"),
        ("test/7.txt", "how"),
        ("train/albert_cached_lm_62", "no"),
    ):
        path = tmp_path / "raw" / top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    dataset, notes = imported(tmp_path / "words", "stackoverflow", tmp_path / "raw")
    names = ["train/7", "test/7"]
    assert said(dataset, place(names, "train/7")) == ["how <unknown> <unknown> <end> how <end>"]
    assert said(dataset, place(names, "test/7")) == ["how <end>"]
    assert (notes.read, notes.skipped) == (3, {})
    refused(
        tmp_path, "stackoverflow_tags", tmp_path / "raw", r"nothing of stackoverflow_tags found.*texts without tags"
    )


@pytest.mark.parametrize(
    ("features", "wrong"),
    [
        ({"tokens": [b"a"], "title": [b"b"]}, "examples/ann: no tags"),
        ({"tokens": [b"a"], "title": [b"b"], "tags": [b"c", b"d"]}, "examples/ann: .* not lists of the same length"),
        ({}, "no group 'examples'"),
    ],
)
def test_malformed_hdf5(tmp_path: Path, features: dict[str, list[bytes]], wrong: str) -> None:
    refused(tmp_path, "stackoverflow", groups(tmp_path / "raw" / "s.h5", ann=features), wrong)
    (tmp_path / "raw" / "s.h5").write_bytes(b"\x89HDF\r\n\x1a\n nothing")
    refused(tmp_path, "stackoverflow", tmp_path / "raw", r"s\.h5: not HDF5, or damaged")


def changed(statement: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        connection = sqlite3.connect(path)
        connection.executescript(statement)
        connection.close()

    return change


def content(make: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.write_bytes(make(path.read_bytes()))

    return change


def sample(blob: bytes) -> Callable[[Path], None]:
    return changed(f"UPDATE examples SET serialized_example_proto = x'{blob.hex()}' WHERE client_id = '0008'")


@pytest.mark.parametrize(
    ("damage", "wrong"),
    [
        (content(lambda whole: b""), "no column split_name, client_id, serialized_example_proto"),
        (content(lambda whole: b"no database at all, but text that is long enough" * 9), "not an SQLite database"),
        (content(lambda whole: whole[:50]), "not an SQLite database, or damaged|no column"),
        (content(lambda whole: whole[:4096]), "not an SQLite database, or damaged"),
        (content(lambda whole: b"\0" * 16 + whole[16:]), "not an SQLite database"),
        (content(lambda whole: whole[:100] + b"\xff" * 200 + whole[300:]), "not an SQLite database, or damaged"),
        (content(lambda whole: whole[:4096] + b"\xfe" * 4096), "not an SQLite database, or damaged"),
        (changed("DROP TABLE examples"), "its table examples has no column split_name"),
        (changed("ALTER TABLE examples RENAME COLUMN client_id TO client"), "has no column client_id"),
        (changed("UPDATE examples SET client_id = NULL"), "table examples row 1: client_id is missing"),
        (changed("UPDATE examples SET serialized_example_proto = 'text'"), "row 1: .*is no bytes"),
        (sample(b"\xff\xff"), "row 3, column serialized_example_proto: no tf.train.Example"),
        (sample(SENTENCES[2][2][:-3]), "row 3, .*no tf.train.Example: "),
        (sample(b""), "row 3, feature 'tokens': not one text"),
        (sample(message(tokens="a", title="b")), "row 3, feature 'tags': not one text"),
        (
            sample(delimited(1, delimited(1, delimited(1, b"tokens") + delimited(2, delimited(1, b""))))),
            "'tokens': not",
        ),
    ],
)
def test_malformed_databases(tmp_path: Path, damage: Callable[[Path], None], wrong: str) -> None:
    path = database(tmp_path / "raw" / "stackoverflow.sqlite", SENTENCES)  # type: ignore[arg-type]
    damage(path)
    refused(tmp_path, "stackoverflow", path.parent, r"stackoverflow\.sqlite.*(" + wrong + ")")
