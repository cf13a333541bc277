"""Bytes on their way from the line to the disk: hashed and written in a thread, in batches.

While one batch is at work the next one gathers, so that a slow disk does not hold up the reactor. A
line that is faster than the disk is paused. A byte of a slow line waits for a moment at the most.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from .partial import DiskError, PartialDownload

BATCH = 1 << 20
"""Bytes that go to the disk at a time: the more, the fewer changes from thread to thread."""

FLUSH_DELAY = 0.5
"""Seconds that a byte waits for others to go with it."""


class Flow(Protocol):
    """Where the bytes come from."""

    def pause(self) -> None:
        """No more for now."""

    def resume(self) -> None:
        """Go on."""


class Writer:
    """Takes one body. All but the work in the thread happens in the reactor's.

    :param put: takes a batch to where it belongs; the Deferred fires when the next one may come.
    :param written: called after each batch.
    """

    def __init__(
        self,
        clock: IReactorTime,
        target: PartialDownload,
        flow: Flow,
        put: Callable[[bytes], Deferred[None]],
        written: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._target = target
        self._flow = flow
        self._put = put
        self._written = written
        self._length = target.length
        self._filling: list[bytes] = []
        self._size = 0
        self._timer: IDelayedCall | None = None
        self._paused = False
        self._ending = False
        self._failure: Failure | None = None
        self._batch: Deferred[None] | None = None
        self._idle: Deferred[None] | None = None

    def take(self, data: bytes) -> None:
        """:raises Wrong: if it is more than the file can have.
        :raises DiskError: if earlier bytes could not be written.
        """
        self._raise()
        self._length += len(data)
        self._target.expect(self._length)
        self._filling.append(data)
        self._size += len(data)
        if self._size < BATCH:
            self._begin_moment()
        elif self._batch is None:
            self._write()
        elif not self._paused:
            self._paused = True
            self._flow.pause()

    async def finish(self) -> None:
        """Wait until all of it is written.

        :raises DiskError: if it cannot be.
        """
        self._ending = True
        await self._rest()
        self._raise()

    async def stop(self) -> None:
        """Write no more, and wait until nobody does."""
        self._empty()
        await self._rest()

    async def _rest(self) -> None:
        self._end_moment()
        if self._batch is None and self._filling and self._failure is None:
            self._write()
        if self._batch is not None:
            self._idle = Deferred()
            await self._idle

    def _raise(self) -> None:
        if self._failure is not None:
            self._failure.raiseException()

    # --- the moment ---

    def _begin_moment(self) -> None:
        if self._timer is None:
            self._timer = self._clock.callLater(FLUSH_DELAY, self._moment_is_over)

    def _end_moment(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _moment_is_over(self) -> None:
        self._timer = None
        if self._batch is None and self._filling and self._failure is None:
            self._write()

    # --- batches ---

    def _write(self) -> None:
        self._end_moment()
        batch = self._empty()
        self._batch = self._put(b"".join(batch))
        self._batch.addCallbacks(lambda _: self._written(), self._failed)
        self._batch.addErrback(self._keep)  # of whoever was told
        self._batch.addCallback(lambda _: self._next())

    def _empty(self) -> list[bytes]:
        filling, self._filling, self._size = self._filling, [], 0
        return filling

    def _failed(self, failure: Failure) -> None:
        problem = failure.value
        self._failure = Failure(DiskError(problem)) if isinstance(problem, OSError) else failure
        self._empty()

    def _keep(self, failure: Failure) -> None:
        self._failure = failure
        self._empty()

    def _next(self) -> None:
        self._batch = None
        if self._size >= BATCH or (self._ending and self._filling):
            self._write()
        elif self._filling:
            self._begin_moment()
        if self._paused:
            self._paused = False
            self._flow.resume()
        if self._batch is None and self._idle is not None:
            idle, self._idle = self._idle, None
            idle.callback(None)
