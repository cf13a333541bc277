"""One connection to a server: how many bytes it may bring, and how it is dropped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer


class HttpConnection(ProtocolWrapper):
    """Stands between the transport and the HTTP protocol of one request."""

    def __init__(self, factory: WrappingFactory[Any], wrapped: IProtocol) -> None:
        super().__init__(factory, wrapped)
        self._open = True
        self._remaining: int | None = None
        self._on_exceeded: Callable[[], None] = lambda: None

    def limit_bytes(self, limit: int, on_exceeded: Callable[[], None]) -> None:
        """Drop the connection and call ``on_exceeded`` if data comes after ``limit`` bytes.

        :param limit: in bytes, counted from now on.
        """
        self._remaining = limit
        self._on_exceeded = on_exceeded

    def lift_limit(self) -> None:
        """Count no more."""
        self._remaining = None

    @property
    def is_open(self) -> bool:
        """Whether the connection was not lost yet."""
        return self._open

    def abort(self) -> None:
        """Drop the connection at once, if it is still open."""
        if self._open:  # Twisted's TLS cannot be aborted after the connection was lost.
            cast(Any, self.transport).abortConnection()

    def dataReceived(self, data: bytes) -> None:
        if self._remaining is not None:
            if self._remaining < 0:
                self.abort()
                self._on_exceeded()
                return
            self._remaining -= len(data)
        super().dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._open = False
        super().connectionLost(reason)


@implementer(IStreamClientEndpoint)
class WatchedEndpoint:
    """Reports each new connection before a request goes out on it."""

    def __init__(
        self, endpoint: IStreamClientEndpoint, on_connected: Callable[[HttpConnection], None]
    ) -> None:
        self._endpoint = endpoint
        self._on_connected = on_connected

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        factory: WrappingFactory[HttpConnection] = WrappingFactory(protocolFactory)
        # Both would log each connection, in terms that mean nothing to the owner.
        factory.noisy = protocolFactory.noisy = False  # type: ignore[attr-defined]
        factory.protocol = HttpConnection
        return self._endpoint.connect(factory).addCallback(self._unwrap)

    def _unwrap(self, protocol: IProtocol) -> IProtocol:
        connection = cast(HttpConnection, protocol)
        self._on_connected(connection)
        return connection.wrappedProtocol
