"""Connections that outlast a request, so that a retry saves the lookup and the handshakes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, cast
from weakref import WeakSet

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IStreamClientEndpoint
from twisted.web.client import HTTPConnectionPool
from twisted.web.iweb import IAgent

from upparat.config.settings import Download

from .agent import AgentFactory, Pool
from .exchange import Reactor

KEPT = 64
"""Seconds that a connection waits for another request: the longest back-off."""

Told = Callable[[IProtocol, bool], None]
"""Called with the connection of a request, and whether it was used before."""


class Connections:
    """The connections of a downloader, which makes one request at a time."""

    def __init__(self, reactor: Reactor, settings: Download) -> None:
        self._line = AgentFactory(reactor, settings)
        self._used: WeakSet[Any] = WeakSet()
        pool = self._pool = HTTPConnectionPool(reactor)
        pool.maxPersistentPerHost = 1
        pool.cachedConnectionTimeout = KEPT
        # Twisted repeats a request if the connection was lost before the first byte of a response,
        # but not after silence or half a head. The exchange repeats it in all these cases.
        pool.retryAutomatically = False

    def agent(self, url: bytes, told: Told) -> IAgent:
        """Make an agent that requests ``url``, and no other, once."""
        return self._line.agent(url, _Telling(self._pool, self._used, told))

    def close(self) -> Deferred[None]:
        """Close all connections; fires when they are closed. No request must be under way."""
        closed = cast("Deferred[None]", self._pool.closeCachedConnections())
        for connection in list(self._used):
            abort(connection)
        return closed


class _Telling:
    """The pool as one request sees it."""

    persistent = True

    def __init__(self, pool: Pool, used: WeakSet[Any], told: Told) -> None:
        self._pool = pool
        self._used = used
        self._told = told

    def getConnection(self, key: Hashable, endpoint: IStreamClientEndpoint) -> Deferred[Any]:
        return self._pool.getConnection(key, endpoint).addCallback(self._tell)

    def _tell(self, connection: Any) -> Any:
        used = connection in self._used
        self._used.add(connection)
        self._told(connection, used)
        return connection


def is_idle(connection: Any) -> bool:
    """Whether the connection can take another request."""
    return connection.state == "QUIESCENT" and not connection.transport.disconnecting


def limit_bytes(connection: Any, most: int, exceeded: Callable[[], None]) -> None:
    """Abort the connection and call ``exceeded``, if more than ``most`` bytes come from now on."""
    connection.dataReceived = _Measured(connection, most, exceeded)


def lift_limit(connection: Any) -> None:
    """Lift the limit of :func:`limit_bytes`."""
    del connection.dataReceived


class _Measured:
    """Stands before a connection's own ``dataReceived``."""

    def __init__(self, connection: Any, most: int, exceeded: Callable[[], None]) -> None:
        self._connection = connection
        self._receive = connection.dataReceived
        self._most = most
        self._exceeded = exceeded
        self._received = 0

    def __call__(self, data: bytes) -> None:
        if self._received > self._most:
            abort(self._connection)
            self._exceeded()
            return
        self._received += len(data)
        self._receive(data)


def abort(connection: Any) -> None:
    """Abort a connection, if it is not lost already."""
    transport = connection.transport
    # TLS cannot be aborted any more once the connection is lost.
    if transport is not None and transport.connected:
        transport.abortConnection()
