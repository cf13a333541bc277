"""The ``Downloads`` port: the files of jobs, over HTTP, one at a time."""

from __future__ import annotations

import random as random_module
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from upparat.config import Download, Verify
from upparat.job import Job, Key, State
from upparat.ports import DownloadEvents, Downloads
from upparat.text import without_query

from .download_answer import Expired
from .download_file import Done, FileTransfer
from .download_http import Exchange
from .download_line import Reactor
from .download_transfer import Budget, ExchangeFactory, Failed, Tools
from .storage import Refused, Store
from .verify import Verifier


class Downloader:
    """Fetches files into a directory of its own; tells :class:`upparat.ports.DownloadEvents`.

    :param verifier: what the files are checked by, besides size and SHA-256.
    :param random: a number from 0 up to 1, for the jitter of the back-off.
    :param exchange: makes what performs one HTTP request.
    """

    log = Logger()
    events: DownloadEvents

    def __init__(
        self,
        reactor: Reactor,
        settings: Download,
        directory: Path,
        *,
        verifier: Verifier | None = None,
        random: Callable[[], float] = random_module.random,
        exchange: ExchangeFactory = Exchange,
    ) -> None:
        self._reactor = reactor
        self._store = Store(directory)
        self._tools = Tools(
            reactor,
            settings,
            verifier or Verifier(Verify()),
            random,
            lambda downloaded, total: self.events.progressed(downloaded, total),
            exchange,
        )
        self._transfer: FileTransfer | None = None
        self._budget: Budget | None = None
        self._turn = DeferredLock()
        self._closed = False

    def start(self, job: Job) -> None:
        if self._closed:
            self.log.error("{job_id}: a download was asked for after the stop", job_id=job.job_id)
            return
        self.stop()
        if self._budget is None or self._budget.key != job.key:
            self._budget = Budget(job.key)
        transfer = self._transfer = FileTransfer(self._tools, job, self._budget, self._store)
        self.log.info("{job_id}: downloads {url}", job_id=job.job_id, url=without_query(job.file))
        # One that was stopped may still have a batch to write.
        run = self._turn.run(lambda: Deferred.fromCoroutine(transfer.run()))
        run.addCallbacks(
            lambda outcome: self._over(outcome, transfer),
            lambda failure: self._failed(failure, transfer),
        )
        run.addErrback(lambda failure: self.log.failure("Telling of a download", failure))

    def stop(self) -> None:
        transfer, self._transfer = self._transfer, None
        if transfer is not None:
            transfer.stop()

    def discard(self, key: Key) -> None:
        if self._transfer is not None and self._transfer.job.key == key:
            self.stop()
        if self._budget is not None and self._budget.key == key:
            self._budget = None
        self._tidy(lambda: self._store.files(key).discard())

    def clean(self, keep: Key | None) -> None:
        """Remove unfinished files of other executions than ``keep``.

        A complete file stays until the next download begins: without an install hook it is the
        result of its job.
        """
        self._tidy(lambda: self._store.clean(keep, complete=False))

    def shut_down(self) -> Deferred[None]:
        """Stop for good; fires when no connection is left, and nothing is written any more."""
        self._closed = True
        self.stop()
        # An aborted connection is gone one turn of the reactor later.
        return self._turn.run(lambda: deferLater(self._reactor, 0, lambda: None))

    def _tidy(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (OSError, Refused) as problem:
            self.log.warn("Removing downloads: {problem}", problem=problem)

    # --- what a transfer comes to ---

    def _over(self, outcome: Done | Expired, transfer: FileTransfer) -> None:
        if self._transfer is not transfer:
            return
        self._transfer = None
        if isinstance(outcome, Expired):
            self.events.url_expired(outcome.reason)
            return
        job_id = transfer.job.job_id
        self.log.info("{job_id}: {size} bytes are complete", job_id=job_id, size=outcome.size)
        self._transfer = transfer
        self.events.progressed(outcome.size, outcome.size)
        if self._transfer is transfer:
            self._transfer = None
            self.events.downloaded(str(outcome.path))

    def _failed(self, failure: Failure, transfer: FileTransfer) -> None:
        if self._transfer is not transfer:
            return
        self._transfer = None
        problem = failure.value
        if isinstance(problem, Failed):
            self.events.download_failed(problem.state, str(problem))
        else:
            self.log.failure("{job_id}: download", failure, job_id=transfer.job.job_id)
            self.events.download_failed(State.DOWNLOAD_FAILED, type(problem).__name__)


def _is_port(downloader: Downloader) -> Downloads:
    return downloader
