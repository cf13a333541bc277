"""The URL that one run of the install hook has, and what was fetched by it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred

from upparat.config.settings import DownloadSettings
from upparat.download.exchange import DownloadReactor
from upparat.download.speed import Speed
from upparat.download.transfer import PROGRESS_INTERVAL, DownloadFailed
from upparat.job import Job
from upparat.snapshots import DownloadSnapshot, Wait, WaitKind

from .coverage import Coverage
from .lent import LentFile
from .server import RelayServer
from .upstream import Upstream


class LoanListener(Protocol):
    """Hears of a loan that is not closed."""

    def refused(self, reason: str) -> None:
        """The server refuses the URL of the job: call :meth:`Loan.renew`."""

    def received(self, count: int) -> None:
        """So many bytes have come from the server."""

    def fetched_so_far(self, count: int, total: int | None) -> None:
        """The hook has so many bytes of the file, each counted once."""


class Loan:
    """Serves a file until it is closed.

    :param random: returns a number from 0 up to 1, for the jitter of the back-off.
    :raises CannotListenError: if there is no port.
    """

    def __init__(
        self,
        reactor: DownloadReactor,
        settings: DownloadSettings,
        job: Job,
        listener: LoanListener,
        random: Callable[[], float],
    ) -> None:
        self._reactor = reactor
        self._listener = listener
        self._upstream = Upstream(reactor, settings)
        attempts = settings.max_attempts
        self._file = LentFile(reactor, job, self._upstream, listener, attempts, random)
        self._server = RelayServer(reactor, self._file, self._passed)
        self._coverage = Coverage()
        self._speed = Speed()
        self._reported = 0
        self._next_report = -math.inf

    @property
    def job(self) -> Job:
        return self._file.job

    @property
    def url(self) -> str:
        """The URL for the hook, which must not get into a log."""
        return self._server.url

    @property
    def failure(self) -> DownloadFailed | None:
        """Why the file cannot be had; ``None`` as long as it can."""
        return self._file.failure

    def renew(self, job: Job) -> None:
        """Go on with the fresh URL of this job."""
        self._file.renew(job)

    def snapshot(self) -> DownloadSnapshot:
        """Return how much the hook has fetched, how fast, and what the next attempt waits for."""
        received, total, pause = self._coverage.length, self._file.total, self._file.pause
        if pause is None:
            return DownloadSnapshot(received, total, self._speed.rate)
        why, until = pause
        wait = Wait(WaitKind.DOWNLOAD, why, max(0.0, until - self._reactor.seconds()))
        return DownloadSnapshot(received, total, wait=wait)

    def close(self) -> Deferred[None]:
        """Serve nothing any more; fires when the port is closed."""
        closed = self._server.close()
        self._upstream.close()
        return closed

    def report(self) -> None:
        """Report what has come since the last report."""
        if self._coverage.length > self._reported:
            self._reported = self._coverage.length
            self._listener.fetched_so_far(self._reported, self._file.total)

    def _passed(self, begin: int, end: int) -> None:
        now = self._reactor.seconds()
        self._coverage.add(begin, end)
        self._speed.note(now, self._coverage.length)
        if now >= self._next_report:
            self._next_report = now + PROGRESS_INTERVAL
            self.report()
