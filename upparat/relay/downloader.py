"""The ``Downloads`` port with ``install_url``: the agent downloads nothing, and lends the install
hook a URL."""

from __future__ import annotations

import errno
import random as random_module
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from upparat.config.settings import DownloadSettings
from upparat.disk import disk_work
from upparat.download.exchange import DownloadReactor
from upparat.download.url import url_problem
from upparat.download.verifier import Verifier
from upparat.download.work import BackgroundWork
from upparat.job import ExecutionKey, Job, State
from upparat.ports import LOOPBACK, DownloadEvents, Downloads
from upparat.snapshots import DownloadSnapshot
from upparat.storage.directory import Store, UnsafeName
from upparat.streaming import UrlLender
from upparat.text import without_query

if TYPE_CHECKING:
    from .loan import Loan

NEEDS_DIGEST = "signature: install_url needs sha256 in the job document, and bind_version = yes"
PLAIN = "file: plain http needs [download] allow_http: with install_url the agent checks no digest"


class UrlDownloader:
    """Offers the files of jobs, and lends a URL to the install hook that was run for one.

    :param directory: the download directory, which may hold files of other settings.
    :param random: returns a number from 0 up to 1, for the jitter of the back-off.
    :ivar fetched: the bytes that have come from servers since the start.
    """

    log = Logger()
    events: DownloadEvents

    def __init__(
        self,
        reactor: DownloadReactor,
        settings: DownloadSettings,
        directory: Path,
        *,
        verifier: Verifier,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self.fetched = 0
        self._reactor = reactor
        self._settings = settings
        self._verifier = verifier
        self._random = random
        self._store = Store(directory)
        self._offering: BackgroundWork | None = None
        self._job: Job | None = None
        self._loan: Loan | None = None
        self._closing: Deferred[None] = succeed(None)
        self._closed = False

    # --- Downloads ---

    def start(self, job: Job) -> None:
        """Offer the file, or go on with a fresh URL."""
        if self._closed:
            self.log.error("{job_id}: a download was asked for after the stop", job_id=job.job_id)
        elif self._loan is not None and self._loan.job.key == job.key:
            self._job = job
            self._loan.renew(job)
        else:
            self.stop()
            if problem := self._problem(job):
                self.events.download_failed(*problem)
            else:
                self._offer(job)

    def stop(self) -> None:
        offering, self._offering, self._job = self._offering, None, None
        if offering is not None:
            offering.scope.stop()
        self._end_loan()

    def discard(self, key: ExecutionKey) -> None:
        if self._job is not None and self._job.key == key:
            self.stop()
        self._tidy(lambda: self._store.files(key).discard())

    def clean(self, keep: ExecutionKey | None) -> None:
        """Remove partial files, which other settings have left."""
        self._tidy(lambda: self._store.clean(keep, complete=False))

    def file_problem(self, file: str) -> str:
        """Return nothing: no file is stored that could have been changed."""
        return ""

    def snapshot(self) -> DownloadSnapshot | None:
        """Return what the hook has fetched; ``None`` if no URL is lent."""
        return self._loan.snapshot() if self._loan is not None else None

    def shut_down(self) -> Deferred[None]:
        """Stop for good; fires when no connection is left."""
        self._closed = True
        self.stop()
        # An aborted connection is gone one turn of the reactor later.
        return self._closing.addCallback(lambda _: deferLater(self._reactor, 0, lambda: None))

    # --- UrlLender ---

    def lend(self, job: Job) -> str:
        from .loan import Loan

        self._end_loan()
        if self._job is None or self._job.key != job.key:
            self._job = job
        try:
            loan = Loan(self._reactor, self._settings, self._job, self, self._random)
        except CannotListenError as error:
            number = getattr(error.socketError, "errno", None) or errno.EADDRNOTAVAIL
            raise OSError(number, "no port on the loopback interface") from None
        self._loan = loan
        self.log.info(
            "{job_id}: verification: installer. The install hook fetches {url} through the agent, "
            "which cannot check the bytes",
            job_id=job.job_id,
            url=without_query(self._job.file),
        )
        return loan.url

    def take_back(self) -> Callable[[], None] | None:
        loan = self._loan
        if loan is None:
            return None
        loan.report()
        self._end_loan()
        failure = loan.failure
        if failure is None:
            return None
        return lambda: self._give_up(failure.state, str(failure))

    def _give_up(self, state: State, message: str) -> None:
        self.stop()
        self.events.download_failed(state, message)

    def _end_loan(self) -> None:
        loan, self._loan = self._loan, None
        if loan is not None:
            self._closing = loan.close()

    # --- what a loan reports ---

    def refused(self, reason: str) -> None:
        self.events.url_expired(reason)

    def received(self, count: int) -> None:
        self.fetched += count

    def fetched_so_far(self, count: int, total: int | None) -> None:
        self.events.progressed(count, total)

    # --- an offer ---

    def _problem(self, job: Job) -> tuple[State, str] | None:
        """Why the file of this job is not offered."""
        # The digest of a job makes up for plain http only where the agent checks it.
        if unfit := url_problem(job, allow_http=self._settings.allow_http):
            return State.DOWNLOAD_FAILED, f"file: {unfit}"
        if job.file.lower().startswith("http:") and not self._settings.allow_http:
            return State.DOWNLOAD_FAILED, PLAIN
        if objection := self._verifier.objection(job):
            return State.VERIFICATION_FAILED, objection
        if self._verifier.needs_file(job):
            return State.VERIFICATION_FAILED, NEEDS_DIGEST
        return None

    def _offer(self, job: Job) -> None:
        self._job = job
        work = self._offering = BackgroundWork(self._reactor)
        self._tidy(lambda: self._store.clean(None, complete=True))
        offered = Deferred.fromCoroutine(work.run(_load))
        offered.addCallbacks(lambda _: self._offered(work), self._not_offered, errbackArgs=(work,))
        offered.addErrback(lambda failure: self.log.failure("Reporting on a download", failure))

    def _offered(self, work: BackgroundWork) -> None:
        if self._offering is work:
            self._offering = None
            self.events.stream_ready(LOOPBACK)

    def _not_offered(self, failure: Failure, work: BackgroundWork) -> None:
        if failure.check(CancelledError) or self._offering is not work:
            return
        self.log.failure("The HTTP client cannot be loaded", failure)
        self._give_up(State.DOWNLOAD_FAILED, failure.type.__name__ if failure.type else "")

    def _tidy(self, work: Callable[[], None]) -> None:
        try:
            with disk_work():
                work()
        except (OSError, UnsafeName) as problem:
            self.log.warn("Removing downloads: {problem}", problem=problem)


def _load() -> None:
    """Import all that a loan needs. Done in a thread, because it may take a second."""
    from upparat.download import http  # noqa: F401

    from . import loan  # noqa: F401


_port: type[Downloads] = UrlDownloader
_lender: type[UrlLender] = UrlDownloader
