"""The contract between a download and its HTTP client: one request and its response."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import (
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
)

from .response import Head

_T = TypeVar("_T")


class CancelScope:
    """Awaits one Deferred after the other, until it is stopped.

    Unlike the cancelling of a coroutine's Deferred this may be done from anywhere, even from code
    that the coroutine itself has called.
    """

    def __init__(self) -> None:
        self.stopped = False
        self._waiting: Deferred[object] | None = None

    async def wait(self, deferred: Deferred[_T]) -> _T:
        """Await this Deferred.

        :raises CancelledError: once stopped, and if the Deferred is cancelled.
        """
        self._waiting = deferred  # type: ignore[assignment]
        try:
            self.check(deferred)
            return await deferred
        finally:
            self._waiting = None
            self.check()

    def check(self, deferred: Deferred[_T] | None = None) -> None:
        """Raise ``CancelledError`` if stopped, and cancel ``deferred`` in this case."""
        if self.stopped:
            if deferred is not None:
                deferred.addErrback(lambda _: None)
                deferred.cancel()
            raise CancelledError

    def cancel(self) -> None:
        """Cancel the Deferred that is awaited now."""
        if self._waiting is not None:
            self._waiting.cancel()

    def stop(self) -> None:
        """Cancel the Deferred that is awaited now, and any later one."""
        self.stopped = True
        self.cancel()


class DownloadReactor(IReactorTime, IReactorPluggableNameResolver, IReactorTCP, IReactorThreads):
    """The interfaces of a reactor that a download needs."""


class Exchange(Protocol):
    """A request and its response. Call :meth:`head`, then one of the others, then :meth:`close`."""

    async def head(self, url: str, headers: Mapping[str, str]) -> Head:
        """Request ``url`` (ASCII), and read the head of the response."""

    async def body(self, receive: Callable[[bytes], None]) -> bool:
        """Read the body. An exception of ``receive`` ends it, and is raised here.

        Returns true if the end was marked, by length or by chunks; otherwise it may be missing.
        """

    async def error_body(self) -> bytes:
        """Read the first bytes of the body; trouble on the network only cuts them short."""

    def pause(self) -> None:
        """Read no more of the body for now; the limits on silence and slowness stand still."""

    def resume(self) -> None:
        """Read on."""

    @property
    def slow(self) -> bool:
        """Whether the body has come more slowly than ``min_rate``. Ask when it has ended."""

    def close(self) -> None:
        """Drop the connection."""


ExchangeFactory = Callable[[CancelScope], Exchange]
"""Makes an exchange, all waits of which go through the scope."""
