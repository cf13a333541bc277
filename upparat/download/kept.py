"""A connection that serves one request after the other, for a file that is fetched in ranges."""

from __future__ import annotations

from twisted.web.client import HTTPConnectionPool

from .connection import HttpConnection
from .exchange import DownloadReactor
from .rate import Rate

IDLE = 60
"""Seconds for which a connection is kept without a request."""


class KeptConnection:
    """One connection, made anew when the server has closed it.

    :ivar rate: of this connection, perhaps together with others.
    """

    def __init__(self, reactor: DownloadReactor, rate: Rate) -> None:
        self.rate = rate
        self.pool = HTTPConnectionPool(reactor, persistent=True)
        self.pool.maxPersistentPerHost = 1
        self.pool.cachedConnectionTimeout = IDLE
        self._connection: HttpConnection | None = None

    @property
    def connection(self) -> HttpConnection | None:
        """The connection, while it is open."""
        found = self._connection
        return found if found is not None and found.is_open else None

    @connection.setter
    def connection(self, connection: HttpConnection) -> None:
        self._connection = connection

    def close(self) -> None:
        """Drop the connection."""
        self.pool.closeCachedConnections().addErrback(lambda _: None)
        if self._connection is not None:
            self._connection.abort()
