"""Work of a download outside of the reactor's thread, which a stop can leave behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import deferToThreadPool

from upparat.net.threads import defer_to_daemon_thread
from upparat.storage.part import Stopped

from .exchange import CancelScope, DownloadReactor
from .partial import DiskError

_T = TypeVar("_T")


class BackgroundWork:
    """Runs the work of one transfer in threads.

    :ivar scope: stops the transfer; every wait goes through it.
    """

    def __init__(self, reactor: DownloadReactor) -> None:
        self.scope = CancelScope()
        self._reactor = reactor

    def wanted(self) -> bool:
        """Whether the transfer still runs; to be asked from a thread."""
        return not self.scope.stopped

    async def run(self, work: Callable[[], _T]) -> _T:
        """Run ``work`` in a thread of the pool.

        :raises DiskError: if it raises ``OSError``.
        :raises CancelledError: once the transfer is stopped.
        """
        return await self._wait(self._in_pool(work))

    async def run_to_end(self, work: Callable[[], _T], name: str) -> _T:
        """Run ``work`` that nothing can interrupt, in a thread that the end of the process does not
        wait for. Raises what :meth:`run` does."""
        return await self._wait(defer_to_daemon_thread(self._reactor, work, name))

    def write(self, work: Callable[[], None]) -> Deferred[None]:
        """Run ``work`` in a thread, and let the caller wait for its end, even after a stop."""
        return self._in_pool(work)

    def _in_pool(self, work: Callable[[], _T]) -> Deferred[_T]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), work)

    async def _wait(self, worked: Deferred[_T]) -> _T:
        try:
            return await self.scope.wait(worked)
        except OSError as error:
            raise DiskError(error) from None
        except Stopped:
            raise CancelledError from None
