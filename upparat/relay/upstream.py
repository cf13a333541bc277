"""Requests to the server that has the file: one attempt, with its redirects."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from twisted.internet.defer import CancelledError

from upparat.config.settings import DownloadSettings
from upparat.download.attempt import MAX_REDIRECTS, Outcome
from upparat.download.errors import explain
from upparat.download.exchange import CancelScope, DownloadReactor, Exchange
from upparat.download.http import HttpExchange
from upparat.download.kept import KeptConnection
from upparat.download.medium import MediumExchange
from upparat.download.rate import Rate
from upparat.download.response import (
    Body,
    ErrorResponse,
    Head,
    Permanent,
    Redirect,
    ResumePoint,
    Temporary,
    interpret_error,
    interpret_head,
)
from upparat.download.transfer import DownloadFailed
from upparat.download.url import redirected
from upparat.job import Job

BodyReader = Callable[[Exchange, Head, Body], Awaitable[Outcome]]
"""Reads the body of a response, and says what became of it."""


class Upstream:
    """Makes exchanges with the server. They share ``max_rate``, and go on with connections that
    earlier ones have left open."""

    def __init__(self, reactor: DownloadReactor, settings: DownloadSettings) -> None:
        self._reactor = reactor
        self._settings = settings
        self._rate = Rate(reactor, settings.max_rate)
        self._idle: list[KeptConnection] = []
        self._closed = False

    def take(self, job: Job) -> KeptLine:
        """Return a line for one request after the other."""
        if job.key.local:
            return KeptLine(lambda scope: MediumExchange(self._reactor, scope), lambda: None)
        kept = self._idle.pop() if self._idle else KeptConnection(self._reactor, self._rate)
        return KeptLine(
            lambda scope: HttpExchange(self._reactor, self._settings, scope, kept),
            lambda: self._give(kept),
        )

    def close(self) -> None:
        """Drop all connections. Those in use are dropped when they are given back."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def _give(self, kept: KeptConnection) -> None:
        if self._closed:
            kept.close()
        else:
            self._idle.append(kept)


class KeptLine:
    """Makes exchanges that follow each other.

    :param exchange: makes one, all waits of which go through a scope.
    :param close: called when no other follows.
    """

    def __init__(
        self, exchange: Callable[[CancelScope], Exchange], close: Callable[[], None]
    ) -> None:
        self.exchange = exchange
        self.close = close


async def ask(
    make: Callable[[], Exchange],
    job: Job,
    resume: ResumePoint,
    headers: Mapping[str, str],
    read: BodyReader,
) -> Outcome:
    """Make one attempt. Any trouble on the network is a :class:`Temporary` outcome.

    :param make: makes an exchange for each request.
    :param resume: what the response is judged by.
    :raises DownloadFailed: if ``read`` does.
    """
    try:
        return await _follow(make, job, resume, headers, read)
    except (CancelledError, DownloadFailed):
        raise
    except Exception as problem:
        return Temporary(explain(problem))


async def _follow(
    make: Callable[[], Exchange],
    job: Job,
    resume: ResumePoint,
    headers: Mapping[str, str],
    read: BodyReader,
) -> Outcome:
    url = job.file
    for _ in range(MAX_REDIRECTS + 1):
        outcome = await _request(make(), url, job.size, resume, headers, read)
        if not isinstance(outcome, Redirect):
            return outcome
        url, problem = redirected(url, outcome.location)
        if problem:
            return Permanent(f"the server {problem}")
    return Permanent(f"more than {MAX_REDIRECTS} redirects")


async def _request(
    exchange: Exchange,
    url: str,
    size: int | None,
    resume: ResumePoint,
    headers: Mapping[str, str],
    read: BodyReader,
) -> Outcome | Redirect:
    try:
        head = await exchange.head(url, headers)
        answer = interpret_head(resume, size, head)
        if isinstance(answer, Body):
            return await read(exchange, head, answer)
        if isinstance(answer, ErrorResponse):
            return interpret_error(head, await exchange.error_body())
        return answer
    finally:
        exchange.close()
