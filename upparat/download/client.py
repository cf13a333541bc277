"""The HTTP client as downloads see it. What makes it up is imported for the first of them: an agent
without a job starts sooner and holds less memory without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
)

from upparat.config.settings import Download

from .response import Head
from .waiter import Waiter

if TYPE_CHECKING:
    from .pool import Connections


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


ExchangeFactory = Callable[[Waiter], Exchange]
"""Makes what performs one request, all waits of which go through the waiter."""


class Client:
    """Makes exchanges, which use each other's connections."""

    def __init__(self, reactor: Reactor, settings: Download) -> None:
        self._reactor = reactor
        self._settings = settings
        self._connections: Connections | None = None

    def load(self) -> None:
        """Import all that is needed. Takes its time: made to be called in a thread."""
        from . import pool as download_connections  # noqa: F401

    def exchange(self, waiter: Waiter) -> Exchange:
        from .http import HttpExchange
        from .pool import Connections

        if self._connections is None:
            self._connections = Connections(self._reactor, self._settings)
        return HttpExchange(self._reactor, self._settings, waiter, self._connections)

    def close(self) -> Deferred[None]:
        """Close all connections; fires when they are. No exchange must be under way."""
        return succeed(None) if self._connections is None else self._connections.close()
