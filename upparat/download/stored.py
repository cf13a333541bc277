"""The disk as the destination of a download: earlier bytes, verification, completion."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from upparat.job import Job, State
from upparat.storage.directory import Files, Store, UnsafeName
from upparat.storage.part import PartialFile, Seal, Stored, hash_file

from .budget import Budget
from .partial import DiskError, FileMismatch, PartialDownload, disk_errors, mismatch
from .response import Temporary
from .transfer import DownloadFailed, FetchedFile, TransferContext, check_job, log_download
from .work import BackgroundWork

TAMPERED = "another program has written to the file"


class StoredDestination:
    """Stores a file in the download directory."""

    log = Logger()

    def __init__(
        self, context: TransferContext, work: BackgroundWork, job: Job, budget: Budget, store: Store
    ) -> None:
        self._context = context
        self._work = work
        self._job = job
        self._budget = budget
        self._store = store
        self._close: Callable[[], None] = lambda: None
        self._part: PartialFile  # both are there once it is open
        self.partial: PartialDownload

    async def open(self) -> FetchedFile | None:
        """Clean the directory, and take up what an earlier run has left for this execution."""
        self._check_job()
        try:
            files = self._store.files(self._job.key)
            with disk_errors():
                self._store.prepare()
                self._store.clean(self._job.key, complete=True)
        except UnsafeName as refused:
            raise DownloadFailed(State.DOWNLOAD_FAILED, str(refused)) from None
        if done := await self._completed_earlier(files):
            return done
        with disk_errors():
            self._open_part(files)
        self.partial = PartialDownload(self._job, self._part)
        await self._take_up()
        return None

    def close(self) -> None:
        self._close()

    def _check_job(self) -> None:
        try:
            check_job(self._context, self._job)
        except DownloadFailed:
            self._discard()
            raise

    def _open_part(self, files: Files) -> None:
        self._store.prepare()  # again, because it may be gone meanwhile
        self._part = PartialFile(files)
        self._close()
        self._close = self._part.close

    def restore(self) -> None:
        with disk_errors():
            if not self._part.lost:
                return
            self._open_part(self._part.files)
        self._log("was removed from the disk, and begins again")
        self.partial.part = self._part
        self._start_over()

    # --- earlier runs ---

    async def _completed_earlier(self, files: Files) -> FetchedFile | None:
        """The file, if this very execution has completed it before. A wrong one is removed."""
        if not files.known_complete():
            return None
        try:
            note = files.read_note()
            size = note.total or 0
            with disk_errors():
                seal = Seal.of(files.complete)
            right = await self._is_right(files.complete, size, note.digest)
            if right and not seal.broken(files.complete):
                return FetchedFile(size, files.complete, seal)
        except DiskError as problem:
            self._log("cannot use what is complete: {problem}", problem=problem)
        with disk_errors():
            files.discard()
        return None

    async def _is_right(self, path: Path, size: int, sha256: str) -> bool:
        digest = await self._work.run(lambda: hash_file(path, size, self._work.wanted))
        if digest.hexdigest() != sha256 or mismatch(self._job, size, sha256):
            return False
        return not await self._objection(Stored(path, size, sha256, self._work.wanted))

    async def _take_up(self) -> None:
        """Continue a part that belongs to the same file, or start over."""
        if self.partial.continuable:
            await self._rehash()
        else:
            self.partial.start_over()
        self._budget.reached(self.partial.length)

    async def _rehash(self) -> None:
        try:
            await self._work.run(lambda: self._part.rehash(self._work.wanted))
        except DiskError as problem:
            self._log("cannot use what is there: {problem}", problem=problem)
            self.partial.start_over()
        else:
            self._log("continues at {length} bytes", length=self.partial.length)

    # --- bytes, and their end ---

    def put(self, data: bytes) -> Deferred[None]:
        return self._work.write(lambda: self._part.write(data))

    async def finish(self) -> FetchedFile:
        self.partial.check()
        part = self._part
        content = Stored(part.files.part, part.length, part.sha256, self._work.wanted)
        if problem := await self._objection(content):
            raise FileMismatch(problem)
        with disk_errors():
            syncing = part.syncing()
        try:
            await self._work.run(syncing)
        except DiskError:
            # Linux reports a failed write once. Afterwards the pages count as written: the next
            # sync succeeds, and the cache holds right bytes that are not on the disk.
            self._start_over()
            raise
        with disk_errors():
            if part.tampered:
                raise FileMismatch(TAMPERED)
            complete = part.commit(self.partial.complete_note)
            return FetchedFile(part.length, complete, part.seal())

    def mismatch(self, problem: str) -> Temporary:
        """Discard the file. Retry once, because the partial file may have been damaged. Fail at the
        second mismatch, or if the SHA-256 is right and only the signature is wrong."""
        if self._budget.retried_mismatch or self.partial.proven:
            self._discard()
            raise DownloadFailed(State.VERIFICATION_FAILED, problem)
        self._start_over()
        self.partial.believe_etags()
        self._budget.retried_mismatch = True
        return Temporary(problem)

    def disk_failure(self, error: OSError) -> DownloadFailed:
        problem = error.strerror or str(error)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return DownloadFailed(State.DOWNLOAD_FAILED, f"the file cannot be stored: {problem}")
        self._discard()
        return DownloadFailed(State.INSUFFICIENT_STORAGE, problem)

    def _start_over(self) -> None:
        self.partial.start_over()
        self._budget.restart()

    async def _objection(self, content: Stored) -> str:
        """Why the content is not the job's file; empty if it is."""
        # Some signatures are over the whole file: the check takes a minute on a slow device, and
        # nothing can interrupt it. A stop must not wait for it.
        verifier = self._context.verifier
        return await self._work.run_to_end(lambda: verifier.check(self._job, content), "check")

    def _discard(self) -> None:
        try:
            self._store.files(self._job.key).discard()
        except (OSError, UnsafeName) as error:
            self.log.warn("{job_id}: {error}", job_id=self._job.job_id, error=error)

    def _log(self, text: str, **values: object) -> None:
        log_download(self.log, self._job, text, **values)
