"""The file of one run of the hook: what is known of it, and when its server is asked again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from upparat.download.attempt import Outcome
from upparat.download.exchange import CancelScope, Exchange
from upparat.download.response import (
    Body,
    Complete,
    FileChanged,
    Head,
    Permanent,
    ResumePoint,
    Temporary,
    UrlExpired,
)
from upparat.download.transfer import BACKOFF, MAX_REFUSALS, DownloadFailed, log_download
from upparat.job import Job, State

from .upstream import Upstream, ask

FIRST_BYTE = {"Range": "bytes=0-0"}
"""Finds out the length of a file. A signed URL admits no HEAD."""


@dataclass(frozen=True)
class FileFacts:
    """What the server has said of the file.

    :ivar total: its length in bytes.
    :ivar etag: a strong one, or empty.
    :ivar ranges: whether the server sends parts of it.
    """

    total: int
    etag: str
    ranges: bool


class LentFileListener(Protocol):
    """Hears of a file that is lent."""

    def refused(self, reason: str) -> None:
        """The server refuses the URL: call :meth:`LentFile.renew`."""

    def received(self, count: int) -> None:
        """So many bytes have come from the server."""


class LentFile:
    """The file of a job. All requests of the hook share its URL, its facts, and its attempts.

    :param random: returns a number from 0 up to 1, for the jitter of the back-off.
    :ivar failure: why the file cannot be had; ``None`` as long as it can.
    :ivar pause: what the next attempt waits for, and until when on the reactor's clock.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        job: Job,
        upstream: Upstream,
        listener: LentFileListener,
        max_attempts: int,
        random: Callable[[], float],
    ) -> None:
        self.job = job
        self.upstream = upstream
        self.failure: DownloadFailed | None = None
        self.pause: tuple[str, float] | None = None
        self._clock = clock
        self._listener = listener
        self._max_attempts = max_attempts
        self._random = random
        self._facts: FileFacts | None = None
        self._attempts = 0
        self._refusals = 0
        self._renewing: list[Deferred[None]] | None = None

    @property
    def total(self) -> int | None:
        """The length of the file in bytes, from the server or else from the job."""
        return self._facts.total if self._facts is not None else self.job.size

    def renew(self, job: Job) -> None:
        """Go on with the fresh URL of this job."""
        self.job = job
        waiting, self._renewing = self._renewing or [], None
        for each in waiting:
            if not each.called:
                each.callback(None)

    async def facts(self, scope: CancelScope) -> FileFacts:
        """Return the facts. The first call asks the server.

        :raises DownloadFailed: if the file cannot be had.
        """
        line = self.upstream.take(self.job)
        try:
            while self._facts is None:
                await self.persist(
                    scope,
                    lambda job: ask(
                        lambda: line.exchange(scope), job, ResumePoint(), FIRST_BYTE, self._learn
                    ),
                )
            return self._facts
        finally:
            line.close()

    async def persist(
        self, scope: CancelScope, attempt: Callable[[Job], Awaitable[Outcome]]
    ) -> None:
        """Make attempts until one is complete.

        :raises DownloadFailed: if none will be.
        """
        while True:
            if self.failure is not None:
                raise self.failure
            job = self.job
            try:
                outcome = await attempt(job)
            except DownloadFailed as failed:
                raise self._fail(failed.state, str(failed)) from None
            scope.check()
            match outcome:
                case Complete():
                    return
                case UrlExpired(reason):
                    await self._fresh(scope, job, reason)
                case Temporary():
                    await self._back_off(scope, outcome)
                case Permanent(reason) | FileChanged(reason):
                    raise self._fail(State.DOWNLOAD_FAILED, reason)

    def gained(self, count: int) -> None:
        """Take note of bytes from the server, some of which are new."""
        self._refusals = 0
        self._listener.received(count)

    def renew_attempts(self) -> None:
        """Take note that an attempt has brought new bytes fast enough."""
        self._attempts = 0

    # --- facts ---

    async def _learn(self, exchange: Exchange, head: Head, body: Body) -> Outcome:
        size = self.job.size
        if size is not None and body.total not in (None, size):
            message = f"size: expected {size} bytes, the server has {body.total}"
            raise DownloadFailed(State.VERIFICATION_FAILED, message)
        total = size if body.total is None else body.total
        if total is None:
            return Permanent("the server tells no length: give size in the job document")
        if head.status == 206:
            await exchange.body(lambda data: None)  # then the connection serves the next request
        ranges = head.status == 206 or self.job.key.local
        if not ranges:
            self._log("comes whole for each request: the server sends no ranges")
        self._facts = FileFacts(total, body.etag, ranges)
        return Complete()

    # --- trouble ---

    async def _fresh(self, scope: CancelScope, job: Job, reason: str) -> None:
        """Wait for a fresh URL. Of all requests that need one, the first asks for it."""
        if self.job is not job:
            return
        fresh: Deferred[None] = Deferred()
        if self._renewing is not None:
            self._renewing.append(fresh)
        else:
            self._refusals += 1
            if self._refusals >= MAX_REFUSALS:
                raise self._fail(State.DOWNLOAD_FAILED, reason)
            self._renewing = [fresh]
            self._log("needs a fresh URL: {reason}", reason=reason)
            self._listener.refused(reason)
        await scope.wait(fresh)

    async def _back_off(self, scope: CancelScope, problem: Temporary) -> None:
        self._attempts += 1
        if self._attempts >= self._max_attempts:
            message = f"{problem.reason} ({self._attempts} attempts)"
            raise self._fail(State.DOWNLOAD_FAILED, message)
        least = problem.after + problem.spread * self._random()
        delay = max(BACKOFF.delay(self._attempts, self._random), least)
        self._log("tries again in {delay:.1f} s: {reason}", delay=delay, reason=problem.reason)
        self.pause = problem.reason, self._clock.seconds() + delay
        try:
            await scope.wait(deferLater(self._clock, delay))
        finally:
            self.pause = None

    def _fail(self, state: State, message: str) -> DownloadFailed:
        if self.failure is None:
            self.failure = DownloadFailed(state, message)
            self._log("has failed: {reason}", reason=message)
            self.renew(self.job)  # let the others see it
        return self.failure

    def _log(self, text: str, **values: object) -> None:
        log_download(self.log, self.job, text, **values)
