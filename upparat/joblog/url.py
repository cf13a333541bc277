"""The URL that a log is uploaded to, as a job document has it."""

from __future__ import annotations

from urllib.parse import urlsplit

from upparat.download.url import url_flaw
from upparat.job import JobExecution, log_url


def upload_url(execution: JobExecution, *, allow_http: bool) -> str:
    """Return the URL, which is a secret; empty if the document has none.

    :raises ValueError: if it is not to be used. The message does not quote it.
    """
    url = log_url(execution)
    if not url:
        return ""
    if urlsplit(url).scheme == "http" and not allow_http:
        raise ValueError("log_url: plain http needs [download] allow_http")
    if flaw := url_flaw(url):
        raise ValueError(f"log_url: {flaw}")
    return url
