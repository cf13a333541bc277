"""Rules for URLs and redirects: pure functions."""

from __future__ import annotations

import re
import string
from urllib.parse import quote, urljoin, urlsplit

from upparat.job import Job
from upparat.text import printable

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NO_URL = "redirects to what is no URL"


def url_problem(job: Job, *, allow_http: bool) -> str:
    """Why the file of a job is not downloaded; empty if it is."""
    scheme = _scheme(job.file)
    if job.key.local and scheme == "file":
        return ""
    if scheme not in ("https", "http"):
        return f"{printable(scheme) or 'no scheme'} is neither https nor http"
    if problem := url_flaw(job.file):
        return problem
    if scheme == "http" and not allow_http and not job.digested:
        return "plain http needs [download] allow_http, or a sha256 or sha512 in the job document"
    return ""


def redirected(origin: str, location: str) -> tuple[str, str]:
    """The URL that a redirect from ``origin`` points to, and why it is not followed (or nothing).

    No redirect leads from https to http, where anybody could put in another file, nor back.

    :param location: as the server wrote it; bytes that are not UTF-8 as surrogates.
    """
    try:
        target = urljoin(origin, _escaped(location))
    except ValueError:
        return "", _NO_URL
    old, new = _scheme(origin), _scheme(target)
    if old != new:
        return target, f"redirects from {old} to {printable(new)}"
    return target, _NO_URL if url_flaw(target) else ""


def url_path(url: str) -> str:
    """The part of a URL that stays the same when it is signed anew."""
    return urlsplit(url).path


def _escaped(location: str) -> str:
    """Escape blanks and bytes beyond ASCII, which many servers forget. Curl does the same.

    :raises ValueError: if they are in the host's name, or if there are control characters.
    """
    # urljoin would leave some control characters out, and lead to another place.
    if _CONTROL.search(location) or not re.fullmatch(r"[\x21-\x7e]*", urlsplit(location).netloc):
        raise ValueError
    return quote(location.encode("utf-8", "surrogateescape"), safe=string.punctuation)


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""


def url_flaw(url: str) -> str:
    """Why this http(s) URL cannot be requested; empty if it can."""
    if not re.fullmatch(r"[\x21-\x7e]+", url):
        return "a URL is written in printable ASCII characters"
    try:
        parts = urlsplit(url)
        usable = parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        return "the URL has no usable host and port"
    return "a URL with a user name is not supported" if parts.username is not None else ""
