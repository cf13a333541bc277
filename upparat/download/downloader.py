"""The ``Downloads`` port: one transfer at a time, and silence after a stop."""

from __future__ import annotations

import random as random_module
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from upparat.config.settings import DownloadSettings, VerifySettings
from upparat.disk import disk_work
from upparat.job import ExecutionKey, Job, State
from upparat.ports import DownloadEvents, Downloads
from upparat.snapshots import DownloadSnapshot
from upparat.storage.directory import Store, UnsafeName
from upparat.text import without_query

from .budget import Budget
from .client import Client
from .exchange import DownloadReactor, ExchangeFactory
from .response import UrlExpired
from .shortcut import Shortcut
from .stored import StoredDestination
from .transfer import DownloadFailed, FetchedFile, Transfer, TransferContext
from .verifier import Verifier
from .work import BackgroundWork


class BaseDownloader(ABC):
    """Runs transfers, and reports to :class:`upparat.ports.DownloadEvents`.

    :param directory: the download directory; may hold files of an earlier agent.
    :param verifier: checks the files, beside size and SHA-256.
    :param random: returns a number from 0 up to 1, for the jitter of the back-off.
    :param exchange: makes the exchange that performs one HTTP request.
    :param renew: locks the directory again, if it is a new one.
    :ivar fetched: the bytes that have come from servers since the start.
    :param shortcut: another way to the bytes of files.
    """

    log = Logger()
    events: DownloadEvents

    def __init__(
        self,
        reactor: DownloadReactor,
        settings: DownloadSettings,
        directory: Path,
        *,
        verifier: Verifier | None = None,
        random: Callable[[], float] = random_module.random,
        exchange: ExchangeFactory | None = None,
        renew: Callable[[], None] = lambda: None,
        shortcut: Shortcut | None = None,
    ) -> None:
        self.fetched = 0
        self._reactor = reactor
        self._store = Store(directory, renew)
        client = Client(reactor, settings)
        self._context = TransferContext(
            reactor,
            settings,
            verifier or Verifier(VerifySettings()),
            random,
            self._progressed,
            exchange or client.exchange,
            (lambda: None) if exchange else client.load,
            self._count,
            shortcut,
        )
        self._transfer: Transfer | None = None
        self._turn = DeferredLock()
        self._closed = False

    def stop(self) -> None:
        transfer, self._transfer = self._transfer, None
        if transfer is not None:
            transfer.stop()

    def discard(self, key: ExecutionKey) -> None:
        if self._transfer is not None and self._transfer.job.key == key:
            self.stop()
        self._tidy(lambda: self._store.files(key).discard())

    def snapshot(self) -> DownloadSnapshot | None:
        """Return the download that is under way; ``None`` if there is none."""
        return self._transfer.snapshot() if self._transfer is not None else None

    def clean(self, keep: ExecutionKey | None) -> None:
        """Remove partial files of other executions than ``keep``.

        A complete file stays until the next download begins, because without an install hook it is
        the result of its job.
        """
        self._tidy(lambda: self._store.clean(keep, complete=False))

    def file_problem(self, file: str) -> str:
        """Why an install hook must not get the file at this path; empty if it is still the one that
        was verified."""
        return ""

    def shut_down(self) -> Deferred[None]:
        """Stop for good; fires when no connection is left and nothing is written any more."""
        self._closed = True
        self.stop()
        # An aborted connection is gone one turn of the reactor later.
        return self._turn.run(lambda: deferLater(self._reactor, 0, lambda: None))

    def _count(self, count: int) -> None:
        self.fetched += count

    def _tidy(self, work: Callable[[], None]) -> None:
        try:
            with disk_work():
                work()
        except (OSError, UnsafeName) as problem:
            self.log.warn("Removing downloads: {problem}", problem=problem)

    # --- a transfer ---

    def _progressed(self, downloaded: int, total: int | None, reused: int) -> None:
        self.events.progressed(downloaded, total, *([reused] if reused else []))

    def _report_complete(self, size: int) -> None:
        shortcut = self._context.shortcut
        self._progressed(size, size, shortcut.reused if shortcut is not None else 0)

    def _may_begin(self, job: Job) -> bool:
        """Whether downloads may begin."""
        if self._closed:
            self.log.error("{job_id}: a download was asked for after the stop", job_id=job.job_id)
        return not self._closed

    def _begin(self, transfer: Transfer) -> None:
        job = transfer.job
        self._transfer = transfer
        self.log.info("{job_id}: downloads {url}", job_id=job.job_id, url=without_query(job.file))
        # A transfer that was stopped may still be writing its last batch.
        run = self._turn.run(lambda: Deferred.fromCoroutine(transfer.run()))
        run.addCallbacks(
            lambda outcome: self._ended(outcome, transfer),
            lambda failure: self._failed(failure, transfer),
        )
        run.addErrback(lambda failure: self.log.failure("Reporting on a download", failure))

    def _ended(self, outcome: FetchedFile | UrlExpired, transfer: Transfer) -> None:
        if self._transfer is not transfer:
            return
        if isinstance(outcome, UrlExpired):
            self._transfer = None
            self.events.url_expired(outcome.reason)
        else:
            self._complete(outcome, transfer)

    @abstractmethod
    def _complete(self, done: FetchedFile, transfer: Transfer) -> None:
        """Report that the file has arrived and is verified."""

    def _failed(self, failure: Failure, transfer: Transfer) -> None:
        if self._transfer is not transfer:
            return
        self._transfer = None
        problem = failure.value
        if isinstance(problem, DownloadFailed):
            self._give_up(problem.state, str(problem))
        else:
            self.log.failure("{job_id}: download", failure, job_id=transfer.job.job_id)
            self._give_up(State.DOWNLOAD_FAILED, type(problem).__name__)

    def _give_up(self, state: State, message: str) -> None:
        """Report that the download has failed for good."""
        self.events.download_failed(state, message)


class Downloader(BaseDownloader):
    """Downloads files into the download directory."""

    _budget: Budget | None = None
    _sealed: FetchedFile | None = None

    def file_problem(self, file: str) -> str:
        sealed = self._sealed
        if sealed is None or str(sealed.path) != file:
            return "the file was not verified"
        broken = sealed.seal and sealed.path and sealed.seal.broken(sealed.path)
        return "the file was changed after it was verified" if broken else ""

    def start(self, job: Job) -> None:
        if not self._may_begin(job):
            return
        self.stop()
        if self._budget is None or self._budget.key != job.key:
            self._budget = Budget(job.key)
        context, budget, work = self._context, self._budget, BackgroundWork(self._reactor)
        destination = StoredDestination(context, work, job, budget, self._store)
        self._begin(Transfer(context, job, budget, destination, work))

    def discard(self, key: ExecutionKey) -> None:
        if self._budget is not None and self._budget.key == key:
            self._budget = None
        super().discard(key)

    def _complete(self, done: FetchedFile, transfer: Transfer) -> None:
        job_id = transfer.job.job_id
        self.log.info("{job_id}: {size} bytes are complete", job_id=job_id, size=done.size)
        self._report_complete(done.size)
        if self._transfer is transfer:
            self._transfer = None
            self._sealed = done
            self.events.downloaded(str(done.path))


_port: type[Downloads] = Downloader
