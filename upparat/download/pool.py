"""Connections that outlast a request: a retry need not look up, connect and shake hands again."""

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
"""Seconds that a connection waits for another request: as long as a back-off may last."""

Told = Callable[[IProtocol, bool], None]
"""Called with the connection that a request goes out on, and whether it was used before."""


class Connections:
    """Those of a downloader, which makes one request at a time."""

    def __init__(self, reactor: Reactor, settings: Download) -> None:
        self._line = AgentFactory(reactor, settings)
        self._used: WeakSet[Any] = WeakSet()
        pool = self._pool = HTTPConnectionPool(reactor)
        pool.maxPersistentPerHost = 1
        pool.cachedConnectionTimeout = KEPT
        # Twisted makes a request again if no byte of an answer came before the connection was
        # lost, but not after silence or half a head: who is told can do it in all these cases.
        pool.retryAutomatically = False

    def agent(self, url: bytes, told: Told) -> IAgent:
        """What asks for ``url``, and for no other, once."""
        return self._line.agent(url, _Telling(self._pool, self._used, told))

    def close(self) -> Deferred[None]:
        """Close all; fires when they are. No request must be under way."""
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
    """Whether it waits for the next request, or could."""
    return connection.state == "QUIESCENT" and not connection.transport.disconnecting


def limit_bytes(connection: Any, most: int, exceeded: Callable[[], None]) -> None:
    """Call ``exceeded``, and drop the connection, when it has brought more than ``most`` bytes from
    now on and still brings some."""
    connection.dataReceived = _Measured(connection, most, exceeded)


def lift_limit(connection: Any) -> None:
    """Measure no more."""
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
    """Drop it at once, if it is still there."""
    transport = connection.transport
    # What is TLS cannot be aborted any more once the connection is lost.
    if transport is not None and transport.connected:
        transport.abortConnection()
