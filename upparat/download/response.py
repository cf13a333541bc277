"""The meaning of an HTTP response to a download: pure functions of its head and body.

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
"""The longest wait, in seconds, that a server can ask for."""

SLOW_DOWN = 8.0
"""The shortest wait, in seconds, after S3's ``SlowDown``. Up to as much again comes on top."""

_CONTENT_RANGE = re.compile(r"bytes +(?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)")
_OTHER_ETAG = "the file on the server has another ETag"
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')


@dataclass(frozen=True)
class ResumePoint:
    """The bytes that are here already, and facts to tell whether the rest belongs to them.

    :ivar length: in bytes, like ``total``.
    :ivar etag: a strong one; empty if the server gave none, or not to be relied on.
    :ivar judged: a digest judges the whole file, so that another ETag need not be another file.
    """

    length: int = 0
    etag: str = ""
    total: int | None = None
    judged: bool = False

    @property
    def resumable(self) -> bool:
        """Whether a request can ask for the rest of the same file."""
        telling = bool(self.etag) or self.total is not None or self.judged
        return self.length > 0 and telling

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the request. ``If-Range`` would be kinder, but S3 does not document it."""
        if not self.length:
            return {}
        match = {"If-Match": self.etag} if self.etag else {}
        return {"Range": f"bytes={self.length}-", **match}


@dataclass(frozen=True)
class Head:
    """The head of a response; ``length`` is the ``Content-Length``, if there is one."""

    status: int
    headers: Headers = field(default_factory=Headers)
    length: int | None = None


@dataclass(frozen=True)
class Body:
    """The bytes of the file follow, from ``offset``."""

    offset: int
    etag: str = ""
    total: int | None = None


@dataclass(frozen=True)
class Complete:
    """All bytes are here already."""


@dataclass(frozen=True)
class FileChanged:
    """The file on the server is another one: start over."""

    reason: str


@dataclass(frozen=True)
class EtagChanged(FileChanged):
    """The file on the server has another ETag. Whether it is another file, its digest will tell:
    ask again without the ETag, because servers that share a name may each have their own."""


@dataclass(frozen=True)
class Redirect:
    """The file is at another URL.

    :ivar location: as the server wrote it; bytes that are not UTF-8 as surrogates.
    """

    location: str


@dataclass(frozen=True)
class ErrorResponse:
    """The response has no file; its body says why, see :func:`interpret_error`."""


@dataclass(frozen=True)
class Temporary:
    """It may work later.

    :ivar after: the least number of seconds to wait.
    :ivar spread: up to so many seconds more, at random: a whole fleet may get this response.
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
    resume: ResumePoint, size: int | None, head: Head
) -> Body | Complete | FileChanged | Redirect | ErrorResponse:
    """Interpret the head of the response to a request with ``resume.headers``.

    :param size: the length of the file in bytes, if the job gives it.
    """
    status, headers = head.status, head.headers
    if status == 200:
        return _whole(resume, head)
    if status == 206:
        return _partial(resume, headers)
    if resume.length and status == 412:
        return _changed(resume, "the file on the server has changed")
    if resume.length and status == 416:
        return _unsatisfiable(resume, size, headers)
    location = _header(headers, "location", "surrogateescape")
    if status in REDIRECTS and location:
        return Redirect(location)
    return ErrorResponse()


def _changed(resume: ResumePoint, problem: str) -> FileChanged:
    """What it means that the ETag is another one."""
    return EtagChanged(problem) if resume.judged and resume.etag else FileChanged(problem)


def _whole(resume: ResumePoint, head: Head) -> Body | FileChanged:
    etag = _strong_etag(head.headers)
    if resume.judged and resume.etag and etag != resume.etag:
        return _changed(resume, _OTHER_ETAG)  # perhaps why not the rest alone is sent
    return Body(0, etag, head.length)


def _partial(resume: ResumePoint, headers: Headers) -> Body | FileChanged | ErrorResponse:
    match = _CONTENT_RANGE.fullmatch(_header(headers, "content-range"))
    etag = _strong_etag(headers)
    total, telling = _total(match), resume.etag or resume.judged
    if match is None or match[1] is None or int(match[1]) != resume.length:
        problem = "the server answers with another range than asked for"
    elif resume.length and resume.etag and etag != resume.etag:
        return _changed(resume, _OTHER_ETAG)
    elif resume.length and total != resume.total and not (resume.total is None and telling):
        problem = "the file on the server has another size"
    else:
        return Body(resume.length, etag, total)
    return FileChanged(problem) if resume.length else ErrorResponse()


def _unsatisfiable(
    resume: ResumePoint, size: int | None, headers: Headers
) -> Complete | FileChanged:
    match = _CONTENT_RANGE.fullmatch(_header(headers, "content-range"))
    known = [total for total in (_total(match), size, resume.total) if total is not None]
    etag = _strong_etag(headers)
    if resume.etag and etag and etag != resume.etag:
        return _changed(resume, _OTHER_ETAG)
    if known and all(total == resume.length for total in known):
        return Complete()
    return FileChanged("the server has no such range: its file is another one")


def _total(content_range: re.Match[str] | None) -> int | None:
    """The length of the file, if the header has it."""
    return int(content_range[3]) if content_range and content_range[3] != "*" else None


def interpret_error(head: Head, body: bytes) -> Temporary | UrlExpired | Permanent:
    """Interpret a response without the file; ``body`` is the beginning of its body.

    Some error codes of S3 say more than the status, or something else: see
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
    """``Code`` and ``Message`` of an S3 error, fit for the log; empty if the body is no S3 error.

    See https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html.
    """
    text = body.decode("utf-8", "replace")
    found = (re.search(rf"<{name}>([^<]*)</{name}>", text) for name in ("Code", "Message"))
    code, message = (printable(html.unescape(match[1])) if match else "" for match in found)
    # A server may quote the URL: its secrets must not get into a report.
    return code[:64], re.sub(r"\?\S+", "?…", message)[:200]


def _retry_after(headers: Headers) -> float:
    """Seconds, from 0 to :data:`MAX_RETRY_AFTER`; 0 without a valid header.

    A date counts from the server's own date, because the device's clock may be wrong.
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


def _header(headers: Headers, name: str, errors: str = "replace") -> str:
    values = headers.getRawHeaders(name.encode("ascii")) or [b""]
    return values[0].strip().decode(errors=errors)
