"""Downloads from a server in this process that cuts, stalls, lies and changes its mind."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from owner_server import chunked, endless, move, send, serving, status, tag_of

from fedscale import limits
from fedscale.data.card import RawFile
from fedscale.data.download import Unwatched, download
from fedscale.data.partial import open_part, part_path
from fedscale.data.web import check_address
from fedscale.errors import FetchError, WriteError

CONTENT = np.random.default_rng(1).bytes(10_000)
OTHER = np.random.default_rng(2).bytes(10_000)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def known(url: str, content: bytes = CONTENT, name: str = "file.bin") -> RawFile:
    return RawFile(name=name, url=url, bytes=len(content), sha256=sha256(content))


def unknown(url: str) -> RawFile:
    return RawFile(name="file.bin", url=url)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STALL_SECONDS", 0.2)
    monkeypatch.setattr(limits, "PAUSE_SECONDS", (0.001, 0.002))
    monkeypatch.delenv("http_proxy", raising=False)


class Notes(Unwatched):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.begun: list[tuple[int, int | None]] = []
        self.notices: list[str] = []
        self.done = 0

    def begin(self, name: str, done: int, total: int | None) -> None:
        self.begun.append((done, total))

    def advance(self, done: int) -> None:
        self.done = done

    def notice(self, message: str) -> None:
        self.notices.append(message)


def test_a_file_is_fetched_once(tmp_path: Path) -> None:
    notes = Notes()
    with serving(send(CONTENT)) as server:
        file = known(server.url(), name="folder/file.bin")
        for _ in range(2):
            assert download([file], tmp_path / "raw", notes) == [tmp_path / "raw/folder/file.bin"]
        assert len(server.seen) == 1
    assert (tmp_path / "raw/folder/file.bin").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "raw/folder").iterdir()] == ["file.bin"]
    assert (notes.begun, notes.done, notes.notices) == ([(0, 10_000)], 10_000, [])


def test_a_download_that_is_cut_goes_on_where_it_was(tmp_path: Path) -> None:
    notes = Notes()
    with serving(send(CONTENT, most=3_000), send(CONTENT, most=4_000), send(CONTENT)) as server:
        download([known(server.url())], tmp_path, notes)
        assert server.ranges() == [None, "bytes=3000-", "bytes=7000-"]
        assert {headers.get("If-Range") for _, headers in server.seen[1:]} == {tag_of(CONTENT)}
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert notes.begun == [(0, 10_000), (3_000, 10_000), (7_000, 10_000)]
    assert notes.notices[0] == ("file.bin: the connection ended at byte 3000 of 10000; attempt 2 of 5 in 0.001 s")


class KilledError(Exception):
    pass


class Killing(Unwatched):
    """Ends the process, as far as a test can, when bytes have come."""

    def advance(self, done: int) -> None:
        raise KilledError


def test_another_process_goes_on_where_one_was_killed(tmp_path: Path) -> None:
    with serving(send(CONTENT, most=3_000), send(CONTENT)) as server:
        with pytest.raises(KilledError):
            download([known(server.url())], tmp_path, Killing())
        assert part_path(tmp_path / "file.bin").read_bytes() == CONTENT[:3_000]
        download([known(server.url())], tmp_path)  # the digest is right, so what was there has been read again
        assert server.ranges() == [None, "bytes=3000-"]
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]


def test_the_beginning_of_a_file_from_elsewhere_is_not_taken_up(tmp_path: Path) -> None:
    part_path(tmp_path / "file.bin").write_bytes(b"other")
    note = part_path(tmp_path / "file.bin").with_name(".file.bin.part.json")
    with serving(send(CONTENT)) as server:
        for text in ("{", "[]", '{"url": "http://elsewhere", "validator": null}', '{"url": 1}'):
            note.write_text(text)
            download([known(server.url())], tmp_path)
            (tmp_path / "file.bin").unlink()
            part_path(tmp_path / "file.bin").write_bytes(b"other")
        assert server.ranges() == [None] * 4


def test_a_server_that_ignores_ranges_begins_anew(tmp_path: Path) -> None:
    with serving(send(CONTENT, most=3_000, ranges=False), send(CONTENT, ranges=False)) as server:
        download([known(server.url())], tmp_path)
        assert server.ranges() == [None, "bytes=3000-"]
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("honest", [True, False])
def test_a_file_that_changes_in_between_is_begun_anew(tmp_path: Path, honest: bool) -> None:
    """Whether the server heeds If-Range, or sends the rest of the new edition under the new edition's mark."""
    with serving(send(CONTENT, most=3_000), send(OTHER, honest=honest)) as server:
        download([unknown(server.url())], tmp_path)
        assert server.ranges() == [None, "bytes=3000-", *([] if honest else [None])]
    assert (tmp_path / "file.bin").read_bytes() == OTHER


def test_a_mixture_of_two_editions_is_noticed_by_its_digest(tmp_path: Path) -> None:
    with serving(send(CONTENT, most=3_000, tag=None), send(OTHER, tag=None)) as server:
        download([known(server.url(), OTHER)], tmp_path)
        assert server.ranges() == [None, "bytes=3000-", None]
    assert (tmp_path / "file.bin").read_bytes() == OTHER


def test_without_mark_and_digest_nothing_is_continued(tmp_path: Path) -> None:
    with serving(send(CONTENT, most=3_000, tag=None), send(CONTENT, tag='W/"weak"')) as server:
        download([unknown(server.url())], tmp_path)
        assert server.ranges() == [None, None]


def test_a_date_stands_for_a_weak_mark(tmp_path: Path) -> None:
    date = "Sat, 01 Jun 2019 10:00:00 GMT"
    headers = {"tag": 'W/"weak"', "honest": False, "Last_Modified": date}
    with serving(send(CONTENT, most=3_000, **headers), send(CONTENT, **headers)) as server:
        download([unknown(server.url())], tmp_path)
        assert [sent.get("If-Range") for _, sent in server.seen] == [None, date]


def test_another_range_than_was_asked_for_is_refused(tmp_path: Path) -> None:
    wrong = send(CONTENT, Content_Range="bytes 0-9999/10000")
    with serving(send(CONTENT, most=3_000), wrong) as server:
        download([known(server.url())], tmp_path)
        assert server.ranges() == [None, "bytes=3000-", None]
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_more_than_the_file_has_is_begun_anew(tmp_path: Path) -> None:
    """All bytes of a file of unknown size were there when the process ended: the server has no further ones."""
    with serving(send(CONTENT)) as server:
        part = part_path(tmp_path / "file.bin")
        part.write_bytes(CONTENT)
        part.with_name(f"{part.name}.json").write_text(json.dumps({"url": server.url(), "validator": tag_of(CONTENT)}))
        download([unknown(server.url())], tmp_path)
        assert server.ranges() == ["bytes=10000-", None]
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_server_that_stalls_is_given_up(tmp_path: Path) -> None:
    stalling = send(CONTENT, most=0, then=lambda: time.sleep(0.4))
    with serving(send(CONTENT, most=3_000), stalling) as server:
        with pytest.raises(FetchError, match=r"no byte came for 0\.2 s; given up after 5 attempts; 3\.0 kB are kept"):
            download([known(server.url())], tmp_path)
        assert server.ranges() == [None, *["bytes=3000-"] * 4]


def test_a_server_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DOWNLOAD_ATTEMPTS", 2)
    with (
        serving(lambda handler: time.sleep(0.4)) as server,
        pytest.raises(FetchError, match=r"no answer in 0\.2 s; given up after 2 attempts$"),
    ):
        download([known(server.url())], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_attempts_that_gain_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROGRESS_BYTES", 1_000)
    with serving(send(CONTENT, most=1_000)) as server:
        download([known(server.url())], tmp_path)
        assert len(server.seen) == 10
    with serving(send(CONTENT, most=199)) as server:
        with pytest.raises(FetchError, match="the connection ended at byte 995 of 10000; given up after 5 attempts"):
            download([known(server.url(), name="other.bin")], tmp_path)
        assert len(server.seen) == 5
    with serving(send(CONTENT, most=5_000, ranges=False)) as server:  # never comes further than that
        with pytest.raises(FetchError, match="the connection ended at byte 5000 of 10000; given up after 5 attempts"):
            download([known(server.url(), name="third.bin")], tmp_path)
        assert len(server.seen) == 5


def test_the_wrong_content_is_named_and_not_kept(tmp_path: Path) -> None:
    with serving(send(OTHER)) as server:
        with pytest.raises(FetchError, match=f"sha256 is {sha256(OTHER)}, not {sha256(CONTENT)}: not the known file"):
            download([known(server.url())], tmp_path)
        md5 = RawFile(name="file.bin", url=server.url(), md5="0" * 32)
        with pytest.raises(FetchError, match=f"md5 is {hashlib.md5(OTHER).hexdigest()}, not {'0' * 32}"):
            download([md5], tmp_path)
        assert len(server.seen) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("behaviour", "complaint"),
    [
        (send(CONTENT + b"x"), "announces 10001 bytes, not 10000"),
        (send(CONTENT[:-1]), "announces 9999 bytes, not 10000"),
        (chunked(CONTENT + b"x"), "sends more than 10000 bytes"),
        (endless, "sends more than 10000 bytes"),
    ],
)
def test_another_length_is_refused(tmp_path: Path, behaviour, complaint: str) -> None:
    with serving(behaviour) as server:
        with pytest.raises(FetchError, match=complaint):
            download([known(server.url())], tmp_path)
        assert len(server.seen) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_length_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RAW_FILE_BYTES", 9_999)
    for behaviour, complaint in (
        (send(CONTENT), "announces 10000 bytes, more than 9999"),
        (chunked(CONTENT), "more than 9999 bytes"),
    ):
        with serving(behaviour) as server, pytest.raises(FetchError, match=complaint):
            download([unknown(server.url())], tmp_path)


def test_chunks_tell_where_a_file_ends(tmp_path: Path) -> None:
    with serving(chunked(CONTENT, ended=False), chunked(CONTENT)) as server:
        download([unknown(server.url())], tmp_path)
        assert len(server.seen) == 2
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("behaviour", "complaint"),
    [
        (endless, "nothing tells where it ends"),
        (send(b"<html>Please log in</html>", Content_Type="text/html; charset=utf-8"), "sends a web page"),
        (send(CONTENT, Content_Encoding="gzip"), "encoded as 'gzip'"),
    ],
)
def test_of_a_file_of_which_nothing_is_known(tmp_path: Path, behaviour, complaint: str) -> None:
    with serving(behaviour) as server, pytest.raises(FetchError, match=complaint):
        download([unknown(server.url())], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_known_by_its_digest_may_come_as_it_likes(tmp_path: Path) -> None:
    def close(handler) -> None:
        handler.send_head(200, Content_Type="text/html", Content_Encoding="gzip")
        handler.wfile.write(CONTENT)

    with serving(close) as server:
        download([RawFile(name="file.bin", url=server.url(), sha256=sha256(CONTENT))], tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_statuses(tmp_path: Path) -> None:
    with serving(status(404)) as server:
        with pytest.raises(FetchError, match=r"file\.bin: HTTP status 404 Not Found$"):
            download([known(server.url())], tmp_path)
        assert len(server.seen) == 1
    with serving(status(503, Retry_After="0"), status(429), send(CONTENT)) as server:
        download([known(server.url())], tmp_path)
    with serving(status(503)) as server:
        with pytest.raises(FetchError, match="HTTP status 503 Service Unavailable; given up after 5 attempts"):
            download([known(server.url(), name="other.bin")], tmp_path)
        assert len(server.seen) == 5
    with serving(status(204)) as server, pytest.raises(FetchError, match="status 204 No Content, which was not asked"):
        download([known(server.url(), name="other.bin")], tmp_path)


def test_a_server_says_when_to_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PAUSE_SECONDS", (0.001, 0.05))  # the longest, whatever a server asks for
    notes = Notes()
    with serving(status(503, Retry_After="1"), send(CONTENT)) as server:
        download([known(server.url())], tmp_path, notes)
    assert notes.notices == ["file.bin: HTTP status 503 Service Unavailable; attempt 2 of 5 in 0.05 s"]


def test_redirections(tmp_path: Path) -> None:
    with serving(move("/second"), move("?third=a b"), send(CONTENT)) as server:
        download([known(server.url())], tmp_path)
        assert [path for path, _ in server.seen] == ["/file.bin", "/second", "/second?third=a%20b"]
    with serving(move("/file.bin")) as server:
        with pytest.raises(FetchError, match="redirected more than 5 times, at last to http://"):
            download([known(server.url(), name="other.bin")], tmp_path)
        assert len(server.seen) == 6


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://host/file", "http:///file", "data:,x"])
def test_addresses_that_are_not_gone_to(tmp_path: Path, address: str) -> None:
    with pytest.raises(FetchError, match="is no address of http or https"):
        download([unknown(address)], tmp_path)
    with (
        serving(move(address.replace("http:///", "http://:80/"))) as server,
        pytest.raises(FetchError, match="is no address of http or https"),
    ):
        download([unknown(server.url())], tmp_path)


def test_https_is_not_given_up() -> None:
    with pytest.raises(FetchError, match="redirects to http://a/b, which is not encrypted: refused"):
        check_address("http://a/b", "https://a/")
    assert check_address("https://a/b", "http://a/") == "https://a/b"


def test_nobody_listens(tmp_path: Path) -> None:
    with serving(status(404)) as server:
        file = known(server.url())
    with pytest.raises(FetchError, match="no connection: Connection refused; given up after 5 attempts"):
        download([file], tmp_path)


def test_room_is_asked_for_first(tmp_path: Path) -> None:
    with serving(send(CONTENT)) as server:
        huge = RawFile(name="file.bin", url=server.url(), bytes=1 << 60)
        with pytest.raises(WriteError, match=r"1152921\.5 TB are needed, but .* are free: make room"):
            download([huge], tmp_path / "raw")
        with pytest.raises(WriteError, match="are needed"):
            download([known(server.url())], tmp_path / "raw", spare_bytes=1 << 60)
        assert server.seen == []
    assert list(tmp_path.iterdir()) == []


def test_another_file_of_the_name_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    with serving(send(CONTENT)) as server:
        target.write_bytes(CONTENT[:-1])
        with pytest.raises(FetchError, match=r"file\.bin: has 9999 bytes, not 10000: not the known file; remove it"):
            download([known(server.url())], tmp_path)
        target.write_bytes(OTHER)
        with pytest.raises(FetchError, match=f"sha256 is {sha256(OTHER)}, not {sha256(CONTENT)}"):
            download([known(server.url())], tmp_path)
        assert server.seen == []
    assert target.read_bytes() == OTHER


@pytest.mark.parametrize("name", ["../file", "/file", "a/../../b", ".", "a\\b"])
def test_names_that_lead_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(FetchError, match="is no name for a file"):
        download([RawFile(name=name, url="http://localhost/")], tmp_path)


def test_a_file_without_an_address(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"file\.bin: has no address"):
        download([RawFile(name="file.bin")], tmp_path)


def test_two_processes_do_not_write_the_same_file(tmp_path: Path) -> None:
    with serving(send(CONTENT)) as server:
        file = known(server.url())
        with (
            open_part(file, tmp_path / "file.bin"),
            pytest.raises(FetchError, match="another process is fetching it"),
        ):
            download([file], tmp_path)


@settings(max_examples=12)
@given(st.lists(st.tuples(st.integers(0, 4_000), st.booleans(), st.booleans()), max_size=12))
def test_whatever_happens_the_right_file_comes(tmp_path_factory: pytest.TempPathFactory, hindrances) -> None:
    """Cut anywhere, with and without ranges, one edition or the other: in the end it is the known one, or an error."""
    directory = tmp_path_factory.mktemp("raw")
    behaviours = [
        send(OTHER if other else CONTENT, most=most, ranges=ranges, honest=not other)
        for most, ranges, other in hindrances
    ]
    with serving(*behaviours, send(CONTENT)) as server:
        for _ in range(len(hindrances) + 1):
            try:
                download([known(server.url())], directory)
                break
            except FetchError as error:
                assert "given up after 5 attempts" in str(error) or "not the known file" in str(error)
                assert not (directory / "file.bin").exists()
    assert (directory / "file.bin").read_bytes() == CONTENT
