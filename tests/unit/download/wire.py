"""Connections in memory, for requests by HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from upparat.download import agent
from upparat.download.exchange import CancelScope, Exchange

URL = "http://h/f?secret"


class Wire(StringTransport):
    """One connection, from the side of the server."""

    protocol: IProtocol

    def requests(self) -> int:
        """Requests that have come since the last call."""
        found = self.value().count(b"GET ")
        self.clear()
        return int(found)

    def answer(self, body: bytes, *, missing: int = 0) -> None:
        """Send an answer; so many bytes more are announced than come."""
        head = f"HTTP/1.1 206 Partial Content\r\nContent-Length: {len(body) + missing}\r\n\r\n"
        self.protocol.dataReceived(head.encode() + body)

    def lose(self) -> None:
        self.protocol.connectionLost(Failure(ConnectionDone()))


@implementer(IStreamClientEndpoint)
class WireEndpoint:
    """Connects at once."""

    def __init__(self, connected: Callable[[Wire], None]) -> None:
        self.connected = connected

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        wire = Wire()
        protocol = protocolFactory.buildProtocol(wire.getPeer())
        assert protocol is not None
        wire.protocol = protocol
        protocol.makeConnection(wire)
        self.connected(wire)
        return succeed(protocol)


class WireBench(SynchronousTestCase):
    """Whatever is connected to is in ``wires``."""

    def setUp(self) -> None:
        self.wires: list[Wire] = []

        def endpoint(*_: Any, **__: Any) -> WireEndpoint:
            return WireEndpoint(self.wires.append)

        self.patch(agent, "HostnameEndpoint", endpoint)

    def begin(self, exchange: Exchange, body: bytes, missing: int = 0) -> tuple[bytearray, Wire]:
        """Begin a request that is answered at once. Returns the bytes, as they come, and the
        connection."""
        head, data = Deferred.fromCoroutine(exchange.head(URL, {})), bytearray()
        [wire] = [each for each in self.wires if each.requests()]
        wire.answer(body, missing=missing)
        self.successResultOf(head)
        Deferred.fromCoroutine(exchange.body(data.extend)).addErrback(lambda _: None)
        return data, wire

    def fetch(
        self, make: Callable[[CancelScope], Exchange], body: bytes = b"0123", missing: int = 0
    ) -> Wire:
        """Make one request from its beginning to its end. Returns the connection."""
        exchange = make(CancelScope())
        data, wire = self.begin(exchange, body, missing)
        exchange.close()
        self.assertEqual(data, body)
        return wire
