"""Rules for URLs and redirects: pure functions."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

from upparat.job import Job
from upparat.text import printable


def url_problem(job: Job, *, allow_http: bool) -> str:
    """Why the file of a job is not downloaded; empty if it is."""
    scheme = _scheme(job.file)
    if scheme not in ("https", "http"):
        return f"{printable(scheme) or 'no scheme'} is neither https nor http"
    if problem := _flaw(job.file):
        return problem
    if scheme == "http" and not allow_http and not job.digested:
        return "plain http needs [download] allow_http, or a sha256 or sha512 in the job document"
    return ""


def redirected(origin: str, location: str) -> tuple[str, str]:
    """The URL that a redirect from ``origin`` points to, and why it is not followed (or nothing).

    No redirect leads from https to http, where anybody could put in another file, nor back.
    """
    try:
        target = urljoin(origin, location)
    except ValueError:
        return "", "redirects to what is no URL"
    old, new = _scheme(origin), _scheme(target)
    if old != new:
        return target, f"redirects from {old} to {printable(new)}"
    return target, "redirects to what is no URL" if _flaw(target) else ""


def url_path(url: str) -> str:
    """The part of a URL that stays the same when it is signed anew."""
    return urlsplit(url).path


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""


def _flaw(url: str) -> str:
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
