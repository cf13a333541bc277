"""The bytes that one request of the hook asks for, over any number of requests to the server."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from upparat.download.attempt import Outcome
from upparat.download.exchange import CancelScope, Exchange
from upparat.download.response import (
    Body,
    Complete,
    FileChanged,
    Head,
    ResumePoint,
    Temporary,
)
from upparat.job import Job

from .lent import FileFacts, LentFile
from .ranges import ByteRange
from .upstream import KeptLine, ask


class _RangeEnd(Exception):
    """The bytes that follow were not asked for."""


@implementer(IPushProducer)
class RangeFetch:
    """Brings a range of the file. It goes on from the byte when the connection breaks.

    :param receive: called with the next bytes.
    :param scope: stops it.
    """

    def __init__(
        self,
        file: LentFile,
        facts: FileFacts,
        span: ByteRange,
        receive: Callable[[int, bytes], None],
        scope: CancelScope,
    ) -> None:
        self._file = file
        self._facts = facts
        self._span = span
        self._receive = receive
        self._scope = scope
        self._position = span.begin
        self._exchange: Exchange | None = None
        self._room: Deferred[None] | None = None
        self._surplus = 0

    async def run(self) -> None:
        """Bring all bytes.

        :raises DownloadFailed: if they cannot be had.
        :raises CancelledError: if it was stopped.
        """
        line = self._file.upstream.take(self._file.job)
        try:
            await self._file.persist(self._scope, lambda job: self._attempt(job, line))
        finally:
            line.close()

    # --- one attempt ---

    async def _attempt(self, job: Job, line: KeptLine) -> Outcome:
        if self._room is not None:
            await self._scope.wait(self._room)
        if self._position == self._span.end:  # the connection broke behind the last byte
            return Complete()
        begin, total = (self._position if self._facts.ranges else 0), self._facts.total
        headers = {"Range": f"bytes={begin}-{self._span.end - 1}"} if self._facts.ranges else {}
        # The ETags are compared below, because not every other ETag is another file.
        resume = ResumePoint(begin, total=total, judged=True)
        return await ask(lambda: line.exchange(self._scope), job, resume, headers, self._read)

    async def _read(self, exchange: Exchange, head: Head, body: Body) -> Outcome:
        if changed := self._changed(body):
            return FileChanged(changed)
        before, self._exchange = self._position, exchange
        self._surplus = before - body.offset
        try:
            await exchange.body(self._take)
        except _RangeEnd:
            return Complete()
        finally:
            self._exchange = None
            if self._position > before and not exchange.slow:
                self._file.renew_attempts()
        if self._position == self._span.end:
            return Complete()
        return Temporary(f"the connection ended at byte {self._position} of {self._facts.total}")

    def _changed(self, body: Body) -> str:
        """How the file differs from the one that the hook has a part of; empty if it does not."""
        if body.total not in (None, self._facts.total):
            return "the file on the server has another size"
        other = self._facts.etag and body.etag != self._facts.etag
        if other and not self._file.job.digested:
            return "the file on the server has another ETag"
        return ""

    def _take(self, data: bytes) -> None:
        """Pass on what is new. A server without ranges sends all that came before once more."""
        skipped = min(self._surplus, len(data))
        self._surplus -= skipped
        wanted = data[skipped : skipped + self._span.end - self._position]
        if wanted:
            begin, self._position = self._position, self._position + len(wanted)
            self._file.gained(len(data))
            self._receive(begin, wanted)
        if len(data) > skipped + len(wanted):
            raise _RangeEnd

    # --- IPushProducer ---

    def pauseProducing(self) -> None:
        if self._room is None:
            self._room = Deferred()
        if self._exchange is not None:
            self._exchange.pause()

    def resumeProducing(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.called:
            room.callback(None)
        if self._exchange is not None:
            self._exchange.resume()

    def stopProducing(self) -> None:
        self._scope.stop()
