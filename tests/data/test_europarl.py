"""Europarl: source files of one and of two languages, OPUS's files; malformed ones."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from textsets import imported, nothing_of, place, real, refused, said

from fedscale.data.catalogue import DATASETS
from fedscale.data.notes import Notes
from fedscale.data.proceedings import is_chair, pairs, read_speeches, sentences
from fedscale.data.words import RESERVED
from fedscale.errors import DataError, JobError

PEOPLE = ['Evans "Bob" R', "Cox"]
ENGLISH = """<CHAPTER ID=1>
Resumption of the session
<SPEAKER ID=1 NAME="President">
I declare it resumed.
<SPEAKER ID=2 LANGUAGE="FR" NAME="Evans "Bob" R">
Madam President. Thank you
all!
<P>
We go on.
</P >
<SPEAKER ID=3 NAME="Cox" AFFILIATION="ELDR">
Thank you.
<P>
We go.
<SPEAKER ID=4>
Thank you.
<CHAPTER ID=2>
<SPEAKER ID=5 NAME="Cox">
We go on. (Applause)
<SPEAKER ID=6 NAME="Wynn">
I am here alone.
"""
FRENCH = """<CHAPTER ID="001">
Reprise de la session
<SPEAKER ID="001" NAME="La Présidente">
Je la déclare reprise.
<SPEAKER ID="002" NAME="Evans "Bob" R"/>
Madame la Présidente. Merci à tous !
<P>
Nous continuons.
<SPEAKER ID="003" LANGUAGE="EN" NAME="Cox">
Merci. Nous continuons.
<SPEAKER ID="004" NAME="Cox">
Merci.
<CHAPTER ID="002">
<SPEAKER ID="005" NAME="Cox">
Nous continuons. Merci. (Vifs applaudissements)
"""


def written(raw: Path, **languages: str | bytes) -> Path:
    for language, content in languages.items():
        path = raw / "txt" / language / "ep-00-01-17.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return raw


@pytest.mark.parametrize("level", ["", "txt"])
def test_two_languages_are_aligned_by_speech_paragraph_and_sentence(tmp_path: Path, level: str) -> None:
    raw = written(tmp_path / "raw", en=ENGLISH, fr=FRENCH)
    (raw / "txt" / "fr" / "ep-00-01-18.txt").write_text("<CHAPTER ID=1>")
    dataset, notes = imported(tmp_path, "europarl", raw / level)
    known = ["!", "(", ")", ".", "continuons", "go", "merci", "nous", "on", "thank", "we", "you"]
    assert set((dataset.card.vocabulary or ())[len(RESERVED) :]) <= {*known, "présidente"}
    evans, cox = (place(PEOPLE, name) for name in PEOPLE)
    assert dataset.counts[[evans, cox]].tolist() == [3, 2]
    assert said(dataset, evans, "source")[2] == "nous continuons ."
    assert said(dataset, evans, "target")[1:] == ["thank you <unknown> <unknown>", "we go on ."]
    assert said(dataset, cox, "source")[0] == "merci ."
    assert len(said(dataset, cox, "target")[1].split()) == 7  # other sentences: the paragraph as one
    assert notes.record()["skipped"] == {
        "no such file in the other language": 1,
        "other paragraphs in the other language": 1,
        "said by nobody, or without a name": 1,
        "said from the chair": 1,
    }
    nothing_of(dataset.path, "Evans", "Cox")


def test_one_language(tmp_path: Path) -> None:
    dataset, notes = imported(tmp_path, "europarl", written(tmp_path / "raw", en=ENGLISH))
    assert dataset.card.without == ("target",)
    names = [*PEOPLE, "Wynn"]
    assert dataset.counts[[place(names, name) for name in names]].tolist() == [2, 3, 1]
    assert "one language only" in notes.told[0]
    assert notes.skipped == {"said by nobody, or without a name": 2, "said from the chair": 1}


@pytest.mark.parametrize("level", ["txt/en", "txt/en/ep-00-01-17.txt"])
def test_the_folder_of_one_language_or_one_file(tmp_path: Path, level: str) -> None:
    raw = written(tmp_path / "raw", en=ENGLISH, fr=FRENCH)
    dataset, _ = imported(tmp_path, "europarl", raw / level)
    assert dataset.card.without == ("target",)
    assert dataset.counts.sum() == 6


def test_pairs_of_languages(tmp_path: Path) -> None:
    raw = written(tmp_path / "raw", en=ENGLISH, fr=FRENCH, de=FRENCH)
    first, _ = imported(tmp_path / "one", "europarl", raw, pair="en-fr")
    assert said(first, place(PEOPLE, PEOPLE[0]), "source")[2] == "we go on ."
    other, _ = imported(tmp_path / "two", "europarl", raw, pair="de-fr")
    assert said(other, 0, "source") == said(other, 0, "target")
    with pytest.raises(DataError, match="no files of it or es; it has de, en, fr: set pair"):
        imported(tmp_path / "three", "europarl", raw, pair="it-es")
    with pytest.raises(JobError, match="pair"):
        DATASETS.build("europarl", {"pair": "french"})


def opus(language: str, *said: tuple[str, str]) -> str:
    speakers = "".join(
        f'<SPEAKER ID="{number}" NAME="{name}">\n<P id="{number}"><s id="1">{text}</s> '
        '<s id="2">&lt;x&gt;</s></P></SPEAKER>\n'
        for number, (name, text) in enumerate(said, 1)
    )
    return f'<?xml version="1.0" encoding="utf-8"?>\n<document>\n<CHAPTER ID="003">\n{speakers}</CHAPTER>\n</document>'


def test_the_files_of_opus(tmp_path: Path) -> None:
    for language, text in (("bg", "едно"), ("en", "one")):
        path = tmp_path / "raw" / "Europarl" / "raw" / language / "ep-07-01-15-003.xml.gz"
        path.parent.mkdir(parents=True)
        path.write_bytes(gzip.compress(opus(language, ("Ann", text), ("Bob", text)).encode()))
    dataset, _ = imported(tmp_path, "europarl", tmp_path / "raw" / "Europarl")
    assert dataset.counts.tolist() == [1, 1]
    assert said(dataset, 0, "source") == ["едно < x >"]
    assert said(dataset, 0, "target") == ["one < x >"]


def test_real_speeches(tmp_path: Path) -> None:
    dataset, notes = imported(tmp_path, "europarl", real("europarl"))
    assert len(dataset) == 41
    assert dataset.card.without == ("target",)
    assert notes.skipped["said from the chair"] == 27
    nothing_of(dataset.path, "MacCormick", "Theonas")


def test_real_files_of_opus(tmp_path: Path) -> None:
    dataset, notes = imported(tmp_path, "europarl", real("europarl", "opus_v8_raw"))
    assert dataset.counts.tolist() == [1]
    assert "a document is a client" in notes.told[0]


def test_aligned_files_name_no_speaker(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for language in ("en", "fr"):
        (tmp_path / "raw" / f"europarl-v7.fr-en.{language}").write_text("a\n")
    refused(tmp_path, "europarl", tmp_path / "raw", r"nothing of europarl found.*europarl-v7\.fr-en\.en and the like")


@pytest.mark.parametrize("name", ["President", "La Présidente", "Die Präsidentin.", "de Voorzitter", "Ο Πρόεδρος"])
def test_the_chair(name: str) -> None:
    assert is_chair(name)
    assert not is_chair(f"{name} Evans")


def test_sentences() -> None:
    text = 'I met M. Cox and Mr. Wynn. They said: "Go!" Éva went... on. (Applause) Done'
    assert sentences(text) == ["I met M. Cox and Mr. Wynn.", 'They said: "Go!"', "Éva went... on.", "(Applause) Done"]
    assert pairs("A b. C d.", "E f. G h.") == [("A b.", "E f."), ("C d.", "G h.")]
    assert pairs("A b. C d.", "E f, g h.") == [("A b. C d.", "E f, g h.")]


def test_dirt_of_the_source_files(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(
        '<CHAPTER ID=1>\n<SPEAKER ID=3 NAME="Cox AFFILIATION=ELDR">\n<P ALIGN="JUSTIFY">\nOne\n'
        "<SpeakerType>B\n<BRK>\ntwo\n"
        '<SPEAKER ID=4 NAME="S<nchez" LANGUAGE="ES" />\nThree\n'
    )
    assert [(speech.name, speech.texts) for speech in read_speeches(path, Notes())[1:]] == [
        ("Cox", ["One two"]),
        ("S<nchez", ["Three"]),
    ]


def test_a_few_broken_characters_do_no_harm(tmp_path: Path) -> None:
    path, notes = tmp_path / "ep-09-10-22-009.txt", Notes()
    path.write_bytes('<CHAPTER ID=1>\n<SPEAKER ID=3 NAME="Ż">\n'.encode() + "zażółć ".encode() * 5 + b"\xc5 g\n")
    assert read_speeches(path, notes)[1].texts == ["zażółć " * 5 + "\ufffd g"]
    assert notes.told == ["ep-09-10-22-009.txt: 1 characters from line 3 on are no UTF-8 and became \ufffd"]
    path.write_bytes(path.read_bytes().replace("zażółć ".encode(), b"", 4))
    with pytest.raises(DataError, match="line 3: not UTF-8"):
        read_speeches(path, notes)


def test_marks_within_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text('<CHAPTER ID=1> Title <SPEAKER ID=3 NAME="A, B">One<P>two 1 < 2 <SPEAKER ID=4 NAME="">Three')
    speeches = read_speeches(path, Notes())
    assert [(speech.key, speech.name, speech.texts) for speech in speeches] == [
        (("1", ""), None, ["Title"]),
        (("1", "3"), "A, B", ["One", "two 1 < 2"]),
        (("1", "4"), None, ["Three"]),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<html><body>Not found</body></html>", "no CHAPTER in it: it begins with '<html>"),
        ("Resumption of the session\nI declare", "no CHAPTER in it"),
        (b"\0" * 100, "no CHAPTER in it"),
        ('<SPEAKER ID=1 NAME="A">\nHello', "line 1: a SPEAKER before the first CHAPTER"),
        ("<CHAPTER>\nTitle", "line 1: a CHAPTER without a number: <CHAPTER>"),
        ("<CHAPTER ID=>\nTitle", "line 1: a CHAPTER without a number"),
        ('<CHAPTER ID=1>\n<SPEAKER NAME="A">\nHello', 'line 2: a SPEAKER without a number: <SPEAKER NAME="A">'),
        ('<CHAPTER ID=1>\n<SPEAKER ID="" NAME="A">\nHello', "line 2: a SPEAKER without a number"),
        ('<CHAPTER ID=1>\n<SPEAKER ID=1 NAME="A"\nHello', "line 2: '<SPEAKER ID=1 NAME=\"A\"' has no >"),
        ("<CHAPTER ID=1\n", "line 1: '<CHAPTER ID=1' has no >"),
        ('<CHAPTER ID=1>\n<SPEAKER ID=1 NAME="A">\na\n<P', "line 4: '<P' has no >: damaged, or cut off"),
        (b'<CHAPTER ID=1>\nT\n<SPEAKER ID=1 NAME="\xe9">', "line 3: not UTF-8"),
        (ENGLISH.encode("utf-16"), "line 1: not UTF-8"),
        (gzip.compress(ENGLISH.encode(), mtime=0), "line 1: not UTF-8"),
        ("", "left of 0 rows"),
        ("<CHAPTER ID=1>\n<P>\n", "left of 0 rows"),
        (
            '<CHAPTER ID=1>\n<SPEAKER ID=1 NAME="President">\nHello',
            "left of 1 rows: 1 said from the chair",
        ),
    ],
)
def test_malformed(tmp_path: Path, content: Any, message: str) -> None:
    where = "" if message.startswith("left") else r"ep-00-01-17\.txt.*"
    refused(tmp_path, "europarl", written(tmp_path / "raw", en=content), where + message)
