"""Reading raw CSV files, and what is said of malformed ones."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from fedscale.data.notes import Notes
from fedscale.data.rawcsv import Dialect, Rows, first_values, read_csv
from fedscale.errors import DataError

TYPES = {"who": pa.large_string(), "when": pa.int64(), "far": pa.float64()}
GOOD = "who,when,extra,far\nann,1,x,0.5\nbob,2,y,1.5\n"


def read(path: Path, text: str | bytes, **options: object) -> list[Rows]:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return list(read_csv(path, TYPES, Notes(), **options))  # type: ignore[arg-type]


def test_wanted_columns_with_their_types(tmp_path: Path) -> None:
    (rows,) = read(tmp_path / "a.csv", GOOD)
    assert rows.table.to_pydict() == {"who": ["ann", "bob"], "when": [1, 2], "far": [0.5, 1.5]}
    assert rows.where(1) == f"{tmp_path / 'a.csv'} row 2"


@pytest.mark.parametrize("text", ["\ufeff" + GOOD, GOOD.replace("\n", "\r\n"), GOOD.rstrip("\n")])
def test_byte_order_marks_and_line_ends(tmp_path: Path, text: str) -> None:
    (rows,) = read(tmp_path / "a.csv", text)
    assert rows.table.column("far").to_pylist() == [0.5, 1.5]


@pytest.mark.parametrize("text", ["who,when,far", "who,when,far\n", "who,when,far\r\n\r\n"])
def test_a_header_alone_is_a_table_without_rows(tmp_path: Path, text: str) -> None:
    assert read(tmp_path / "a.csv", text) == []
    with pytest.raises(DataError, match="no column 'who'"):
        read(tmp_path / "a.csv", text.replace("who", "whom"))


def test_compressed_and_with_a_line_end_in_quotes(tmp_path: Path) -> None:
    text = 'who,when,far\n"an\nn",1,2\n"b""ob",3,4\n'
    (rows,) = read(tmp_path / "a.csv.gz", gzip.compress(text.encode()))
    assert rows.table.column("who").to_pylist() == ["an\nn", 'b"ob']


def test_a_header_alone_has_no_rows(tmp_path: Path) -> None:
    assert read(tmp_path / "a.csv", GOOD.splitlines()[0]) == []
    assert read(tmp_path / "a.csv", GOOD.splitlines(keepends=True)[0]) == []


def test_whole_numbers_as_programs_write_them_that_know_only_others(tmp_path: Path) -> None:
    (rows,) = read(tmp_path / "a.csv", "who,when,far\na,10.0,1\nb,-2.00,1\nc,9007199254740993,1\n")
    assert rows.table["when"].to_pylist() == [10, -2, 9007199254740993]
    (rows,) = read(tmp_path / "a.csv", "who,when,far\na,,1\nb,2.0,1\n", optional=["when"])
    assert rows.table["when"].to_pylist() == [None, 2]
    for wrong in ("2.5", "2.", ".0", "1e3", "2.0.0"):
        with pytest.raises(DataError, match=r"row 2, column 'when': '.*' is not a whole number"):
            read(tmp_path / "a.csv", f"who,when,far\na,1.0,1\nb,{wrong},1\n")


def test_tabs_without_quotes_and_other_spellings(tmp_path: Path) -> None:
    dialect = Dialect(delimiter="\t", quoted=False, rename={"who ": "who"})
    (rows,) = read(tmp_path / "a.tsv", 'who \twhen\tfar\n"ann\t1\t2\n', dialect=dialect)
    assert rows.table.column("who").to_pylist() == ['"ann']


def test_empty_values_are_missing_where_that_is_said(tmp_path: Path) -> None:
    (rows,) = read(tmp_path / "a.csv", "who,when,far\n,1,\n", optional=["far"])
    assert rows.table.to_pydict() == {"who": [""], "when": [1], "far": [None]}


def test_other_ways_to_say_that_a_value_is_missing(tmp_path: Path) -> None:
    text = "who,when,far\n,1,NULL\nNULL,2,2\n"
    (rows,) = read(tmp_path / "a.csv", text, optional=["far"], dialect=Dialect(missing=("", "NULL")))
    assert rows.table.to_pydict() == {"who": ["", "NULL"], "when": [1, 2], "far": [None, 2]}
    with pytest.raises(DataError, match="row 2, column 'far': 'none' is not"):
        read(tmp_path / "b.csv", text.replace("2,2", "2,none"), optional=["far"], dialect=Dialect(missing=("NULL",)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no header: the file is empty"),
        ("\n\n", "no header: the file is empty"),
        ("who,far\nann,1\n", "no column 'when' in its header"),
        ("who,whan,far\nann,1,2\n", "no column 'when' in its header: did you mean 'whan'"),
        ("who,when,far\nann,1\n", "Expected 3 columns, got 2"),
        ("who,when,far\nann,1,2,3\n", "Expected 3 columns, got 4"),
        ("who,when,far\nann,one,2\n", "row 1, column 'when': 'one' is not a whole number"),
        ("who,when,far\nann,1,2\nbob,,2\n", "row 2, column 'when': '' is not a whole number"),
        ("who,when,far\nann,1.5,2\n", "row 1, column 'when': '1.5' is not a whole number"),
        ("who,when,far\nann,99999999999999999999,2\n", "column 'when': '99999999999999999999' is not a whole number"),
        ("who,when,far\nann,1,far\n", "row 1, column 'far': 'far' is not a number"),
        (b"who,when,far\nann\xff,1,2\n", "row 0: .*UTF8"),
        (b"\x00\x01\x02\x03", "no column 'who'"),
        ('who,when,far\n"ann,1,2\n', "after row 0"),
        (gzip.compress(GOOD.encode(), mtime=0), "no column 'who'"),
    ],
)
def test_malformed(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path / "a.csv", text)
    assert str(tmp_path / "a.csv") in str(caught.value)


@pytest.mark.parametrize("content", [gzip.compress(GOOD.encode(), mtime=0)[:20], b"not gzip", b""])
def test_damaged_compression(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"a\.csv\.gz"):
        read(tmp_path / "a.csv.gz", content)


def test_absent(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        list(read_csv(tmp_path / "a.csv", TYPES, Notes()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("\n", "\r"), r"'who,when,extra,far\\rann,1,x,0\.5\\rbob,2,y,1' .* let them end with line feeds"),
        ("x" * 200_000, "cannot be divided into values: field larger than field limit"),
        (",".join(["x" * 1_000] * 9), "no column 'who' in its header: did you mean 'x{40}'"),
    ],
)
def test_headers_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"a\.csv: .*{message}"):
        read(tmp_path / "a.csv", text)


def test_a_long_row_is_not_quoted_whole(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Expected 4 columns, got 1") as caught:
        read(tmp_path / "a.csv", GOOD + "x" * 10_000)
    assert len(str(caught.value)) < 300 + len(str(tmp_path))


def test_first_values(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for text, values in ((b"", []), (b'\xef\xbb\xbfa ,"b,""c"\r\n1,2', ["a ", 'b,"c']), (b"\n1", [])):
        path.write_bytes(text)
        assert first_values(path, Notes()) == values
