"""One request for a file, or for the rest of one, over HTTP; what comes back is doubted.

Ranges follow RFC 9110 §14: a server may send the whole file all the same, or another range than was asked for.
Redirections are few and never lead from https to http. Proxies are those of the environment (``https_proxy``).
"""

from __future__ import annotations

import http.client
import re
import ssl
import string
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import IO, Any, Final, Never

from fedscale import limits
from fedscale.errors import FetchError

PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses of HTTP that may pass by themselves."""

_RANGE: Final = re.compile(r"bytes (?P<first>\d+)-(?P<last>\d+)/(?P<total>\d+|\*)")


class TransientError(Exception):
    """Something that may pass: another attempt makes sense, after ``wait`` seconds if the server asked for them."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class MisfitError(TransientError):
    """What was had already has no continuation there: another attempt must begin anew."""


@dataclass
class Answer:
    """A server's answer whose body is still to be read.

    Attributes:
        start: which byte of the file its first one is; 0 if the whole is sent.
        total: bytes of the whole file, if the server says so.
        validator: what an ``If-Range`` of a later request may hold: a strong entity tag, else a date.
        kind: media type without parameters.
        encoding: ``Content-Encoding``; ``identity`` was asked for.
    """

    start: int
    total: int | None
    validator: str | None
    kind: str
    encoding: str
    body: http.client.HTTPResponse

    def read(self) -> bytes:
        """Return what has come in, or nothing at the end.

        Raises:
            TransientError: nothing came for ``limits.STALL_SECONDS``, or the connection broke.
        """
        try:
            return self.body.read1(1 << 18)
        except TimeoutError:
            raise TransientError(f"no byte came for {limits.STALL_SECONDS:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise TransientError(f"the connection broke: {_reason(error)}") from None


def ask(url: str, start: int = 0, validator: str | None = None) -> Answer:
    """Request a file from byte ``start`` on, if it is still the one that ``validator`` was given for.

    Raises:
        FetchError: the address, a redirection or the server's refusal rules out a further attempt.
        TransientError: it may go better later.
        MisfitError: it may go better from the beginning.
    """
    headers = {"Accept-Encoding": "identity", "User-Agent": "fedscale"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if validator is not None:
            headers["If-Range"] = validator
    response = _follow(url, headers)
    answer = _understand(response, start)
    if answer.start and None not in (validator, answer.validator) and answer.validator != validator:
        raise MisfitError("the file has changed since its beginning was fetched")
    return answer


def _understand(response: http.client.HTTPResponse, start: int) -> Answer:
    first, length = 0, response.length
    total = length
    if response.status == http.client.PARTIAL_CONTENT and start:
        found = _RANGE.fullmatch(response.getheader("Content-Range", ""))
        if found is None or int(found["first"]) != start:
            said = response.getheader("Content-Range")
            raise MisfitError(f"bytes from {start} on were asked for, but Content-Range is {said!r}")
        first, total = start, int(found["last"]) + 1 if found["total"] == "*" else int(found["total"])
        if length is not None and start + length != total:
            raise MisfitError(f"{length} bytes from {start} on are announced, of {total} in all")
    elif response.status != http.client.OK:
        raise TransientError(f"HTTP status {response.status} {response.reason}, which was not asked for")
    kind = response.getheader("Content-Type", "").partition(";")[0].strip().lower()
    encoding = response.getheader("Content-Encoding", "identity").strip().lower()
    return Answer(first, total, _validator(response), kind, encoding, response)


def _validator(response: http.client.HTTPResponse) -> str | None:
    tag = response.getheader("ETag", "")
    return tag if tag.startswith('"') else response.getheader("Last-Modified")


class _MovedError(Exception):
    """The answer names another address."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Hands redirections to `_follow`; the standard library's reads bodies of any length and allows http for https."""

    def http_error_302(self, req: Any, fp: IO[bytes], code: int, msg: str, headers: Any) -> Never:
        fp.close()
        raise _MovedError(headers.get("Location", ""))

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _follow(url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    """Return the response at the end of the redirections that begin at ``url``."""
    opener = urllib.request.build_opener(_Redirects)
    at = check_address(url, url)
    for _ in range(limits.REDIRECTS + 1):
        try:
            response = opener.open(urllib.request.Request(at, headers=headers), timeout=limits.STALL_SECONDS)
            assert isinstance(response, http.client.HTTPResponse)
            return response
        except _MovedError as moved:
            target = urllib.parse.quote(str(moved), encoding="iso-8859-1", safe=string.punctuation)
            at = check_address(urllib.parse.urljoin(at, target), at)
        except urllib.error.HTTPError as error:
            with error:
                _refuse(at, error)
        except (OSError, http.client.HTTPException) as error:
            _explain(at, error)
    raise FetchError(f"{url}: redirected more than {limits.REDIRECTS} times, at last to {at}")


def check_address(address: str, before: str) -> str:
    """Return an address, if it may be gone to from ``before``.

    Raises:
        FetchError: it is not of http or https, has no host, or would give up https.
    """
    parts = urllib.parse.urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise FetchError(f"{before}: {address!r} is no address of http or https")
    if parts.scheme == "http" and before.startswith("https:"):
        raise FetchError(f"{before}: redirects to {address}, which is not encrypted: refused")
    return address


def _refuse(url: str, error: urllib.error.HTTPError) -> Never:
    message = f"HTTP status {error.code} {error.reason}"
    if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
        raise MisfitError(message)
    if error.code in PASSING:
        asked = error.headers.get("Retry-After", "")
        wait = float(asked) if re.fullmatch(r"\d{1,9}", asked) else 0.0
        raise TransientError(message, min(wait, limits.PAUSE_SECONDS[1]))
    raise FetchError(f"{url}: {message}")


def _explain(url: str, error: OSError | http.client.HTTPException) -> Never:
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        raise FetchError(f"{url}: the server's certificate is not trusted: {reason.verify_message}") from None
    if isinstance(reason, TimeoutError):
        raise TransientError(f"no answer in {limits.STALL_SECONDS:g} s") from None
    raise TransientError(f"no connection: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """Return what is wrong, in words: many errors have a class but no text."""
    reason = getattr(error, "reason", error)
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
