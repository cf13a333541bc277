"""The way of one file from the server: attempts, back-off, and what they come to."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from upparat.backoff import Backoff
from upparat.config.settings import Download
from upparat.job import ExecutionKey, Job, State
from upparat.net.threads import in_daemon
from upparat.storage.directory import Stopped
from upparat.text import without_query

from .attempt import Attempt, Verdict
from .exchange import CancelScope, ExchangeFactory, Reactor
from .partial import DiskError, FileMismatch, PartialDownload
from .response import FileChanged, Permanent, Temporary, UrlExpired
from .url import url_problem
from .verifier import Content, Verifier
from .writer import Writer

BACKOFF = Backoff(base=1.0, cap=64.0)

MAX_REFUSALS = 3
"""How often in a row, without a new byte, the server may refuse a URL that AWS has made retried_mismatch."""

MAX_RESTARTS = 10
"""How often the bytes of an execution are thrown away and come again as new ones."""

DISK_ATTEMPTS = 3
DISK_PAUSE = 10.0
"""How often a disk that is full or fails is tried, and the seconds in between: others may make
room meanwhile."""

PROGRESS_INTERVAL = 1.0
"""Seconds between two tellings of progress."""

_Done = TypeVar("_Done")
_T = TypeVar("_T")


@dataclass(frozen=True)
class TransferContext:
    """What every transfer works with.

    :param random: a number from 0 up to 1, for the jitter of the back-off.
    :param told: called with the number of bytes that are there and the total, if known.
    :param exchange: makes what performs one HTTP request.
    :param load: makes ``exchange`` quick; called in a thread.
    """

    reactor: Reactor
    settings: Download
    verifier: Verifier
    random: Callable[[], float]
    told: Callable[[int, int | None], None]
    exchange: ExchangeFactory
    load: Callable[[], None]


class Failed(Exception):
    """There is no hope left; ``state`` is what to report."""

    def __init__(self, state: State, message: str) -> None:
        super().__init__(message)
        self.state = state


@dataclass
class Budget:
    """What an execution has used up. Every byte beyond what was ever there renews it.

    ``attempts`` and ``refusals`` count those in a row without such a byte; ``high_water_mark`` is the highest
    number of bytes so far; ``restarts`` is how often they were thrown away; ``retried_mismatch`` says that a
    wrong file was, once; ``disk_failures`` is how often the disk has refused.
    """

    key: ExecutionKey
    attempts: int = 0
    refusals: int = 0
    high_water_mark: int = 0
    restarts: int = 0
    retried_mismatch: bool = False
    disk_failures: int = 0

    def reached(self, length: int) -> None:
        if length > self.high_water_mark:
            self.high_water_mark = length
            self.attempts = self.refusals = 0

    def start_over(self) -> None:
        """Bytes that come again count as new ones; but not for ever, if the file never rests."""
        self.restarts += 1
        if self.restarts <= MAX_RESTARTS:
            self.high_water_mark = 0


def check_job(tools: TransferContext, job: Job) -> None:
    """:raises Failed: if the file of this job need not be asked for."""
    if unfit := url_problem(job, allow_http=tools.settings.allow_http):
        raise Failed(State.DOWNLOAD_FAILED, f"file: {unfit}")
    if objection := tools.verifier.objection(job):
        raise Failed(State.VERIFICATION_FAILED, objection)


class Transfer(Generic[_Done]):
    """One run towards the file of an execution; :meth:`stop` makes it end silently."""

    log = Logger()

    def __init__(self, tools: TransferContext, job: Job, budget: Budget) -> None:
        self.job = job
        self._tools = tools
        self._reactor = tools.reactor
        self._budget = budget
        self._waiter = CancelScope()
        self._next_telling = -math.inf

    def stop(self) -> None:
        """End what runs; the run then raises ``CancelledError``."""
        self._waiter.stop()

    # --- what the kinds of transfers differ in ---

    async def run(self) -> _Done | UrlExpired:
        """:raises Failed: when there is no hope left."""
        raise NotImplementedError

    def _put(self, target: PartialDownload, data: bytes) -> Deferred[None]:
        """Bytes of the file, in order; fires when the next ones may come."""
        raise NotImplementedError

    async def _finish(self, target: PartialDownload) -> _Done:
        """All bytes are there.

        :raises Wrong: if this is not the job's file.
        """
        raise NotImplementedError

    def _wrong(self, target: PartialDownload, problem: str) -> Temporary:
        """These are not the bytes of the job's file.

        :raises Failed: if they need not be asked for again.
        """
        raise NotImplementedError

    # --- attempts ---

    async def _attempts(self, target: PartialDownload) -> _Done | UrlExpired:
        await self._in_thread(self._tools.load)
        while True:
            before = self._budget.high_water_mark
            verdict = await self._try(target)
            if isinstance(verdict, Temporary):
                await self._back_off(verdict, gained=self._budget.high_water_mark > before)
            elif isinstance(verdict, Permanent):
                raise Failed(State.DOWNLOAD_FAILED, verdict.reason)
            elif isinstance(verdict, UrlExpired):
                return self._refused(verdict)
            else:
                return verdict

    async def _try(self, target: PartialDownload) -> _Done | Temporary | UrlExpired | Permanent:
        """One attempt, and the look at what it has brought."""
        try:
            verdict = None if target.full else await self._attempt(target)
            if isinstance(verdict, FileChanged):
                self._start_over(target)
                return Temporary(verdict.reason)
            if isinstance(verdict, Temporary | UrlExpired | Permanent):
                return verdict
            return await self._finish(target)
        except FileMismatch as problem:
            return self._wrong(target, str(problem))
        except DiskError as problem:
            self._budget.disk_failures += 1
            if self._budget.disk_failures >= DISK_ATTEMPTS:
                raise
            return Temporary(problem.error.strerror or str(problem), after=DISK_PAUSE)

    async def _attempt(self, target: PartialDownload) -> Verdict:
        attempt = Attempt(
            target,
            lambda: self._tools.exchange(self._waiter),
            lambda exchange: Writer(
                self._reactor,
                target,
                exchange,
                lambda data: self._put(target, data),
                lambda: self._written(target),
            ),
        )
        verdict = await attempt.run()
        self._waiter.check()  # the writer has its own time to end
        return verdict

    def _written(self, target: PartialDownload) -> None:
        if self._waiter.stopped:
            return
        self._budget.reached(target.length)
        now = self._reactor.seconds()
        if now >= self._next_telling:
            self._next_telling = now + PROGRESS_INTERVAL
            self._tools.told(target.length, target.total)

    def _start_over(self, target: PartialDownload) -> None:
        target.start_over()
        self._budget.start_over()

    async def _back_off(self, retry: Temporary, *, gained: bool) -> None:
        budget = self._budget
        budget.attempts = 0 if gained else budget.attempts + 1
        if budget.attempts >= self._tools.settings.max_attempts:
            message = f"{retry.reason} ({budget.attempts} attempts)"
            raise Failed(State.DOWNLOAD_FAILED, message)
        least = retry.after + retry.spread * self._tools.random()
        delay = max(BACKOFF.delay(budget.attempts, self._tools.random), least)
        self._log("tries again in {delay:.1f} s: {reason}", delay=delay, reason=retry.reason)
        await self._waiter.wait(deferLater(self._reactor, delay))

    def _refused(self, expired: UrlExpired) -> UrlExpired:
        self._budget.refusals += 1
        if self._budget.refusals >= MAX_REFUSALS:
            raise Failed(State.DOWNLOAD_FAILED, expired.reason)
        return expired

    # --- helpers ---

    async def _objection(self, content: Content) -> str:
        """In what all that has come differs from the job's file; empty if in nothing."""
        # Some signatures are over all of the file: nothing can interrupt that, on a slow device
        # it takes a minute, and a stop must not wait for it.
        verifier = self._tools.verifier
        checked = in_daemon(self._reactor, lambda: verifier.check(self.job, content), "check")
        return await self._wait_for(checked)

    def _wanted(self) -> bool:
        return not self._waiter.stopped

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        pool = self._reactor.getThreadPool()
        return await self._wait_for(deferToThreadPool(self._reactor, pool, work))

    async def _wait_for(self, worked: Deferred[_T]) -> _T:
        """:raises DiskError: for an ``OSError``, the only thing that can go wrong in a thread."""
        try:
            return await self._waiter.wait(worked)
        except OSError as error:
            raise DiskError(error) from None
        except Stopped:
            raise CancelledError from None

    def _write_in_thread(self, work: Callable[[], None]) -> Deferred[None]:
        """Run in a thread what must not be left alone there."""
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), work)

    def _log(self, what: str, **values: object) -> None:
        """One line on this download, with its URL but not with the URL's secrets."""
        self.log.info(
            "{job_id}: download of {url} " + what,
            job_id=self.job.job_id,
            url=without_query(self.job.file),
            **values,
        )
