"""The install hook as the destination of a download: nothing of the file is stored.

The last bytes are held back until the whole file is verified. So no installer can have read a
complete file before that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from upparat.job import Job, State
from upparat.ports import Downloads
from upparat.storage.directory import Note
from upparat.streaming import StreamConsumer, StreamProducer

from .budget import Budget
from .downloader import BaseDownloader
from .partial import CannotRestart, FileMismatch, PartialDownload
from .response import ResumePoint, Temporary
from .transfer import DownloadFailed, FetchedFile, Transfer, TransferContext, check_job
from .work import BackgroundWork

HELD_BACK = 1 << 16
"""Bytes at the end of the file that the hook gets once all are verified."""


def check_streamed(context: TransferContext, job: Job) -> None:
    """Look for a reason not to stream the file of this job.

    :raises DownloadFailed: if there is one.
    """
    check_job(context, job)
    if not context.verifier.identifies(job):
        needs = "[hooks] install_stream needs sha256, sha512 or a signature in the job document"
        raise DownloadFailed(State.VERIFICATION_FAILED, needs)


class StreamSink:
    """Counts and hashes the bytes, and passes them on to the consumer.

    The methods are called one at a time, :meth:`hash` from a thread.

    :param algorithms: the digests to follow, by their names in hashlib.
    """

    def __init__(self, consumer: StreamConsumer, algorithms: Collection[str]) -> None:
        self.length = 0
        self._consumer = consumer
        self._hashes = {name: hashlib.new(name) for name in {"sha256", *algorithms}}
        self._end = b""
        self._closed = False

    # --- bytes ---

    def close(self) -> None:
        """Pass on nothing any more: the consumer may belong to another stream already."""
        self._closed = True

    def hash(self, data: bytes) -> None:
        for each in self._hashes.values():
            each.update(data)

    def pass_on(self, data: bytes) -> Deferred[None]:
        """Pass on all but the last :data:`HELD_BACK` bytes; fires when there is room for more."""
        if self._closed:
            return succeed(None)
        self.length += len(data)
        known = self._end + data
        self._end = known[-HELD_BACK:]
        return self._consumer.write(known[:-HELD_BACK])

    def release(self) -> Deferred[None]:
        """Pass on the bytes that were held back."""
        end, self._end = self._end, b""
        return self._consumer.write(end)

    # --- the message that is verified ---

    def digest(self, name: str) -> bytes:
        """The digest of all bytes, by one of the algorithms."""
        return self._hashes[name].digest()

    def verify(self, check: Callable[[bytes], None]) -> None:
        """:raises ValueError: always, because nobody has all bytes at once."""
        raise ValueError("Ed25519 over the file alone needs a file that is stored")

    # --- the sink of a partial download ---

    @property
    def sha256(self) -> str:
        return self.digest("sha256").hex()

    def read_note(self) -> Note:
        return Note()

    def write_note(self, note: Note) -> None:
        """Nothing of a stream is remembered."""

    def start_over(self) -> None:
        raise CannotRestart("the server does not go on where the connection has ended")

    def make_room(self, total: int) -> None:
        """A stream needs no room."""


class PartialStream(PartialDownload):
    """The bytes that were passed on, measured against the job."""

    @property
    def judged(self) -> bool:
        """Never, because the digest comes too late: the hook has read nearly all by then."""
        return False

    @property
    def resume_point(self) -> ResumePoint:
        """Resume only with an ETag: a file put together of two would be found out too late."""
        resume = super().resume_point
        return resume if resume.etag else ResumePoint()


class Stream:
    """A file on its way into one run of the hook; its job, and so its URL, may be renewed."""

    def __init__(self, context: TransferContext, job: Job, consumer: StreamConsumer) -> None:
        self.consumer = consumer
        self.budget = Budget(job.key)
        self.sink = StreamSink(consumer, context.verifier.digests(job))
        self.partial = PartialStream(job, self.sink)


class StreamDestination:
    """Passes a file on to the consumer of a stream."""

    def __init__(
        self, context: TransferContext, work: BackgroundWork, job: Job, stream: Stream
    ) -> None:
        self.partial = stream.partial
        self._context = context
        self._work = work
        self._job = job
        self._stream = stream

    async def open(self) -> FetchedFile | None:
        check_streamed(self._context, self._job)
        self.partial.job = self._job
        return None

    def restore(self) -> None:
        """Nothing is stored that others could remove."""

    def put(self, data: bytes) -> Deferred[None]:
        sink = self._stream.sink
        return self._work.write(lambda: sink.hash(data)).addCallback(lambda _: sink.pass_on(data))

    async def finish(self) -> FetchedFile:
        self.partial.check()
        sink, verifier = self._stream.sink, self._context.verifier
        check = self._work.run_to_end(lambda: verifier.check(self._job, sink), "check")
        if problem := await check:
            raise FileMismatch(problem)
        await self._work.scope.wait(sink.release())
        self._stream.consumer.finish_stdin()
        return FetchedFile(self.partial.length)

    def mismatch(self, problem: str) -> Temporary:
        raise DownloadFailed(State.VERIFICATION_FAILED, problem)

    def disk_failure(self, error: OSError) -> DownloadFailed:
        return DownloadFailed(State.DOWNLOAD_FAILED, f"the file cannot be hashed: {error.strerror}")

    def close(self) -> None:
        """Nothing was opened."""


class StreamDownloader(BaseDownloader):
    """The ``Downloads`` port with ``install_stream``: offers the files of jobs, and streams each to
    the install hook that was run for it."""

    _stream: Stream | None = None

    def start(self, job: Job) -> None:
        """Offer the file, or go on with one that the hook is reading already."""
        if not self._may_begin(job):
            return
        stream = self._stream
        if stream is not None and stream.partial.job.key == job.key:
            self._transfer_to(stream, job)
            return
        self.stop()
        try:
            check_streamed(self._context, job)
        except DownloadFailed as failed:
            self.events.download_failed(failed.state, str(failed))
        else:
            self._tidy(lambda: self._store.clean(None, complete=True))
            self.events.stream_ready()

    def stop(self) -> None:
        super().stop()
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.sink.close()

    # --- the producer for the install hook ---

    def stream(self, job: Job, consumer: StreamConsumer) -> None:
        if self._may_begin(job):
            self.stop()
            self._stream = Stream(self._context, job, consumer)
            self._transfer_to(self._stream, job)

    def cancel_stream(self, consumer: StreamConsumer) -> None:
        if self._stream is not None and self._stream.consumer is consumer:
            self.stop()

    # --- transfers ---

    def _transfer_to(self, stream: Stream, job: Job) -> None:
        super().stop()
        context, work = self._context, BackgroundWork(self._reactor)
        destination = StreamDestination(context, work, job, stream)
        self._begin(Transfer(context, job, stream.budget, destination, work))

    def _complete(self, done: FetchedFile, transfer: Transfer) -> None:
        self.log.info(
            "{job_id}: {size} bytes are verified, and with the install hook",
            job_id=transfer.job.job_id,
            size=done.size,
        )
        self.stop()
        self._report_complete(done.size)

    def _failed(self, failure: Failure, transfer: Transfer) -> None:
        if self._transfer is transfer and failure.check(CannotRestart) and self._stream is not None:
            stream = self._stream
            self.stop()
            stream.consumer.run_again(failure.getErrorMessage())
        else:
            super()._failed(failure, transfer)

    def _give_up(self, state: State, message: str) -> None:
        """Report the failure once the hook is gone: another job may begin at once."""
        stream = self._stream
        if stream is None:
            return
        gone = stream.consumer.fail()
        gone.addCallback(lambda _: self._report_failure(stream, state, message))
        gone.addErrback(lambda failure: self.log.failure("Ending the install hook", failure))

    def _report_failure(self, stream: Stream, state: State, message: str) -> None:
        if self._stream is stream:
            self.stop()
            self.events.download_failed(state, message)


_port: type[Downloads] = StreamDownloader
_producer: type[StreamProducer] = StreamDownloader
