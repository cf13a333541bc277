"""The ``Downloads`` port with ``install_stream``: files go through into the install hook."""

from __future__ import annotations

from twisted.python.failure import Failure

from upparat.job import Job, State
from upparat.ports import Downloads
from upparat.streaming import StreamConsumer, StreamProducer

from .downloader import BaseDownloader
from .partial import StartOver
from .streamed import Stream, StreamTransfer, check_streamed
from .transfer import Failed, Transfer


class StreamDownloader(BaseDownloader[int]):
    """Offers the files of jobs, and brings each to the hook that was run for it."""

    _stream: Stream | None = None

    def start(self, job: Job) -> None:
        """Offer the file, or go on with one that the hook is reading already."""
        if not self._open(job):
            return
        stream = self._stream
        if stream is not None and stream.target.job.key == job.key:
            self._bring(job, stream)
            return
        self.stop()
        try:
            check_streamed(self._tools, job)
        except Failed as failed:
            self.events.download_failed(failed.state, str(failed))
        else:
            self._tidy(lambda: self._store.clean(None, complete=True))
            self.events.stream_ready()

    def stop(self) -> None:
        super().stop()
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.passage.close()

    # --- the source of the install hook ---

    def stream(self, job: Job, outlet: StreamConsumer) -> None:
        if self._open(job):
            self.stop()
            self._stream = Stream(self._tools, job, outlet)
            self._bring(job, self._stream)

    def cancel_stream(self, outlet: StreamConsumer) -> None:
        if self._stream is not None and self._stream.outlet is outlet:
            self.stop()

    # --- what a transfer comes to ---

    def _bring(self, job: Job, stream: Stream) -> None:
        super().stop()
        self._begin(StreamTransfer(self._tools, job, stream))

    def _complete(self, done: int, transfer: Transfer[int]) -> None:
        self.log.info(
            "{job_id}: {size} bytes are verified, and with the install hook",
            job_id=transfer.job.job_id,
            size=done,
        )
        self.stop()
        self.events.progressed(done, done)

    def _failed(self, failure: Failure, transfer: Transfer[int]) -> None:
        if self._transfer is transfer and failure.check(StartOver) and self._stream is not None:
            stream = self._stream
            self.stop()
            stream.outlet.start_over(failure.getErrorMessage())
        else:
            super()._failed(failure, transfer)

    def _give_up(self, state: State, message: str) -> None:
        """Tell it when the hook is gone: another job may begin at once."""
        stream = self._stream
        if stream is None:
            return
        gone = stream.outlet.fail()
        gone.addCallback(lambda _: self._tell_failure(stream, state, message))
        gone.addErrback(lambda failure: self.log.failure("Ending the install hook", failure))

    def _tell_failure(self, stream: Stream, state: State, message: str) -> None:
        if self._stream is stream:
            self.stop()
            self.events.download_failed(state, message)


def _is_port(downloader: StreamDownloader) -> tuple[Downloads, StreamProducer]:
    return downloader, downloader
