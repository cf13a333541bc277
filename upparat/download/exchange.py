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


class Reactor(IReactorTime, IReactorPluggableNameResolver, IReactorTCP, IReactorThreads):
    """What a download asks of a reactor."""


class Exchange(Protocol):
    """A request and its answer: :meth:`head`, then one of the others, :meth:`close` in any case."""

    async def head(self, url: str, headers: Mapping[str, str]) -> Head:
        """Ask for ``url`` (ASCII), and take the head of the answer."""

    async def body(self, receive: Callable[[bytes], None]) -> bool:
        """Hand the body to ``receive``, whose exceptions end it and come out here.

        Returns whether the end was marked, by length or by chunks; otherwise it may be missing.
        """

    async def drain(self) -> None:
        """Read the body if it is short, so that the connection can be used again."""

    async def error_body(self) -> bytes:
        """The first bytes of the body; however it ends, it says what it can."""

    def pause(self) -> None:
        """Take no more of the body; the server's silence is ours."""

    def resume(self) -> None:
        """Take the rest of the body."""

    def close(self) -> None:
        """Let go of the connection: unless the answer is over, it is dropped."""


ExchangeFactory = Callable[[CancelScope], Exchange]
"""Makes what performs one request, all waits of which go through the scope."""
