"""The transfer of one file: attempts, back-off, and the decision when to give up."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from upparat.backoff import Backoff
from upparat.config.settings import DownloadSettings
from upparat.job import Job, State
from upparat.snapshots import DownloadSnapshot, Wait, WaitKind
from upparat.storage.part import Seal
from upparat.text import without_query

from .attempt import Outcome, attempt
from .budget import Budget
from .exchange import DownloadReactor, Exchange, ExchangeFactory
from .partial import DiskError, FileMismatch, PartialDownload
from .response import FileChanged, Permanent, Temporary, UrlExpired
from .shortcut import Journey, Shortcut
from .speed import Speed
from .url import url_problem
from .verifier import Verifier
from .work import BackgroundWork
from .writer import Writer

BACKOFF = Backoff(base=1.0, cap=64.0)

MAX_REFUSALS = 3
"""Refusals of fresh URLs in a row, without progress, until the download fails."""

MEDIUM_ATTEMPTS = 8
"""Attempts in a row to read a medium: it may not be mounted yet after a restart. They take up to
two minutes."""

DISK_ATTEMPTS = 3
DISK_PAUSE = 10.0
"""Attempts with a disk that is full or fails, and seconds between them: others may make room."""

PROGRESS_INTERVAL = 1.0
"""Seconds between two reports of progress."""


@dataclass(frozen=True)
class TransferContext:
    """The collaborators that all transfers share.

    :ivar random: returns a number from 0 up to 1, for the jitter of the back-off.
    :ivar on_progress: called with the number of bytes that are here, the total, if known, and the
        number of bytes that the device had already.
    :ivar exchange: makes the exchange that performs one HTTP request.
    :ivar load: imports what ``exchange`` needs; called in a thread.
    :ivar on_data: called with the number of bytes that have come from a server.
    :ivar shortcut: another way to the bytes, which is tried first.
    """

    reactor: DownloadReactor
    settings: DownloadSettings
    verifier: Verifier
    random: Callable[[], float]
    on_progress: Callable[[int, int | None, int], None]
    exchange: ExchangeFactory
    load: Callable[[], None]
    on_data: Callable[[int], None] = lambda count: None
    shortcut: Shortcut | None = None


class DownloadFailed(Exception):
    """The download has failed for good; ``state`` is the one to report."""

    def __init__(self, state: State, message: str) -> None:
        super().__init__(message)
        self.state = state


@dataclass(frozen=True)
class FetchedFile:
    """A file that has arrived and is verified.

    :ivar size: in bytes.
    :ivar path: of a stored file; ``None`` if the install hook has it.
    :ivar seal: tells whether the stored file is still the verified one.
    """

    size: int
    path: Path | None = None
    seal: Seal | None = None


class Destination(Protocol):
    """The place that the bytes of one file go to: the disk, or the install hook."""

    @property
    def partial(self) -> PartialDownload:
        """The bytes that are there; once :meth:`open` has returned ``None``."""

    async def open(self) -> FetchedFile | None:
        """Make ready. Returns the file if an earlier run has completed it.

        :raises DownloadFailed: if the file need not, or cannot, be downloaded.
        :raises DiskError: if the disk refuses.
        """

    def restore(self) -> None:
        """Begin again if others have removed the bytes that are there.

        :raises DiskError: if the disk refuses.
        """

    def put(self, data: bytes) -> Deferred[None]:
        """Take the next bytes of the file; fires when more may come."""

    async def finish(self) -> FetchedFile:
        """Verify the file: all bytes are there.

        :raises FileMismatch: if it is not the job's file.
        :raises DiskError: if the disk refuses.
        """

    def mismatch(self, problem: str) -> Temporary:
        """Discard the bytes, which are not those of the job's file.

        :raises DownloadFailed: if another download cannot help.
        """

    def disk_failure(self, error: OSError) -> DownloadFailed:
        """The failure to report when the disk has refused for good."""

    def close(self) -> None:
        """Let go of everything; it is no error if nothing was opened."""


def check_job(context: TransferContext, job: Job) -> None:
    """Look for a reason not to download the file of this job.

    :raises DownloadFailed: if there is one.
    """
    if unfit := url_problem(job, allow_http=context.settings.allow_http):
        raise DownloadFailed(State.DOWNLOAD_FAILED, f"file: {unfit}")
    if objection := context.verifier.objection(job):
        raise DownloadFailed(State.VERIFICATION_FAILED, objection)


class Transfer:
    """One run towards the file of an execution.

    :param work: made for this transfer alone; its scope stops the transfer.
    """

    log = Logger()

    def __init__(
        self,
        context: TransferContext,
        job: Job,
        budget: Budget,
        destination: Destination,
        work: BackgroundWork,
    ) -> None:
        self.job = job
        self._context = context
        self._budget = budget
        self._destination = destination
        self._work = work
        self._next_report = -math.inf
        self._slow = False
        self._received = 0
        self._total = job.size
        self._speed = Speed()
        self._pause: tuple[str, float] | None = None

    def snapshot(self) -> DownloadSnapshot:
        """Return how much has come, how fast, and what the next attempt waits for."""
        now, rate = self._context.reactor.seconds(), self._speed.rate
        if self._pause is None:
            return DownloadSnapshot(self._received, self._total, rate)
        why, until = self._pause
        wait = Wait(WaitKind.DOWNLOAD, why, max(0.0, until - now))
        return DownloadSnapshot(self._received, self._total, wait=wait)

    def stop(self) -> None:
        """End silently: :meth:`run` then raises ``CancelledError``."""
        self._work.scope.stop()

    async def run(self) -> FetchedFile | UrlExpired:
        """Download until the file is there, or a fresh URL is needed.

        :raises DownloadFailed: if the download has failed for good.
        :raises CannotRestart: if only another run of the install hook helps.
        """
        self._work.scope.check()
        try:
            return await self._destination.open() or await self._attempts()
        except DiskError as problem:
            raise self._destination.disk_failure(problem.error) from None
        finally:
            self._destination.close()

    # --- attempts ---

    async def _attempts(self) -> FetchedFile | UrlExpired:
        if not self.job.key.local:
            await self._work.run(self._context.load)
        while True:
            before = self._budget.high_water_mark
            self._slow = False
            outcome = await self._try()
            if isinstance(outcome, Temporary):
                gained = self._budget.high_water_mark > before and not self._slow
                await self._back_off(outcome, gained=gained)
            elif isinstance(outcome, Permanent):
                raise DownloadFailed(State.DOWNLOAD_FAILED, outcome.reason)
            elif isinstance(outcome, UrlExpired):
                return self._refused(outcome)
            else:
                return outcome

    async def _try(self) -> FetchedFile | Temporary | UrlExpired | Permanent:
        """Make one attempt, and verify the file if it is complete."""
        partial = self._destination.partial
        try:
            self._destination.restore()
            self._measure(partial)
            outcome = None if partial.full else await self._fetch(partial)
            if isinstance(outcome, FileChanged):
                partial.start_over()
                self._budget.restart()
                return Temporary(outcome.reason)
            if isinstance(outcome, Temporary | UrlExpired | Permanent):
                return outcome
            return await self._finish()
        except FileMismatch as problem:
            return self._mismatch(partial, str(problem))
        except DiskError as problem:
            self._budget.disk_failures += 1
            if self._budget.disk_failures >= DISK_ATTEMPTS:
                raise
            return Temporary(problem.error.strerror or str(problem), after=DISK_PAUSE)

    async def _fetch(self, partial: PartialDownload) -> Outcome:
        """Bring what is missing, by the shortcut or else from the URL."""
        if self._context.shortcut is not None:
            journey = Journey(
                self.job, partial, self._budget, self._work, self._keep, self._context.on_data
            )
            outcome = await self._context.shortcut.attempt(journey)
            if outcome is not None:
                return outcome
        return await self._attempt(partial)

    async def _finish(self) -> FetchedFile:
        done = await self._destination.finish()
        if self._context.shortcut is not None:
            self._context.shortcut.completed(self.job, str(done.path or ""))
        return done

    def _mismatch(self, partial: PartialDownload, problem: str) -> Temporary:
        """A shortcut to another file costs the job nothing but time."""
        shortcut = self._context.shortcut
        if shortcut is None or partial.proven or not shortcut.blamed(self.job):
            return self._destination.mismatch(problem)
        partial.start_over()
        self._budget.restart()
        return Temporary(problem)

    async def _attempt(self, partial: PartialDownload) -> Outcome:
        exchanges: list[Exchange] = []

        def exchange() -> Exchange:
            exchanges.append(self._exchange())
            return exchanges[-1]

        def writer(exchange: Exchange) -> Writer:
            return Writer(self._context.reactor, partial, exchange, self._put)

        before = self._budget.high_water_mark
        try:
            outcome = await attempt(partial, exchange, writer)
        finally:  # a stop must not lose what was gained
            self._slow = any(each.slow for each in exchanges)
            if self._budget.high_water_mark > before and not self._slow:
                self._budget.renew()
        self._work.scope.check()  # the writer takes its own time to end
        return outcome

    def _exchange(self) -> Exchange:
        if not self.job.key.local:
            return self._context.exchange(self._work.scope)
        from .medium import MediumExchange  # few jobs need it

        return MediumExchange(self._context.reactor, self._work.scope)

    def _put(self, data: bytes) -> Deferred[None]:
        if not self.job.key.local:
            self._context.on_data(len(data))
        return self._keep(data)

    def _keep(self, data: bytes) -> Deferred[None]:
        return self._destination.put(data).addCallback(lambda _: self._written())

    def _written(self) -> None:
        if self._work.scope.stopped:
            return
        partial = self._destination.partial
        self._budget.reached(partial.length)
        self._measure(partial)
        now = self._context.reactor.seconds()
        if now >= self._next_report:
            self._next_report = now + PROGRESS_INTERVAL
            shortcut = self._context.shortcut
            reused = min(shortcut.reused, partial.length) if shortcut is not None else 0
            self._context.on_progress(partial.length, partial.total, reused)

    def _measure(self, partial: PartialDownload) -> None:
        self._received, self._total = partial.length, partial.total
        self._speed.note(self._context.reactor.seconds(), partial.length)

    async def _back_off(self, problem: Temporary, *, gained: bool) -> None:
        budget = self._budget
        budget.attempts = 0 if gained else budget.attempts + 1
        if budget.attempts >= self._max_attempts:
            message = f"{problem.reason} ({budget.attempts} attempts)"
            raise DownloadFailed(State.DOWNLOAD_FAILED, message)
        least = problem.after + problem.spread * self._context.random()
        delay = max(BACKOFF.delay(budget.attempts, self._context.random), least)
        self._log("tries again in {delay:.1f} s: {reason}", delay=delay, reason=problem.reason)
        self._pause = problem.reason, self._context.reactor.seconds() + delay
        await self._work.scope.wait(deferLater(self._context.reactor, delay))
        self._pause = None
        self._speed = Speed()

    @property
    def _max_attempts(self) -> int:
        most = self._context.settings.max_attempts
        return min(most, MEDIUM_ATTEMPTS) if self.job.key.local else most

    def _refused(self, expired: UrlExpired) -> UrlExpired:
        self._budget.refusals += 1
        if self._budget.refusals >= MAX_REFUSALS:
            raise DownloadFailed(State.DOWNLOAD_FAILED, expired.reason)
        return expired

    def _log(self, text: str, **values: object) -> None:
        log_download(self.log, self.job, text, **values)


def log_download(log: Logger, job: Job, text: str, **values: object) -> None:
    """Log one line on a download, with its URL but without the URL's secrets."""
    url = without_query(job.file)
    log.info("{job_id}: download of {url} " + text, job_id=job.job_id, url=url, **values)
