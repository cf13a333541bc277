"""The way of one file onto the disk: attempts, back-off, checking, completion."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from upparat.backoff import Backoff
from upparat.config import Download
from upparat.job import Job, Key, State
from upparat.text import without_query

from .download_answer import Changed, Expired, Final, Retry
from .download_attempt import Attempt, Verdict
from .download_http import Exchange, Waiter
from .download_line import Reactor
from .download_target import DiskError, Target, Wrong, disk, wrong
from .download_url import url_problem
from .download_writer import Writer
from .storage import Files, Part, Refused, Stopped, Store, hash_file
from .verify import Verifier

BACKOFF = Backoff(base=1.0, cap=64.0)

MAX_REFUSALS = 3
"""How often in a row, without a new byte, the server may refuse a URL that AWS has made afresh."""

DISK_ATTEMPTS = 3
DISK_PAUSE = 10.0
"""How often a disk that is full or fails is tried, and the seconds in between: others may make
room meanwhile."""

PROGRESS_INTERVAL = 1.0
"""Seconds between two tellings of progress."""

_T = TypeVar("_T")

ExchangeFactory = Callable[[Reactor, Download, Waiter], Exchange]


@dataclass(frozen=True)
class Done:
    """The file lies there, complete and checked."""

    path: Path
    size: int


class Failed(Exception):
    """There is no hope left; ``state`` is what to report."""

    def __init__(self, state: State, message: str) -> None:
        super().__init__(message)
        self.state = state


@dataclass
class Budget:
    """What an execution has used up. Every byte beyond what was ever there renews it.

    ``attempts`` and ``refusals`` count those in a row without such a byte; ``most`` is the highest
    number of bytes so far; ``afresh`` says that a wrong file has been thrown away once;
    ``disk_failures`` is how often the disk has refused.
    """

    key: Key
    attempts: int = 0
    refusals: int = 0
    most: int = 0
    afresh: bool = False
    disk_failures: int = 0

    def reached(self, length: int) -> None:
        if length > self.most:
            self.most = length
            self.attempts = self.refusals = 0


class Transfer:
    """One run towards the file of an execution; :meth:`stop` makes it end silently.

    :param told: called with the number of bytes that are there and the total, if known.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Reactor,
        settings: Download,
        store: Store,
        job: Job,
        budget: Budget,
        random: Callable[[], float],
        told: Callable[[int, int | None], None],
        verifier: Verifier,
        exchange: ExchangeFactory = Exchange,
    ) -> None:
        self.job = job
        self._reactor = reactor
        self._settings = settings
        self._store = store
        self._budget = budget
        self._random = random
        self._told = told
        self._verifier = verifier
        self._exchange = exchange
        self._waiter = Waiter()
        self._next_telling = -math.inf

    def stop(self) -> None:
        """End what runs; :meth:`run` then raises ``CancelledError``."""
        self._waiter.stop()

    async def run(self) -> Done | Expired:
        """:raises Failed: when there is no hope left."""
        self._waiter.check()
        if unfit := url_problem(self.job, allow_http=self._settings.allow_http):
            raise Failed(State.DOWNLOAD_FAILED, f"file: {unfit}")
        if objection := self._verifier.objection(self.job):
            self._discard()
            raise Failed(State.VERIFICATION_FAILED, objection)
        try:
            files = self._store.files(self.job.key)
            with disk():
                self._store.prepare()
                self._store.clean(self.job.key, complete=True)
            return await self._earlier(files) or await self._fetch(files)
        except Refused as refused:
            raise Failed(State.DOWNLOAD_FAILED, str(refused)) from None
        except DiskError as problem:
            raise self._disk_failure(problem.error) from None

    async def _earlier(self, files: Files) -> Done | None:
        """The file, if this very execution has completed it before. A wrong one is removed."""
        if not files.known_complete():
            return None
        try:
            note = files.read_note()
            size = note.total or 0
            if await self._right(files.complete, size, note.digest):
                return Done(files.complete, size)
        except DiskError as problem:
            self._log("cannot use what is complete: {problem}", problem=problem)
        with disk():
            files.discard()
        return None

    async def _right(self, path: Path, size: int, sha256: str) -> bool:
        digest = await self._in_thread(lambda: hash_file(path, size, self._wanted))
        if digest.hexdigest() != sha256 or wrong(self.job, size, sha256):
            return False
        return not await self._verify(path, size, sha256)

    async def _fetch(self, files: Files) -> Done | Expired:
        with disk():
            part = Part(files)
        try:
            target = Target(self.job, part)
            await self._take_up(target)
            return await self._attempts(target)
        finally:
            part.close()

    async def _take_up(self, target: Target) -> None:
        """Continue what is there, if it can be told to belong to the same file."""
        if target.continuable:
            await self._in_thread(lambda: target.part.rehash(self._wanted))
            self._log("continues at {length} bytes", length=target.length)
        else:
            target.start_over()
        self._budget.reached(target.length)

    # --- attempts ---

    async def _attempts(self, target: Target) -> Done | Expired:
        while True:
            before = self._budget.most
            verdict = await self._try(target)
            if isinstance(verdict, Retry):
                await self._back_off(verdict, gained=self._budget.most > before)
            elif isinstance(verdict, Final):
                raise Failed(State.DOWNLOAD_FAILED, verdict.reason)
            elif isinstance(verdict, Expired):
                return self._refused(verdict)
            else:
                return verdict

    async def _try(self, target: Target) -> Done | Retry | Expired | Final:
        """One attempt, and the look at what it has brought."""
        try:
            verdict = None if target.full else await self._attempt(target)
            if isinstance(verdict, Changed):
                target.start_over()
                return Retry(verdict.reason)
            if isinstance(verdict, Retry | Expired | Final):
                return verdict
            return await self._finish(target)
        except Wrong as problem:
            return self._afresh(target, str(problem))
        except DiskError as problem:
            self._budget.disk_failures += 1
            if self._budget.disk_failures >= DISK_ATTEMPTS:
                raise
            return Retry(problem.error.strerror or str(problem), after=DISK_PAUSE)

    async def _attempt(self, target: Target) -> Verdict:
        attempt = Attempt(
            target,
            lambda: self._exchange(self._reactor, self._settings, self._waiter),
            lambda exchange: Writer(
                self._reactor,
                target,
                exchange,
                self._write_in_thread,
                lambda: self._written(target),
            ),
        )
        verdict = await attempt.run()
        self._waiter.check()  # the writer has its own time to end
        return verdict

    def _written(self, target: Target) -> None:
        if self._waiter.stopped:
            return
        self._budget.reached(target.length)
        now = self._reactor.seconds()
        if now >= self._next_telling:
            self._next_telling = now + PROGRESS_INTERVAL
            self._told(target.length, target.total)

    async def _back_off(self, retry: Retry, *, gained: bool) -> None:
        budget = self._budget
        budget.attempts = 0 if gained else budget.attempts + 1
        if budget.attempts >= self._settings.max_attempts:
            message = f"{retry.reason} ({budget.attempts} attempts)"
            raise Failed(State.DOWNLOAD_FAILED, message)
        delay = max(BACKOFF.delay(budget.attempts, self._random), retry.after)
        self._log("tries again in {delay:.1f} s: {reason}", delay=delay, reason=retry.reason)
        await self._waiter.wait(deferLater(self._reactor, delay))

    def _refused(self, expired: Expired) -> Expired:
        self._budget.refusals += 1
        if self._budget.refusals >= MAX_REFUSALS:
            raise Failed(State.DOWNLOAD_FAILED, expired.reason)
        return expired

    # --- the end ---

    async def _finish(self, target: Target) -> Done:
        """:raises Wrong: if this is not the job's file."""
        target.check()
        part = target.part
        if problem := await self._verify(part.files.part, part.length, part.digest):
            raise Wrong(problem)
        with disk():
            syncing = part.syncing()
        await self._in_thread(syncing)
        return Done(target.commit(), target.length)

    def _afresh(self, target: Target, problem: str) -> Retry:
        """Throw everything away: a damaged part deserves a second chance, a wrong file none, nor
        the right file that nobody has signed."""
        if self._budget.afresh or target.proven:
            self._discard()
            raise Failed(State.VERIFICATION_FAILED, problem)
        target.start_over()
        self._budget.afresh = True
        self._budget.most = 0
        return Retry(problem)

    def _disk_failure(self, error: OSError) -> Failed:
        what = error.strerror or str(error)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return Failed(State.DOWNLOAD_FAILED, f"the file cannot be stored: {what}")
        self._discard()
        return Failed(State.INSUFFICIENT_STORAGE, what)

    def _discard(self) -> None:
        try:
            self._store.files(self.job.key).discard()
        except OSError as error:
            self.log.warn("{job_id}: {error}", job_id=self.job.job_id, error=error)

    async def _verify(self, path: Path, size: int, sha256: str) -> str:
        def check() -> str:
            return self._verifier.check(self.job, path, size, sha256, self._wanted)

        return await self._in_thread(check)

    # --- helpers ---

    def _wanted(self) -> bool:
        return not self._waiter.stopped

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        """:raises DiskError: for an ``OSError``, the only thing that can go wrong there."""
        pool = self._reactor.getThreadPool()
        try:
            return await self._waiter.wait(deferToThreadPool(self._reactor, pool, work))
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
