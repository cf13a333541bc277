"""The ``Downloads`` port: the files of jobs, over HTTP, one at a time, onto the disk."""

from __future__ import annotations

from upparat.job import ExecutionKey, Job
from upparat.ports import Downloads

from .downloader import BaseDownloader
from .stored import Done, FileTransfer
from .transfer import Budget, Transfer


class Downloader(BaseDownloader[Done]):
    """Fetches files into a directory of its own."""

    _budget: Budget | None = None

    def start(self, job: Job) -> None:
        if not self._open(job):
            return
        self.stop()
        if self._budget is None or self._budget.key != job.key:
            self._budget = Budget(job.key)
        self._begin(FileTransfer(self._tools, job, self._budget, self._store))

    def discard(self, key: ExecutionKey) -> None:
        if self._budget is not None and self._budget.key == key:
            self._budget = None
        super().discard(key)

    def _complete(self, done: Done, transfer: Transfer[Done]) -> None:
        job_id = transfer.job.job_id
        self.log.info("{job_id}: {size} bytes are complete", job_id=job_id, size=done.size)
        self.events.progressed(done.size, done.size)
        if self._transfer is transfer:
            self._transfer = None
            self.events.downloaded(str(done.path))


def _is_port(downloader: Downloader) -> Downloads:
    return downloader
