"""The way of a body from the network to its destination: in batches, one at a time.

While one batch is hashed and written in a thread, the next one gathers, so that a slow disk does
not hold up the reactor. A network that is faster than the disk is paused. On a slow network a byte
waits for FLUSH_DELAY at the most.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from upparat.oneshot import OneShot

from .partial import DiskError, PartialDownload

BATCH = 1 << 20
"""Bytes of a batch: the more, the fewer changes from thread to thread."""

FLUSH_DELAY = 0.5
"""Seconds that a byte waits for others to fill the batch."""


class Flow(Protocol):
    """The source of the bytes."""

    def pause(self) -> None:
        """Bring no more for now."""

    def resume(self) -> None:
        """Go on."""


class Writer:
    """Writes one body. Its methods are called in the reactor's thread.

    :param put: takes a batch to its destination; fires when the next one may come.
    """

    def __init__(
        self,
        clock: IReactorTime,
        partial: PartialDownload,
        flow: Flow,
        put: Callable[[bytes], Deferred[None]],
    ) -> None:
        self._partial = partial
        self._flow = flow
        self._put = put
        self._length = partial.length
        self._filling: list[bytes] = []
        self._size = 0
        self._flush = OneShot(clock)
        self._paused = False
        self._ending = False
        self._failure: Failure | None = None
        self._batch: Deferred[None] | None = None
        self._idle: Deferred[None] | None = None

    def take(self, data: bytes) -> None:
        """Take the next bytes of the body.

        :raises FileMismatch: if the file cannot have so many.
        :raises DiskError: if earlier bytes could not be written.
        """
        self._raise()
        self._length += len(data)
        self._partial.expect(self._length)
        self._filling.append(data)
        self._size += len(data)
        if self._size < BATCH:
            self._flush_later()
        elif self._batch is None:
            self._write()
        elif not self._paused:
            self._paused = True
            self._flow.pause()

    async def finish(self) -> None:
        """Write what is left, and wait for its end.

        :raises DiskError: if it cannot be.
        """
        self._ending = True
        await self._rest()
        self._raise()

    async def stop(self) -> None:
        """Discard what is left, and wait until nothing is written any more."""
        self._empty()
        await self._rest()

    async def _rest(self) -> None:
        self._flush.cancel()
        self._write_rest()
        if self._batch is not None:
            self._idle = Deferred()
            await self._idle

    def _raise(self) -> None:
        if self._failure is not None:
            self._failure.raiseException()

    # --- batches ---

    def _flush_later(self) -> None:
        if not self._flush.running:
            self._flush.start(FLUSH_DELAY, self._write_rest)

    def _write_rest(self) -> None:
        """Write a batch that is not full, unless one is at work."""
        if self._batch is None and self._filling and self._failure is None:
            self._write()

    def _write(self) -> None:
        self._flush.cancel()
        batch = self._empty()
        self._batch = self._put(b"".join(batch))
        self._batch.addErrback(self._failed)
        self._batch.addCallback(lambda _: self._next())

    def _empty(self) -> list[bytes]:
        filling, self._filling, self._size = self._filling, [], 0
        return filling

    def _failed(self, failure: Failure) -> None:
        problem = failure.value
        self._failure = Failure(DiskError(problem)) if isinstance(problem, OSError) else failure
        self._empty()

    def _next(self) -> None:
        self._batch = None
        if self._size >= BATCH or (self._ending and self._filling):
            self._write()
        elif self._filling:
            self._flush_later()
        if self._paused:
            self._paused = False
            self._flow.resume()
        if self._batch is None and self._idle is not None:
            idle, self._idle = self._idle, None
            idle.callback(None)
