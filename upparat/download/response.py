"""What an HTTP answer to a download means: pure functions from head and body to a verdict.

Ranges and validators follow RFC 9110, section 14 and 13; error bodies are Amazon S3's.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from twisted.web.http_headers import Headers

from upparat.text import printable

REDIRECTS = (301, 302, 303, 307, 308)
MAX_RETRY_AFTER = 300.0
"""The longest wait, in seconds, that a server can impose on us."""

SLOW_DOWN = 8.0
"""The shortest wait, in seconds, after S3 has told us to reduce the rate of requests; up to as much
again comes on top, at random."""

_CONTENT_RANGE = re.compile(r"bytes +(?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)")
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')


@dataclass(frozen=True)
class ResumePoint:
    """What of the file is here already; an empty ``etag`` if the server gave no strong one."""

    length: int = 0
    etag: str = ""
    total: int | None = None

    @property
    def resumable(self) -> bool:
        """Whether there is something to tell by that the rest belongs to the same file."""
        return self.length > 0 and (bool(self.etag) or self.total is not None)

    @property
    def headers(self) -> dict[str, str]:
        """The request's headers: ``If-Range`` would be kinder, but S3 does not document it."""
        if not self.length:
            return {}
        match = {"If-Match": self.etag} if self.etag else {}
        return {"Range": f"bytes={self.length}-", **match}


@dataclass(frozen=True)
class Head:
    """The head of an answer; ``length`` is the ``Content-Length``, if there is one."""

    status: int
    headers: Headers = field(default_factory=Headers)
    length: int | None = None


@dataclass(frozen=True)
class Body:
    """The file's bytes follow, from ``offset``."""

    offset: int
    etag: str = ""
    total: int | None = None


@dataclass(frozen=True)
class Complete:
    """Everything is here already."""


@dataclass(frozen=True)
class FileChanged:
    """What is here does not belong to what the server has: start over."""

    reason: str


@dataclass(frozen=True)
class Redirect:
    """The file is somewhere else."""

    location: str


@dataclass(frozen=True)
class ErrorResponse:
    """No file in this answer; the body tells more, see :func:`interpret_error`."""


@dataclass(frozen=True)
class Temporary:
    """It may work later, not before ``after`` seconds.

    ``spread``: up to so many seconds more, at random, since a whole fleet may be told the same.
    """

    reason: str
    after: float = 0.0
    spread: float = 0.0


@dataclass(frozen=True)
class UrlExpired:
    """It may work with a fresh URL."""

    reason: str


@dataclass(frozen=True)
class Permanent:
    """It will never work."""

    reason: str


def interpret_head(
    held: ResumePoint, size: int | None, head: Head
) -> Body | Complete | FileChanged | Redirect | ErrorResponse:
    """What the head of an answer means to one who asked with ``held.headers``.

    :param size: how long the file must be, if the job says so.
    """
    status, headers = head.status, head.headers
    if status == 200:
        return Body(0, _strong_etag(headers), head.length)
    if status == 206:
        return _partial(held, headers)
    if held.length and status == 412:
        return FileChanged("the file on the server has changed")
    if held.length and status == 416:
        return _unsatisfiable(held, size, headers)
    location = _header(headers, "location")
    if status in REDIRECTS and location:
        return Redirect(location)
    return ErrorResponse()


def _partial(held: ResumePoint, headers: Headers) -> Body | FileChanged | ErrorResponse:
    match = _CONTENT_RANGE.fullmatch(_header(headers, "content-range"))
    etag = _strong_etag(headers)
    total = _total(match)
    if match is None or match[1] is None or int(match[1]) != held.length:
        problem = "the server answers with another range than asked for"
    elif held.length and held.etag and etag != held.etag:
        problem = "the file on the server has another ETag"
    elif held.length and total != held.total and (held.total is not None or not held.etag):
        problem = "the file on the server has another size"
    else:
        return Body(held.length, etag, total)
    return FileChanged(problem) if held.length else ErrorResponse()


def _unsatisfiable(held: ResumePoint, size: int | None, headers: Headers) -> Complete | FileChanged:
    match = _CONTENT_RANGE.fullmatch(_header(headers, "content-range"))
    known = [total for total in (_total(match), size, held.total) if total is not None]
    etag = _strong_etag(headers)
    if held.etag and etag and etag != held.etag:
        return FileChanged("the file on the server has another ETag")
    if known and all(total == held.length for total in known):
        return Complete()
    return FileChanged("the server has no such range: its file is another one")


def _total(content_range: re.Match[str] | None) -> int | None:
    """How long the file is, if that is told."""
    return int(content_range[3]) if content_range and content_range[3] != "*" else None


def interpret_error(head: Head, body: bytes) -> Temporary | UrlExpired | Permanent:
    """What an answer without the file means; ``body`` is the beginning of its body.

    Codes of S3 that say more than the status, or something else, are dealt with by name: see
    https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList.
    """
    status = head.status
    code, message = _s3_error(body)
    reason = _reason(status, code, message)
    expired = code == "ExpiredToken" or "expired" in message.lower()
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return Temporary("the proxy answers 407 Proxy Authentication Required")
    if code == "RequestTimeTooSkewed":
        return UrlExpired(f"{reason} (whoever signed the URL has another time than S3)")
    if status in (401, 403) or (status == 400 and expired):
        return UrlExpired(reason)
    if code == "SlowDown":
        return Temporary(reason, _retry_after(head.headers) or SLOW_DOWN, spread=SLOW_DOWN)
    if code == "RequestTimeout":  # comes with status 400
        return Temporary(reason)
    if status in (408, 429) or not 300 <= status < 500:
        return Temporary(reason, _retry_after(head.headers))
    return Permanent(reason)


def _reason(status: int, code: str, message: str) -> str:
    """Such as ``HTTP 403 AccessDenied: Request has expired``."""
    if code:
        return f"HTTP {status} {code}" + (f": {message}" if message else "")
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"


def _s3_error(body: bytes) -> tuple[str, str]:
    """``Code`` and ``Message`` of an S3 error, made fit for a log; empty if it is none.

    See https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html.
    """
    text = body.decode("utf-8", "replace")
    found = (re.search(rf"<{name}>([^<]*)</{name}>", text) for name in ("Code", "Message"))
    code, message = (printable(html.unescape(match[1])) if match else "" for match in found)
    # A server that quotes the URL must not bring its secrets into a report.
    return code[:64], re.sub(r"\?\S+", "?…", message)[:200]


def _retry_after(headers: Headers) -> float:
    """Seconds, from 0 to :data:`MAX_RETRY_AFTER`; 0 if there is no header that makes sense.

    A date counts from the server's own, since our clock may be wrong.
    """
    value = _header(headers, "retry-after")
    if re.fullmatch(r"\d{1,9}", value):
        seconds = float(value)
    else:
        until, now = _date(value), _date(_header(headers, "date"))
        seconds = (until - now).total_seconds() if until and now else 0.0
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _date(value: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(value)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _strong_etag(headers: Headers) -> str:
    value = _header(headers, "etag")
    return value if _STRONG_ETAG.fullmatch(value) else ""


def _header(headers: Headers, name: str) -> str:
    values = headers.getRawHeaders(name.encode("ascii")) or [b""]
    return values[0].strip().decode(errors="replace")
