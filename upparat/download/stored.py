"""The way of one file onto the disk: what an earlier run has left, checking, completion."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

from twisted.internet.defer import Deferred

from upparat.job import Job, State
from upparat.storage.directory import Files, Part, Refused, Store, Stored, hash_file

from .partial import DiskError, FileMismatch, PartialDownload, disk, wrong
from .response import Temporary, UrlExpired
from .transfer import Budget, Failed, Transfer, TransferContext, check_job


@dataclass(frozen=True)
class Done:
    """The file lies there, complete and checked."""

    path: Path
    size: int


class FileTransfer(Transfer[Done]):
    """Fetches a file into a :class:`Store`."""

    def __init__(self, tools: TransferContext, job: Job, budget: Budget, store: Store) -> None:
        super().__init__(tools, job, budget)
        self._store = store

    async def run(self) -> Done | UrlExpired:
        """:raises Failed: when there is no hope left."""
        self._waiter.check()
        self._check_job()
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

    def _check_job(self) -> None:
        try:
            check_job(self._tools, self.job)
        except Failed:
            self._discard()
            raise

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
        return not await self._objection(Stored(path, size, sha256, self._wanted))

    async def _fetch(self, files: Files) -> Done | UrlExpired:
        with disk():
            part = Part(files)
        self._part = part
        try:
            target = PartialDownload(self.job, part)
            await self._take_up(target)
            return await self._attempts(target)
        finally:
            part.close()

    async def _take_up(self, target: PartialDownload) -> None:
        """Continue what is there, if it can be told to belong to the same file."""
        if target.continuable:
            await self._rehash(target)
        else:
            target.start_over()
        self._budget.reached(target.length)

    async def _rehash(self, target: PartialDownload) -> None:
        try:
            await self._in_thread(lambda: self._part.rehash(self._wanted))
        except DiskError as problem:
            self._log("cannot use what is there: {problem}", problem=problem)
            target.start_over()
        else:
            self._log("continues at {length} bytes", length=target.length)

    # --- bytes and their end ---

    def _put(self, target: PartialDownload, data: bytes) -> Deferred[None]:
        return self._write_in_thread(lambda: self._part.write(data))

    async def _finish(self, target: PartialDownload) -> Done:
        target.check()
        part = self._part
        content = Stored(part.files.part, part.length, part.sha256, self._wanted)
        if problem := await self._objection(content):
            raise FileMismatch(problem)
        with disk():
            syncing = part.syncing()
        try:
            await self._in_thread(syncing)
        except DiskError:
            # Linux tells this once: the pages count as written then, and a second look would find
            # right in memory what is not on the disk.
            self._start_over(target)
            raise
        with disk():
            return Done(part.commit(target.complete_note), part.length)

    def _wrong(self, target: PartialDownload, problem: str) -> Temporary:
        """Throw everything away: a damaged part deserves a second chance, a wrong file none, nor
        the right file that nobody has signed."""
        if self._budget.retried_mismatch or target.proven:
            self._discard()
            raise Failed(State.VERIFICATION_FAILED, problem)
        self._start_over(target)
        self._budget.retried_mismatch = True
        return Temporary(problem)

    def _disk_failure(self, error: OSError) -> Failed:
        what = error.strerror or str(error)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return Failed(State.DOWNLOAD_FAILED, f"the file cannot be stored: {what}")
        self._discard()
        return Failed(State.INSUFFICIENT_STORAGE, what)

    def _discard(self) -> None:
        try:
            self._store.files(self.job.key).discard()
        except (OSError, Refused) as error:
            self.log.warn("{job_id}: {error}", job_id=self.job.job_id, error=error)
