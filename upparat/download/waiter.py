"""Waiting that can be given up from anywhere."""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred

_T = TypeVar("_T")


class Waiter:
    """Awaits one Deferred after the other, until it is stopped.

    Unlike the cancelling of a coroutine's Deferred this may be done from anywhere, even from code
    that the coroutine itself has called.
    """

    def __init__(self) -> None:
        self.stopped = False
        self._waiting: Deferred[object] | None = None

    async def wait(self, deferred: Deferred[_T]) -> _T:
        """:raises CancelledError: once stopped, and if the Deferred is cancelled."""
        self._waiting = deferred  # type: ignore[assignment]
        try:
            self.check(deferred)
            return await deferred
        finally:
            self._waiting = None
            self.check()

    def check(self, deferred: Deferred[_T] | None = None) -> None:
        if self.stopped:
            if deferred is not None:
                deferred.addErrback(lambda _: None)
                deferred.cancel()
            raise CancelledError

    def cancel(self) -> None:
        """Cancel what is waited for now."""
        if self._waiting is not None:
            self._waiting.cancel()

    def stop(self) -> None:
        self.stopped = True
        self.cancel()
