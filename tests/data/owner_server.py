"""A web server that behaves, or not: for each request, the next of a list of behaviours; the last one goes on."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Behaviour = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: OwnerServer

    def do_GET(self) -> None:
        self.server.seen.append((self.path, dict(self.headers)))
        behaviours = self.server.behaviours
        behaviour = behaviours.pop(0) if len(behaviours) > 1 else behaviours[0]
        self.close_connection = True
        behaviour(self)

    def log_message(self, *arguments: object) -> None:
        """Be quiet."""

    def send_head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def wanted(self) -> int:
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(found[1]) if found else 0


class OwnerServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviours: list[Behaviour] = []
        self.seen: list[tuple[str, dict[str, str]]] = []

    def url(self, path: str = "/file.bin") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def ranges(self) -> list[str | None]:
        """The ranges that were asked for, request by request."""
        return [headers.get("Range") for _, headers in self.seen]

    def handle_error(self, *arguments: object) -> None:
        """Clients may hang up."""


@contextmanager
def serving(*behaviours: Behaviour) -> Iterator[OwnerServer]:
    with OwnerServer() as server:
        server.behaviours = list(behaviours)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def tag_of(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:8]}"'


def send(
    content: bytes,
    *,
    most: int | None = None,
    ranges: bool = True,
    honest: bool = True,
    tag: str | None = "",
    then: Callable[[], None] = lambda: None,
    **headers: object,
) -> Behaviour:
    """Send ``content``, or the rest that is asked for.

    Args:
        most: hang up after so many bytes of the body, having announced all.
        ranges: whether ranges are understood.
        honest: whether ``If-Range`` is heeded.
        tag: the entity tag; by default that of the content, ``None`` for none.
        then: what to do before hanging up.
    """
    own = tag_of(content) if tag == "" else tag

    def behave(handler: Handler) -> None:
        start = handler.wanted() if ranges else 0
        if honest and handler.headers.get("If-Range", own) != own:
            start = 0
        body = content[start:]
        marks = {} if own is None else {"ETag": own}
        if start > len(content) or (start == len(content) and start):
            handler.send_head(416, Content_Length=0)
            return
        span = {"Content_Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        handler.send_head(206 if start else 200, **{"Content_Length": len(body), **marks, **span, **headers})
        handler.wfile.write(body[:most])
        handler.wfile.flush()
        then()

    return behave


def chunked(content: bytes, *, ended: bool = True) -> Behaviour:
    """Send ``content`` without saying how long it is, in chunks."""

    def behave(handler: Handler) -> None:
        handler.send_head(200, Transfer_Encoding="chunked")
        for at in range(0, len(content), 1000):
            part = content[at : at + 1000]
            handler.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        if ended:
            handler.wfile.write(b"0\r\n\r\n")

    return behave


def endless(handler: Handler) -> None:
    """Send zeros until nobody listens, for half a minute at most."""
    handler.send_head(200)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        handler.wfile.write(bytes(1 << 16))


def status(code: int, **headers: object) -> Behaviour:
    """Answer with a status and nothing else."""
    return lambda handler: handler.send_head(code, Content_Length=0, **headers)


def move(location: str) -> Behaviour:
    """Name another address."""
    return status(302, Location=location)
