"""One attempt to download a file: request the missing bytes, follow redirects, write the body."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError

from .errors import explain
from .exchange import Exchange
from .partial import CannotRestart, DiskError, FileMismatch, PartialDownload
from .response import (
    Body,
    Complete,
    ErrorResponse,
    EtagChanged,
    FileChanged,
    Permanent,
    Redirect,
    Temporary,
    UrlExpired,
    interpret_error,
    interpret_head,
)
from .url import redirected
from .writer import Writer

MAX_REDIRECTS = 5

Outcome = Complete | FileChanged | Temporary | UrlExpired | Permanent
"""The end of an attempt."""

WriterFactory = Callable[[Exchange], Writer]
"""Makes the writer of the body that an exchange brings."""


async def attempt(
    partial: PartialDownload, exchange: Callable[[], Exchange], writer: WriterFactory
) -> Outcome:
    """Make one attempt. Any trouble on the network is a :class:`Temporary` outcome.

    :param exchange: makes an exchange for each request.
    :raises FileMismatch: if the server has another file than the job's.
    :raises DiskError: if the bytes cannot be written.
    :raises CannotRestart: if only another run of the install hook helps.
    """
    try:
        return await _follow(partial, exchange, writer)
    except (CancelledError, DiskError, CannotRestart, FileMismatch):
        raise
    except Exception as problem:
        if partial.full:
            return Complete()
        return Temporary(explain(problem) + _position(partial))


async def _follow(
    partial: PartialDownload, exchange: Callable[[], Exchange], writer: WriterFactory
) -> Outcome:
    url = partial.job.file
    for _ in range(MAX_REDIRECTS + 1):
        outcome = await _request(partial, url, exchange(), writer)
        if isinstance(outcome, EtagChanged):
            partial.distrust_etags()
            outcome = await _request(partial, url, exchange(), writer)
        if not isinstance(outcome, Redirect):
            return outcome
        url, problem = redirected(url, outcome.location)
        if problem:
            return Permanent(f"the server {problem}")
    return Permanent(f"more than {MAX_REDIRECTS} redirects")


async def _request(
    partial: PartialDownload, url: str, exchange: Exchange, writer: WriterFactory
) -> Outcome | Redirect:
    try:
        resume = partial.resume_point
        head = await exchange.head(url, resume.headers)
        answer = interpret_head(resume, partial.job.size, head)
        if isinstance(answer, Body):
            return await _download(partial, exchange, answer, writer)
        if isinstance(answer, ErrorResponse):
            return interpret_error(head, await exchange.error_body())
        return answer
    finally:
        exchange.close()


async def _download(
    partial: PartialDownload, exchange: Exchange, body: Body, writer: WriterFactory
) -> Outcome:
    partial.begin(body)
    marked = await _write(exchange, writer(exchange))
    if partial.total is not None:
        if partial.full:
            return Complete()
        return Temporary("the connection ended" + _position(partial))
    if marked or partial.job.digested:
        return Complete()
    # The end of the file cannot be known, and a truncated file must not pass.
    return Permanent("the server tells no length: give size or a digest in the job document")


async def _write(exchange: Exchange, writer: Writer) -> bool:
    """Write the body. However it ends, nothing is written any more afterwards.

    Returns whether the end of the body was marked.
    """
    try:
        marked = await exchange.body(writer.take)
    except CancelledError:
        await writer.stop()
        raise
    except Exception:
        await writer.finish()
        raise
    await writer.finish()
    return marked


def _position(partial: PartialDownload) -> str:
    length, total = partial.length, partial.total
    return f" at {length} of {total} bytes" if length and total is not None else ""
